import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { calls } from '#test/d1-calls.ts'
import {
  type Asked,
  askAll,
  askerCode,
  database,
  deployAsker,
  type Told,
  told,
} from '#test/d1-worker.ts'
import { placeOf } from '#test/deployer.ts'
import { startMiniflarePeer, startWorkerdPeer } from '#test/local-peers.ts'
import { startTestServer } from '#test/server.ts'

// D1 of Bindery beside the D1 that comes with workerd, and beside Miniflare's: one table of calls, asked in
// its order of all three. What the same runtime answers elsewhere is what ours answers, but for what is named.

/** Where an answer may differ, and why. `sql` is of the call as JSON, `fields` of the places in its answer. */
type Difference = {
  readonly why: string
  readonly peers: readonly string[]
  readonly call: RegExp
  readonly fields: RegExp
}

const both = ['workerd', 'miniflare']
const differences: readonly Difference[] = [
  {
    why: 'what changes the schema changes the database, also if it takes no more pages',
    peers: both,
    call: /"sql":"(CREATE (VIEW|TRIGGER)|ALTER|REINDEX)/,
    fields: /^result\.meta\.changed_db$/,
  },
  {
    why: "Miniflare takes comments for a part of a statement, and leaves what is none to SQLite's words",
    peers: ['miniflare'],
    call: /--|\/\*|;;|"sql":";/,
    fields: /./,
  },
  {
    why: 'a session begins with a bookmark, or with a constraint that there is',
    peers: both,
    call: /nonsense/,
    fields: /./,
  },
  {
    why: 'a page is left behind in Miniflare by its bookmarks, and by an object that was lost',
    peers: ['miniflare'],
    call: /"session"|later|owner > 700/,
    fields: /\.size_after$/,
  },
  {
    why: 'there is no such thing anywhere: only Cloudflare has databases of its alpha',
    peers: both,
    call: /"dump"/,
    fields: /^(error|cause)$/,
  },
  {
    why: 'that a foreign key is violated when all is written is told as when it is at once',
    peers: both,
    call: /98765|"run","sql":"INSERT INTO later/,
    fields: /^(error|cause)$/,
  },
]

const bindery = 'bindery'
const answers = new Map<string, readonly Told[]>()
const started = new AsyncDisposableStack()
after(() => started.disposeAsync())

before(async () => {
  const server = started.use(await startTestServer())
  const place = placeOf(server)
  await deployAsker(place, 'asker', await database(place, 'main'))
  answers.set(bindery, await askAll(server, 'asker', calls))
  for (const start of [startWorkerdPeer, startMiniflarePeer]) {
    const peer = started.use(await start(askerCode))
    const response = await fetch(peer.url, { method: 'POST', body: JSON.stringify(calls) })
    answers.set(peer.name, z.array(told).parse(await response.json()))
  }
})

const used = new Set<Difference>()

for (const peer of both) {
  suite(`as ${peer}`, () => {
    for (const [at, call] of calls.entries()) {
      test(titleOf(call), () => {
        const [ours, theirs] = [bindery, peer].map((name) => placesOf(answers.get(name)?.[at]))
        assert.ok(ours && theirs && ours.size > 0 && theirs.size > 0)
        for (const [field, value] of [...theirs, ...ours]) {
          if (ours.get(field) === theirs.get(field)) continue
          const named = namedFor(peer, call).find(({ fields }) => fields.test(field))
          assert.ok(named, `${field}: ${ours.get(field)} is not ${theirs.get(field)} (${value})`)
          used.add(named)
        }
      })
    }
  })
}

test('there is still every difference that is named', () => {
  const gone = differences.filter((each) => !used.has(each)).map(({ why }) => why)
  assert.deepEqual(gone, [])
})

test('a session has a bookmark after its first call', () => {
  for (const [at, { session, sql }] of calls.entries()) {
    const answer = answers.get(bindery)?.[at]
    if (session === undefined || session === 'nonsense' || sql?.includes('nope')) continue
    assert.ok(answer && 'result' in answer && answer.bookmark, JSON.stringify(answer))
  }
})

function namedFor(peer: string, asked: Asked): readonly Difference[] {
  const text = JSON.stringify(asked)
  return differences.filter(({ peers, call }) => peers.includes(peer) && call.test(text))
}

function titleOf({ operation, sql, statements, params = [] }: Asked): string {
  const what = sql ?? statements?.map((each) => each.sql).join(' | ') ?? ''
  return `${operation} ${JSON.stringify(what).slice(0, 120)} ${params.length > 0 ? JSON.stringify(params) : ''}`
}

/** Who served a call, how long it took, and when: each has its own. */
const own = new Set(['served_by', 'served_by_region', 'timings', 'duration', 'bookmark'])

/** Every value in an answer, by where it is. */
function placesOf(value: unknown, place = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null) {
    return new Map([[place, JSON.stringify(value) ?? 'undefined']])
  }
  const entries = Object.entries(value)
  if (entries.length === 0) return new Map([[place, JSON.stringify(value)]])
  const within = entries.filter(([name]) => !own.has(name))
  return new Map(
    within.flatMap(([name, each]) => [...placesOf(each, place === '' ? name : `${place}.${name}`)]),
  )
}
