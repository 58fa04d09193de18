import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cp, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { bindery, type Ended } from '#test/command.ts'
import { call, deploy, otherAccount, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// `bindery do`: stored objects as an operator lists, saves and brings them back.

const kills = Math.min(Number(process.env['BINDERY_TEST_KILLS'] ?? 2), 20)

const code = `
import { DurableObject } from 'cloudflare:workers'
export class Part extends DurableObject {
  add() {
    const n = (this.ctx.storage.kv.get('n') ?? 0) + 1
    this.ctx.storage.kv.put('n', n)
    return n
  }
}
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS line (text TEXT)')
  }
  say(text) { this.ctx.storage.sql.exec('INSERT INTO line VALUES (?)', text) }
  lines() { return this.ctx.storage.sql.exec('SELECT text FROM line').toArray().map((row) => row.text).join() }
  part() { return this.ctx.facets.get('part', async () => ({ class: this.ctx.exports.Part })).add() }
  async alarmIn(ms) { await this.ctx.storage.setAlarm(Date.now() + Number(ms)) }
  async alarm() { this.say('alarm of ' + this.ctx.id.name) }
}
export default { async fetch(request, env) {
  const [, room, method, argument] = new URL(request.url).pathname.split('/')
  return new Response(String((await env.ROOMS.getByName(room)[method](argument)) ?? ''))
} }`
const upload = {
  code,
  bindings: [{ type: 'durable_object_namespace', name: 'ROOMS', class_name: 'Room' }],
  metadata: { migrations: { new_tag: 'v1', new_sqlite_classes: ['Room'] } },
}

async function say(server: TestServer, path: string): Promise<string> {
  const response = await server.visit('chat', path)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return text
}

const id = /^[0-9a-f]{64}$/m

/** The ids of the objects that `bindery do list` shows. */
function idsIn({ stdout }: Ended): readonly string[] {
  return stdout.split('\n').flatMap((line) => id.exec(line.split(' ')[0] ?? '')?.[0] ?? [])
}

suite('bindery do', { timeout: 240_000 }, () => {
  let server: TestServer
  const run = async (...args: string[]): Promise<Ended> =>
    bindery(['do', ...args, '--data', server.dataDirectory])
  const ok = async (...args: string[]): Promise<Ended> => {
    const ended = await run(...args)
    assert.equal(ended.code, 0, ended.stderr)
    return ended
  }
  const at = (name: string): string => join(server.folder, name)

  before(async () => {
    server = await startTestServer()
    await deploy(placeOf(server), 'chat', upload)
    await say(server, '/red/say/one')
    await say(server, '/blue/say/two')
  })
  after(() => server[Symbol.asyncDispose]())

  test('lists namespaces, and objects by the name or the id of theirs', async () => {
    const { stdout } = await ok('list')
    const row = /^([0-9a-f]{32}) {2}chat +Room +sqlite +2 +[0-9.]+ kB$/m.exec(stdout)
    assert.ok(row, stdout)
    const byName = await ok('list', 'chat_Room')
    assert.equal(idsIn(byName).length, 2, byName.stdout)
    assert.equal((await ok('list', row[1] ?? '')).stdout, byName.stdout)
  })

  test('saves a namespace, and brings back what it was', async () => {
    const to = at('saved')
    assert.match(
      (await ok('export', 'chat_Room', '--to', to)).stdout,
      /^2 objects of chat_Room in /,
    )
    const names = (await readdir(to)).toSorted()
    assert.deepEqual([names.length, names.at(-1)], [3, 'namespace.json'])
    const said = z
      .object({ class: z.string(), script: z.string(), objects: z.number() })
      .parse(JSON.parse(await readFile(join(to, 'namespace.json'), 'utf8')))
    assert.deepEqual(said, { class: 'Room', script: 'chat', objects: 2 })
    await say(server, '/red/say/later')
    await say(server, '/green/say/new')
    assert.equal(await say(server, '/red/lines'), 'one,later')
    assert.match((await ok('import', 'chat_Room', '--from', to)).stdout, /^2 objects from /)
    assert.equal(await say(server, '/red/lines'), 'one')
    assert.equal(await say(server, '/blue/lines'), 'two')
    assert.equal(await say(server, '/green/lines'), 'new', 'others stay')
    await server.restart()
    assert.equal(await say(server, '/red/lines'), 'one')
  })

  test('saves while visitors write, and brings back under load: none is refused', async () => {
    const over = new AbortController()
    let written = 0
    const visitors = Array.from({ length: 4 }, async () => {
      while (!over.signal.aborted) {
        await say(server, '/busy/say/x')
        written += 1
      }
    })
    for (let n = 0; n < 3; n++) {
      await ok('export', 'chat_Room', '--to', at(`busy-${n}`))
      await ok('import', 'chat_Room', '--from', at(`busy-${n}`))
    }
    over.abort()
    await Promise.all(visitors)
    const left = (await say(server, '/busy/lines')).split(',').length
    assert.ok(left > 0 && left < written, `${left} of ${written}`)
  })

  test('one object as a plain file, there and back', async () => {
    const [object = ''] = idsIn(await ok('list', 'chat_Room'))
    const file = at(`${object}.sqlite`)
    assert.match((await ok('export', 'chat_Room', object, '--to', file)).stdout, /^1 object in /)
    const database = new DatabaseSync(file)
    const count = database.prepare('SELECT count(*) AS n FROM line').get()?.['n']
    assert.ok(Number(count) > 0)
    database.exec(`UPDATE line SET text = 'edited'`)
    database.close()
    await ok('import', 'chat_Room', '--from', file)
    const rooms = ['red', 'blue', 'green', 'busy'].map((room) => say(server, `/${room}/lines`))
    assert.equal((await Promise.all(rooms)).filter((lines) => lines.includes('edited')).length, 1)
  })

  test('facets come along in a directory, and are not left out of a file in silence', async () => {
    assert.equal(await say(server, '/parted/part'), '1')
    const to = at('parted')
    await ok('export', 'chat_Room', '--to', to)
    const facet = (await readdir(to)).find((name) => name.endsWith('.1.sqlite')) ?? ''
    const object = facet.slice(0, 64)
    const refused = await run('export', 'chat_Room', object, '--to', at('alone.sqlite'))
    assert.match(
      refused.stderr,
      /^bindery: The object has facets \(1\), which one file can't hold\./,
    )
    const alone = at('alone')
    await ok('export', 'chat_Room', object, '--to', alone)
    assert.deepEqual(
      (await readdir(alone)).toSorted(),
      [`${object}.1.sqlite`, `${object}.facets`, `${object}.sqlite`, 'namespace.json'].toSorted(),
    )
    assert.equal(await say(server, '/parted/part'), '2')
    await ok('import', 'chat_Room', '--from', alone)
    assert.equal(await say(server, '/parted/part'), '2')
  })

  test('alarms are saved with their objects, and run when they are back', async () => {
    await say(server, '/clock/alarmIn/4000')
    const to = at('clock')
    await ok('export', 'chat_Room', '--to', to)
    assert.match((await ok('list', 'chat_Room')).stdout, / {2}\d{4}-\d\d-\d\dT[0-9:.]+Z$/m)
    await eventually(async () => (await say(server, '/clock/lines')) !== '')
    assert.equal(await say(server, '/clock/lines'), 'alarm of clock')
    await ok('import', 'chat_Room', '--from', to)
    // It was due in the meantime: it runs at once, with the name that the object has.
    await eventually(async () => (await say(server, '/clock/lines')) === 'alarm of clock')
    const again = at('clock again')
    await ok('export', 'chat_Room', '--to', again)
    const { alarms } = z
      .object({ alarms: z.array(z.unknown()) })
      .parse(JSON.parse(await readFile(join(again, 'namespace.json'), 'utf8')))
    assert.deepEqual(alarms, [])
  })

  test('a back-up made of a stopped server will do', async () => {
    const [namespace = ''] = /^[0-9a-f]{32}/m.exec((await ok('list')).stdout) ?? []
    await say(server, '/red/say/before')
    const lines = await say(server, '/red/lines')
    const { account } = placeOf(server)
    // Its WAL is still there: the process is killed.
    await server.kill()
    await cp(join(server.dataDirectory, 'objects', account, namespace), at('backup'), {
      recursive: true,
    })
    await server.restart()
    await say(server, '/red/say/after')
    await ok('import', 'chat_Room', '--from', at('backup'))
    assert.equal(await say(server, '/red/lines'), lines)
  })

  test('a server that is killed in the middle of an import has all of it, or nothing', async (t) => {
    const rooms = Array.from({ length: 12 }, (_, n) => `room${n}`)
    const lines = async (): Promise<ReadonlySet<string>> =>
      new Set(await Promise.all(rooms.map((room) => say(server, `/${room}/lines`))))
    const seen = new Set<string>()
    for (let n = 0; n < kills; n++) {
      for (const room of rooms) await say(server, `/${room}/say/${n}`)
      const to = at(`killed-${n}`)
      await ok('export', 'chat_Room', '--to', to)
      const old = await lines()
      for (const room of rooms) await say(server, `/${room}/say/later`)
      const importing = run('import', 'chat_Room', '--from', to)
      // The command takes a while to begin, and then its work as long as this.
      await new Promise((resolve) => void setTimeout(resolve, 250 + Math.random() * 400))
      await server.kill()
      const isTold = (await importing).code === 0
      await server.restart()
      const now = await lines()
      assert.equal(now.size, 1, [...now].join(' or '))
      const [only = ''] = now
      assert.ok(old.has(only) || only.endsWith(',later'), only)
      if (isTold) assert.ok(old.has(only), 'what was told to be there is there')
      seen.add(`${old.has(only) ? 'put' : 'not put'} and ${isTold ? 'told' : 'not told'}`)
      // All begin the next round alike.
      await ok('import', 'chat_Room', '--from', to)
    }
    t.diagnostic([...seen].toSorted().join('; '))
  })

  test('tar is all that the API needs', async () => {
    const { account, apiUrl, token } = placeOf(server)
    const [namespace = ''] = /^[0-9a-f]{32}/m.exec((await ok('list')).stdout) ?? []
    const path = `${apiUrl}/accounts/${account}/workers/durable_objects/namespaces/${namespace}`
    const headers = { authorization: `Bearer ${token}` }
    const exported = await fetch(`${path}/export`, { headers })
    const archive = Buffer.from(await exported.arrayBuffer())
    await mkdir(at('by tar'))
    execFileSync('tar', ['xf', '-'], { cwd: at('by tar'), input: archive })
    await rename(at('by tar'), at('renamed'))
    const made = execFileSync('tar', ['cf', '-', '-C', server.folder, 'renamed'])
    const imported = await fetch(`${path}/import`, { method: 'POST', headers, body: made })
    assert.equal(imported.status, 200, await imported.text())
  })

  test('what can go wrong is one sentence', async () => {
    await mkdir(at('full'))
    await writeFile(at('full/file.txt'), '')
    await mkdir(at('empty'))
    await writeFile(at('there.sqlite'), '')
    const object = (await readdir(at('saved')))[0]?.slice(0, 64) ?? ''
    const broken = at(`${'0'.repeat(64)}.sqlite`)
    await writeFile(broken, 'x')
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['list', 'chat_Rome'], /There is no namespace chat_Rome\. Try: bindery do list/],
      [['export', 'chat_Room', '--to', at('full')], /full is not empty\. Name another directory/],
      [['export', 'chat_Room', object, '--to', at('there.sqlite')], /is there already/],
      [
        ['export', 'chat_Room', 'f'.repeat(64), '--to', at('none.sqlite')],
        /There is no such object/,
      ],
      [['export', 'chat_Room', '--to', at('full/file.txt')], /can't be written/],
      [['import', 'chat_Room', '--from', at('empty')], /There is no object in /],
      [['import', 'chat_Room', '--from', at('nowhere')], /nowhere can't be read/],
      [['import', 'chat_Room', '--from', at('full')], /file\.txt is no file of an object/],
      [['import', 'chat_Room', '--from', broken], /is not an id of this namespace/],
    ]
    for (const [args, message] of cases) {
      const ended = await run(...args)
      assert.match(ended.stderr, message)
      assert.equal(ended.stderr.trimEnd().split('\n').length, 1, ended.stderr)
      assert.equal(ended.code, 1)
    }
    for (const args of [
      [],
      ['export', 'chat_Room'],
      ['import', 'chat_Room'],
      ['move', 'chat_Room'],
    ]) {
      assert.match((await run(...args)).stderr, /^bindery: Usage:\nbindery do list/)
    }
  })

  test('another account has none of it', async () => {
    const other = await otherAccount(server, 'other')
    const none = await ok('list', '--account', other.account)
    assert.deepEqual(none.stdout.trim().split('\n').length, 1)
    const refused = await run('list', 'chat_Room', '--account', other.account)
    assert.match(refused.stderr, /There is no namespace chat_Room/)
    const [namespace = ''] = /^[0-9a-f]{32}/m.exec((await ok('list')).stdout) ?? []
    const path = `~/workers/durable_objects/namespaces/${namespace}/objects`
    await assert.rejects(call(other, 'GET', path), /10066/)
    await call(placeOf(server), 'GET', path)
  })
})
