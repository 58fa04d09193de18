import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  accountId,
  type ObjectId,
  type ObjectNamespaceId,
  objectNamespaceId,
} from '#contract/ids.ts'
import { type NamedFile, type ObjectFiles, ObjectImportError } from './object-files.ts'

/** What the suite needs to make objects and to look into them. */
export type ObjectFilesMaterial = {
  /** An empty store. */
  readonly open: () => Promise<ObjectFiles>
  /** The id of some object of a namespace: always the same for the same number. */
  readonly idOf: (namespace: ObjectNamespaceId, n: number) => ObjectId
  /** A database with one row that holds `text`, and, if it is given, an alarm. */
  readonly database: (text: string, alarmAt?: number) => Uint8Array
  /** The text of such a database. */
  readonly textOf: (database: Uint8Array) => string
}

/** What every driver of the `ObjectFiles` port does. */
export function objectFilesSuite(name: string, material: ObjectFilesMaterial): void {
  const { open, idOf, database, textOf } = material
  const place = placeOf('a', 1)
  const id = (n: number): ObjectId => idOf(place.namespace, n)
  const ids = [1, 2, 3, 4, 5].map(id).toSorted()
  const index = new Uint8Array([1, 2, 3])

  const put = async (
    files: ObjectFiles,
    what: Readonly<Record<string, Uint8Array>>,
    names = new Map<ObjectId, string>(),
  ): Promise<readonly ObjectId[]> => {
    await using staged = await files.import(place, named(what))
    await staged.put(names)
    return staged.objects
  }
  const read = async (files: ObjectFiles, object: ObjectId) => {
    await using copy = await files.export(place, object)
    const found: Record<string, Uint8Array> = {}
    for (const file of copy?.files ?? []) {
      found[file.name] = new Uint8Array(Buffer.concat(await Array.fromAsync(file.bytes)))
      assert.equal(found[file.name]?.byteLength, file.sizeBytes)
    }
    return copy && found
  }

  suite(`${name}: the ObjectFiles port`, () => {
    test('of a namespace without files there is nothing, and it may be deleted', async () => {
      await using files = await open()
      await files.sweep()
      assert.deepEqual(await files.list(place, { limit: 10 }), [])
      assert.deepEqual(await files.sizeOf(place), { objects: 0, bytes: 0 })
      assert.equal((await files.alarms(place)).size, 0)
      assert.equal(await files.export(place, id(1)), undefined)
      assert.equal(await files.has(place, id(1)), false)
      await files.delete(place)
    })

    test('what was put there is listed in order, in pages, and comes out as it was', async () => {
      await using files = await open()
      const before = Date.now()
      const what = Object.fromEntries(ids.map((each) => [`${each}.sqlite`, database(each)]))
      assert.deepEqual((await put(files, what)).toSorted(), ids)
      const all = await files.list(place, { limit: 10 })
      assert.deepEqual(
        all.map((each) => each.id),
        ids,
      )
      for (const each of all) {
        assert.ok(each.hasStoredData)
        assert.ok(await files.has(place, each.id))
        assert.ok(each.modifiedAt > before - 60_000 && each.modifiedAt < Date.now() + 60_000)
        const found = await read(files, each.id)
        assert.deepEqual(Object.keys(found ?? {}), [`${each.id}.sqlite`])
        assert.equal(textOf(found?.[`${each.id}.sqlite`] ?? new Uint8Array()), each.id)
      }
      const bytes = all.reduce((sum, each) => sum + each.sizeBytes, 0)
      assert.deepEqual(await files.sizeOf(place), { objects: 5, bytes })
      const paged: ObjectId[] = []
      for (;;) {
        const page = await files.list(place, { after: paged.at(-1), limit: 2 })
        if (page.length === 0) break
        paged.push(...page.map((each) => each.id))
      }
      assert.deepEqual(paged, ids)
    })

    test('an import replaces whole objects and leaves others', async () => {
      await using files = await open()
      await put(files, {
        [`${id(1)}.sqlite`]: database('one'),
        [`${id(1)}.1.sqlite`]: database('facet one'),
        [`${id(1)}.12.sqlite`]: database('facet twelve'),
        [`${id(1)}.facets`]: index,
        [`${id(2)}.sqlite`]: database('two'),
      })
      const first = (await read(files, id(1))) ?? {}
      // The object's own is first; the index, without which facets mean nothing, is last.
      const names = ['.sqlite', '.1.sqlite', '.12.sqlite', '.facets'].map((end) => id(1) + end)
      assert.deepEqual(Object.keys(first), names)
      assert.deepEqual(first[`${id(1)}.facets`], index)
      await put(files, { [`${id(1)}.sqlite`]: database('newer') })
      assert.deepEqual(Object.keys((await read(files, id(1))) ?? {}), [`${id(1)}.sqlite`])
      await put(files, first)
      const again = (await read(files, id(1))) ?? {}
      assert.equal(textOf(again[`${id(1)}.12.sqlite`] ?? index), 'facet twelve')
      const other = (await read(files, id(2))) ?? {}
      assert.equal(textOf(other[`${id(2)}.sqlite`] ?? index), 'two')
    })

    test('an export beside an import has the object before or after, not some of each', async () => {
      await using files = await open()
      const version = (n: number) => ({
        [`${id(1)}.sqlite`]: database(`${n}`),
        [`${id(1)}.1.sqlite`]: database(`${n}`),
        [`${id(1)}.facets`]: index,
      })
      await put(files, version(0))
      const over = new AbortController()
      const exporting = Promise.all(
        [1, 2].map(async () => {
          while (!over.signal.aborted) {
            const found = (await read(files, id(1))) ?? {}
            assert.deepEqual(Object.keys(found), Object.keys(version(0)))
            assert.equal(new Set(Object.values(found).slice(0, 2).map(textOf)).size, 1)
          }
        }),
      )
      for (let n = 1; n <= 10; n++) await put(files, version(n))
      over.abort()
      await exporting
    })

    test('alarms come with their objects, and go with them', async () => {
      await using files = await open()
      const at = 1_900_000_000_123
      await put(
        files,
        { [`${id(1)}.sqlite`]: database('one', at), [`${id(2)}.sqlite`]: database('two', at + 1) },
        new Map([[id(1), 'Ö']]),
      )
      const both = [
        [id(1), { at, name: 'Ö' }],
        [id(2), { at: at + 1 }],
      ]
      assert.deepEqual([...(await files.alarms(place))].toSorted(byAlarm), both)
      // A later import may not know the name.
      await put(files, { [`${id(1)}.sqlite`]: database('one', at - 5) })
      assert.deepEqual((await files.alarms(place)).get(id(1)), { at: at - 5, name: 'Ö' })
      await put(files, { [`${id(1)}.sqlite`]: database('one') })
      assert.deepEqual([...(await files.alarms(place)).keys()], [id(2)])
    })

    const sound = database('sound')
    const refused: readonly (readonly [string, Readonly<Record<string, Uint8Array>>, RegExp])[] = [
      ['another name', { 'notes.txt': sound }, /"notes\.txt" is not the name of a file/],
      ['a path', { [`../${id(2)}.sqlite`]: sound }, /is not the name of a file/],
      ['a number of a facet that is none', { [`${id(2)}.0.sqlite`]: sound }, /is not the name/],
      [
        'an object of another namespace',
        { [`${idOf(placeOf('a', 2).namespace, 2)}.sqlite`]: sound },
        /is not an id of this namespace/,
      ],
      ['a facet alone', { [`${id(2)}.1.sqlite`]: sound }, /without [0-9a-f]{64}\.sqlite/],
      ['an index alone', { [`${id(2)}.facets`]: index }, /without [0-9a-f]{64}\.sqlite/],
      ['text', { [`${id(2)}.sqlite`]: new TextEncoder().encode('x'.repeat(9_000)) }, /not a sound/],
      ['half a database', { [`${id(2)}.sqlite`]: sound.subarray(0, 5_000) }, /not a sound/],
      [
        'a sound one and one that is not',
        { [`${id(2)}.sqlite`]: sound, [`${id(3)}.sqlite`]: index },
        /not a sound/,
      ],
    ]
    for (const [title, what, message] of refused) {
      test(`an import of ${title} is refused, and nothing is kept`, async () => {
        await using files = await open()
        await put(files, { [`${id(1)}.sqlite`]: database('one') })
        await assert.rejects(files.import(place, named(what)), (error) => {
          assert.ok(error instanceof ObjectImportError)
          assert.match(error.message, message)
          return true
        })
        assert.deepEqual(
          (await files.list(place, { limit: 10 })).map((each) => each.id),
          [id(1)],
        )
      })
    }

    test('an import that is not put anywhere leaves nothing', async () => {
      await using files = await open()
      const staged = await files.import(place, named({ [`${id(1)}.sqlite`]: database('one') }))
      assert.deepEqual(staged.objects, [id(1)])
      await staged[Symbol.asyncDispose]()
      assert.deepEqual(await files.sizeOf(place), { objects: 0, bytes: 0 })
    })

    test('a deleted namespace is gone with its alarms; others are not', async () => {
      await using files = await open()
      await put(files, { [`${id(1)}.sqlite`]: database('one', 1_900_000_000_000) })
      for (const other of [placeOf('a', 2), placeOf('b', 1)]) await files.delete(other)
      assert.equal((await files.sizeOf(place)).objects, 1)
      for (const other of [placeOf('a', 2), placeOf('b', 1)]) {
        assert.equal((await files.sizeOf(other)).objects, 0)
        assert.equal(await files.export(other, id(1)), undefined)
      }
      await files.delete(place)
      await files.delete(place)
      assert.deepEqual(await files.list(place, { limit: 10 }), [])
      await put(files, { [`${id(1)}.sqlite`]: database('again') })
      assert.equal((await files.alarms(place)).size, 0)
    })

    test('a sweep takes away nothing that is stored', async () => {
      await using files = await open()
      await put(files, { [`${id(1)}.sqlite`]: database('one') })
      await files.sweep()
      assert.equal((await files.sizeOf(place)).objects, 1)
    })
  })
}

function placeOf(account: string, namespace: number) {
  return {
    account: accountId.parse(account.repeat(32)),
    namespace: objectNamespaceId.parse(`${namespace}`.padStart(32, '0')),
  }
}

async function* named(files: Readonly<Record<string, Uint8Array>>): AsyncGenerator<NamedFile> {
  for (const [name, content] of Object.entries(files)) {
    const half = content.byteLength >> 1
    const bytes = (async function* () {
      yield content.subarray(0, half)
      yield content.subarray(half)
    })()
    yield { name, bytes }
  }
}

function byAlarm(a: readonly [unknown, { at: number }], b: readonly [unknown, { at: number }]) {
  return a[1].at - b[1].at
}
