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
import { type LocalPeer, startMiniflarePeer, startWorkerdPeer } from '#test/local-peers.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// D1 of Bindery beside the D1 that comes with workerd, and beside Miniflare's: one table of calls, asked in
// its order of all three.

const started = new AsyncDisposableStack()
after(() => started.disposeAsync())

/** What each said, by the call's place in the table. */
const answers = new Map<string, readonly Told[]>()

before(async () => {
  const server = started.use(await startTestServer())
  const place = placeOf(server)
  await deployAsker(place, 'asker', await database(place, 'main'))
  answers.set('bindery', await askAll(server, 'asker', calls))
  for (const start of [startWorkerdPeer, startMiniflarePeer]) {
    const peer = started.use(await start(askerCode))
    const response = await fetch(peer.url, { method: 'POST', body: JSON.stringify(calls) })
    answers.set(peer.name, z.array(told).parse(await response.json()))
  }
})
const sorted = (v: any): any =>
  Array.isArray(v)
    ? v.map(sorted)
    : v && typeof v === 'object'
      ? Object.fromEntries(
          Object.keys(v)
            .filter(
              (k) =>
                !['served_by', 'served_by_region', 'timings', 'duration', 'bookmark'].includes(k),
            )
            .toSorted()
            .map((k) => [k, sorted(v[k])]),
        )
      : v
const flat = (v: any, at = ''): [string, string][] =>
  v && typeof v === 'object'
    ? Object.keys(v).length
      ? Object.entries(v).flatMap(([k, x]) => flat(x, `${at}.${k}`))
      : [[at, JSON.stringify(v)]]
    : [[at, JSON.stringify(v) ?? 'undefined']]
test('explore', () => {
  for (const [at, call] of calls.entries()) {
    const of = (n: string) => new Map(flat(sorted(answers.get(n)?.[at])))
    const [b, w, m] = [of('bindery'), of('workerd'), of('miniflare')]
    const lines = [...new Set([...b.keys(), ...w.keys(), ...m.keys()])]
      .filter((k) => b.get(k) !== w.get(k) || b.get(k) !== m.get(k))
      .map(
        (k) =>
          `   ${k}: B ${b.get(k)?.slice(0, 150)} | W ${w.get(k) === b.get(k) ? '=' : w.get(k)?.slice(0, 150)} | M ${m.get(k) === b.get(k) ? '=' : m.get(k)?.slice(0, 150)}`,
      )
    if (lines.length)
      console.log(
        JSON.stringify([
          call.operation,
          call.sql ?? call.statements,
          call.params,
          call.session,
        ]).slice(0, 150) +
          '\n' +
          lines.slice(0, 6).join('\n'),
      )
  }
  console.log(calls.length)
})
