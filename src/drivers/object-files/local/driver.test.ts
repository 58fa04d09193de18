import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, suite, test } from 'node:test'
import { type ObjectId, objectId, objectNamespaceId } from '#contract/ids.ts'
import { objectFilesSuite } from '#contract/ports/object-files.suite.ts'
import type { NamedFile } from '#contract/ports/object-files.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { account } from '#test/backend.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { openObjectFiles } from './driver.ts'

const folder = await temporaryFolder()
after(() => folder[Symbol.asyncDispose]())
let made = 0
const newPath = (): string => join(folder.path, `${made++}`)
const openAt = (path: string) => openObjectFiles({ path, clock: systemClock })

objectFilesSuite('local', { open: () => openAt(newPath()), idOf, database, textOf })

const namespace = objectNamespaceId.parse('0'.repeat(31) + '1')
const place = { account, namespace }
const first = idOf(namespace, 1)
const second = idOf(namespace, 2)

async function fill(path: string, objects: Readonly<Record<ObjectId, Uint8Array>>): Promise<void> {
  await using files = await openAt(path)
  await using staged = await files.import(place, databases(objects))
  await staged.put(new Map())
}

async function textAt(path: string, object: ObjectId): Promise<string> {
  return textOf(await readFile(join(path, account, namespace, `${object}.sqlite`)))
}

suite('local: what a process put in place of its files', () => {
  const secret = 'not for them'

  test('is neither read nor waited for', { timeout: 10_000 }, async () => {
    const path = newPath()
    await fill(path, { [first]: database('kept'), [second]: database('kept') })
    const own = join(path, account, namespace)
    const outside = join(folder.path, 'outside')
    await writeFile(outside, secret)
    for (const name of [`${first}.sqlite`, `${second}.facets`, `${second}.sqlite-wal`]) {
      await rm(join(own, name), { force: true })
      await symlink(outside, join(own, name))
    }
    await using files = await openAt(path)
    await assert.rejects(async () => {
      await using copy = await files.export(place, first)
      if (!copy) throw new Error('nothing to be had')
    })
    await using other = await files.export(place, second)
    for (const { name, bytes } of other?.files ?? []) {
      assert.doesNotMatch((await Array.fromAsync(bytes)).join(''), new RegExp(secret), name)
    }
    await rm(join(own, 'metadata.sqlite'), { force: true })
    execFileSync('mkfifo', [join(own, 'metadata.sqlite')])
    assert.deepEqual(await files.alarms(place).catch(() => new Map()), new Map())
    const listed = await files.list(place, { limit: 10 })
    assert.deepEqual(
      listed.filter(({ sizeBytes }) => sizeBytes === secret.length),
      [],
    )
  })
})

suite('local: after a crash', () => {
  test('what was on its way in or out is removed', async () => {
    const path = newPath()
    await fill(path, { [first]: database('one') })
    for (const kind of ['.exports', '.staging', '.trash']) {
      await mkdir(join(path, kind, 'x1', 'deep'), { recursive: true })
      await writeFile(join(path, kind, 'x1', 'deep', 'file'), 'half')
    }
    await using files = await openAt(path)
    await files.sweep()
    for (const kind of ['.exports', '.staging', '.trash', '.pending']) {
      assert.deepEqual(await readdir(join(path, kind)), [], kind)
    }
    assert.equal(await textAt(path, first), 'one')
  })

  // An import is: staged, renamed to be pending, old files removed, new ones linked, alarms, gone.
  const points: Readonly<Record<string, (at: { pending: string; live: string }) => Promise<void>>> =
    {
      'before anything was replaced': async () => {},
      'when the old files were removed': async ({ live }) => {
        await rm(join(live, `${first}.sqlite`))
        await rm(join(live, `${first}.1.sqlite`))
        await rm(join(live, `${first}.facets`))
      },
      'when some of the new files were there': async ({ live, pending }) => {
        await rm(join(live, `${first}.1.sqlite`))
        await cp(join(pending, `${first}.sqlite`), join(live, `${first}.sqlite`))
      },
      'when all of them were there': async ({ live, pending }) => {
        await rm(join(live, `${first}.1.sqlite`))
        await rm(join(live, `${first}.facets`))
        for (const id of [first, second]) {
          await cp(join(pending, `${id}.sqlite`), join(live, `${id}.sqlite`))
        }
      },
    }
  for (const [title, interrupt] of Object.entries(points)) {
    test(`an import that had begun is finished: ${title}`, async () => {
      const path = newPath()
      await fill(path, { [first]: database('old'), [second]: database('old') })
      const live = join(path, account, namespace)
      await writeFile(join(live, `${first}.1.sqlite`), database('a facet of the old'))
      await writeFile(join(live, `${first}.facets`), 'index')
      const pending = join(path, '.pending', 'x1')
      await stage(path, pending, {
        [first]: database('new', 1_900_000_000_000),
        [second]: database('new'),
      })
      await interrupt({ pending, live })
      await using files = await openAt(path)
      await files.sweep()
      assert.equal(await textAt(path, first), 'new')
      assert.equal(await textAt(path, second), 'new')
      assert.deepEqual([...(await files.alarms(place))], [[first, { at: 1_900_000_000_000 }]])
      const left = (await readdir(live)).filter((name) => name.startsWith(first))
      assert.deepEqual(left, [`${first}.sqlite`])
      assert.deepEqual(await readdir(join(path, '.pending')), [])
    })
  }

  test('a deletion that had begun is finished', async () => {
    const path = newPath()
    await fill(path, { [first]: database('one') })
    await mkdir(join(path, '.trash', 'x1'))
    await rename(join(path, account, namespace), join(path, '.trash', 'x1', namespace))
    await using files = await openAt(path)
    await files.sweep()
    assert.equal((await files.sizeOf(place)).objects, 0)
    assert.deepEqual(await readdir(join(path, '.trash')), [])
  })
})

suite('local: files as they are', () => {
  test('a database with its WAL is taken in: what a back-up of a running server holds', async () => {
    const path = newPath()
    const source = join(folder.path, 'with-wal.sqlite')
    await writeFile(source, database('in the database'))
    const writer = new DatabaseSync(source)
    writer.exec(`PRAGMA journal_mode = WAL; UPDATE t SET text = 'in the WAL'`)
    const taken = {
      [`${first}.sqlite`]: readFileSync(source),
      [`${first}.sqlite-wal`]: readFileSync(`${source}-wal`),
      [`${first}.sqlite-shm`]: new Uint8Array(32_768),
    }
    writer.close()
    await using files = await openAt(path)
    await using staged = await files.import(place, named(taken))
    await staged.put(new Map())
    assert.equal(await textAt(path, first), 'in the WAL')
    assert.deepEqual(
      (await readdir(join(path, account, namespace))).toSorted(),
      [`${first}.sqlite`, 'metadata.sqlite'].toSorted(),
    )
  })

  test('one that a writer leaves in rollback mode, and an empty one, are copied', async () => {
    const path = newPath()
    await fill(path, { [first]: database('one') })
    await writeFile(join(path, account, namespace, `${second}.sqlite`), '')
    await using files = await openAt(path)
    await using copy = await files.export(place, second)
    assert.deepEqual(
      copy?.files.map(({ name, sizeBytes }) => [name, sizeBytes]),
      [[`${second}.sqlite`, 0]],
    )
    const [stored] = (await files.list(place, { limit: 9 })).filter(({ id }) => id === second)
    assert.equal(stored?.hasStoredData, false)
  })

  test('an index tells which facets there are, of which some may be gone', async () => {
    const path = newPath()
    await fill(path, { [first]: database('one') })
    const live = join(path, account, namespace)
    // As workerd writes it: a facet "f", one "gé" below it, and one whose entry a crash cut off.
    const index = '57efb0c55bcecdc4 0000 0100 66 0100 0300 67c3a9 0000 0900 61'
    await writeFile(join(live, `${first}.facets`), Buffer.from(index.replaceAll(' ', ''), 'hex'))
    for (const n of [2, 3]) await writeFile(join(live, `${first}.${n}.sqlite`), database(`${n}`))
    await using files = await openAt(path)
    await using copy = await files.export(place, first)
    assert.deepEqual(
      copy?.files.map(({ name }) => name),
      [`${first}.sqlite`, `${first}.2.sqlite`, `${first}.facets`],
    )
  })

  test('other files of the folder are not objects, and stay', async () => {
    const path = newPath()
    await fill(path, { [first]: database('one') })
    await writeFile(join(path, account, namespace, 'README'), 'mine')
    await using files = await openAt(path)
    assert.deepEqual(
      (await files.list(place, { limit: 9 })).map(({ id }) => id),
      [first],
    )
    assert.equal((await files.sizeOf(place)).objects, 1)
  })
})

/** What a crash in the middle of an import leaves: the pending folder, made by a real import. */
async function stage(
  path: string,
  pending: string,
  objects: Readonly<Record<ObjectId, Uint8Array>>,
): Promise<void> {
  await using files = await openAt(path)
  await using staged = await files.import(place, databases(objects))
  assert.equal(staged.objects.length, 2)
  const [name = ''] = await readdir(join(path, '.staging'))
  await cp(join(path, '.staging', name), pending, { recursive: true })
  const manifest = {
    ...place,
    objects: [{ object: first, alarm: '1900000000000000000' }, { object: second }],
  }
  await writeFile(join(pending, 'manifest.json'), JSON.stringify(manifest))
}

function databases(objects: Readonly<Record<ObjectId, Uint8Array>>): AsyncGenerator<NamedFile> {
  return named(
    Object.fromEntries(Object.entries(objects).map(([id, bytes]) => [`${id}.sqlite`, bytes])),
  )
}

async function* named(files: Readonly<Record<string, Uint8Array>>): AsyncGenerator<NamedFile> {
  for (const [name, content] of Object.entries(files)) {
    yield {
      name,
      bytes: (async function* () {
        yield content
      })(),
    }
  }
}

/** Ids as workerd makes them. */
function idOf(of: string, n: number): ObjectId {
  const key = createHash('sha256').update(of).digest()
  const code = (input: string | Buffer): Buffer =>
    createHmac('sha256', key).update(input).digest().subarray(0, 16)
  const half = code(`object ${n}`)
  return objectId.parse(Buffer.concat([half, code(half)]).toString('hex'))
}

function database(text: string, alarmAt?: number): Uint8Array {
  const path = join(folder.path, 'material.sqlite')
  writeFileSync(path, '')
  using created = new DatabaseSync(path)
  created.exec('CREATE TABLE t (text TEXT)')
  created.prepare('INSERT INTO t VALUES (?)').run(text)
  if (alarmAt !== undefined) {
    created.exec('CREATE TABLE _cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)')
    created.prepare('INSERT INTO _cf_METADATA VALUES (1, ?)').run(BigInt(alarmAt) * 1_000_000n)
  }
  created.close()
  return new Uint8Array(readFileSync(path))
}

function textOf(bytes: Uint8Array): string {
  const path = join(folder.path, 'look.sqlite')
  writeFileSync(path, bytes)
  using opened = new DatabaseSync(path)
  return String(opened.prepare('SELECT text FROM t').get()?.['text'])
}
