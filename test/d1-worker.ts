import assert from 'node:assert/strict'
import { z } from 'zod'
import { call, deploy, type Place } from '#test/deployer.ts'
import type { TestServer } from '#test/server.ts'

// A Worker that asks its database what a test says, and tells what came of it.

/** Its code: what is bound to it as `DB` is asked. */
export const askerCode = `
const kinds = {
  undefined: () => undefined,
  bytes: (list) => new Uint8Array(list),
  buffer: (list) => new Uint8Array(list).buffer,
  part: (list) => new Uint8Array(list).subarray(1),
  bigint: (text) => BigInt(text),
  symbol: (text) => Symbol(text),
  function: () => () => 1,
  object: (value) => value,
  number: (text) => Number(text),
}
function decoded(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const [[kind, of]] = Object.entries(value)
  return kinds[kind](of)
}
const bound = (db, { sql, params = [] }) => db.prepare(sql).bind(...params.map(decoded))
const operations = {
  all: (db, asked) => bound(db, asked).all(),
  run: (db, asked) => bound(db, asked).run(),
  first: (db, asked) => asked.column ? bound(db, asked).first(asked.column) : bound(db, asked).first(),
  raw: (db, asked) => bound(db, asked).raw({ columnNames: asked.columnNames ?? false }),
  batch: (db, { statements }) => db.batch(statements.map((each) => bound(db, each))),
  exec: (db, { sql }) => db.exec(sql),
  dump: async (db) => (await db.dump()).byteLength,
  async twice(db, { sql }) {
    const first = db.prepare(sql)
    const [one, two] = [first.bind(1), first.bind(2)]
    return [await one.raw(), await two.raw(), await one.raw()]
  },
  async both(db, { statements }) {
    return Promise.all(statements.map((each) => bound(db, each).all().then((got) => got.results, (error) => error.message)))
  },
}
async function answer(env, asked) {
  try {
    const { session } = asked
    const db = session === undefined ? env.DB : session === null ? env.DB.withSession() : env.DB.withSession(session)
    const result = await operations[asked.operation](db, asked)
    return { result, bookmark: session === undefined ? null : db.getBookmark() }
  } catch (error) {
    return { error: error.message, cause: error.cause?.message ?? null }
  }
}
export default {
  async fetch(request, env) {
    if (request.method === 'GET') return new Response('')
    const asked = await request.json()
    if (!Array.isArray(asked)) return Response.json(await answer(env, asked))
    const answers = []
    for (const each of asked) answers.push(await answer(env, each))
    return Response.json(answers)
  },
}`

export type Asked = {
  readonly operation: string
  readonly sql?: string
  readonly params?: readonly unknown[]
  readonly column?: string
  readonly columnNames?: boolean
  readonly statements?: readonly { readonly sql: string; readonly params?: readonly unknown[] }[]
  /** `null`: a session without a word of where it begins. */
  readonly session?: string | null
}

export const told = z.union([
  z.object({ result: z.unknown(), bookmark: z.string().nullable() }),
  z.object({ error: z.string(), cause: z.string().nullable() }),
])
export type Told = z.output<typeof told>

const uuid = z.object({ uuid: z.uuid() })

/** Makes a database; gives its id. */
export async function database(place: Place, name: string): Promise<string> {
  return uuid.parse(await call(place, 'POST', '~/d1/database', { name })).uuid
}

/** Deploys the Worker, bound to a database. */
export async function deployAsker(place: Place, worker: string, id: string): Promise<void> {
  await deploy(place, worker, { code: askerCode, bindings: [{ type: 'd1', name: 'DB', id }] })
}

/** Has a Worker ask its database. */
export async function ask(server: TestServer, worker: string, asked: Asked): Promise<Told> {
  return told.parse(await post(server, worker, asked))
}

/** The same, of a call that succeeds. */
export async function resultOf(server: TestServer, worker: string, asked: Asked): Promise<unknown> {
  const answer = await ask(server, worker, asked)
  assert.ok('result' in answer, JSON.stringify(answer))
  return answer.result
}

/** Has it ask one after the other, in one request. */
export async function askAll(
  server: TestServer,
  worker: string,
  asked: readonly Asked[],
): Promise<readonly Told[]> {
  return z.array(told).parse(await post(server, worker, asked))
}

async function post(server: TestServer, worker: string, body: unknown): Promise<unknown> {
  const response = await server.visit(worker, '/', { method: 'POST', body: JSON.stringify(body) })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return JSON.parse(text)
}

const rows = z.object({ results: z.array(z.record(z.string(), z.unknown())) })

/** The rows of a statement. */
export async function rowsOf(
  server: TestServer,
  worker: string,
  sql: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const answer = await ask(server, worker, { operation: 'all', sql })
  assert.ok('result' in answer, JSON.stringify(answer))
  return rows.parse(answer.result).results
}
