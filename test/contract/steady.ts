import assert from 'node:assert/strict'
import { type Answer, type Served, type Sent, serveInProcess } from './server.ts'
import { storedIn } from './stored.ts'

/** A server on which a Worker runs that nothing may disturb. */
export interface Steady extends Served {
  /** The path of the account that the Worker belongs to. */
  readonly home: string
  /**
   * Sends what must be refused. Fails if the answer is no error that a client understands, if
   * anything was stored, or if the Worker does not answer as before.
   */
  refuse(method: string, path: string, sent?: Sent): Promise<Answer>
}

export const code = `export default { fetch() { return new Response('steady') } }`

export async function serveSteady(): Promise<Steady> {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await serveInProcess())
  const home = `/accounts/${server.account}`
  const bindings = [{ type: 'secret_text', name: 'SECRET', text: 'x' }]
  const body = form({ ...metadata, bindings }, module(code))
  const put = await server.call('PUT', `${home}/workers/scripts/steady`, { body })
  assert.equal(put.status, 200, put.text)
  const on = { json: { enabled: true } }
  const path = `${home}/workers/scripts/steady/subdomain`
  assert.equal((await server.call('POST', path, on)).status, 200)
  const owned = stack.move()
  const refuse: Steady['refuse'] = async (method, to, sent) => {
    const before = storedIn(server.dataDirectory)
    const answer = await server.call(method, to, sent)
    check(answer, `${method} ${to}`)
    assert.deepEqual(storedIn(server.dataDirectory), before, 'something was stored')
    assert.deepEqual(await server.visit('steady'), { status: 200, body: 'steady' })
    return answer
  }
  return { ...server, home, refuse, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** An error, as clients understand one. */
export function check({ status, text, envelope, message }: Answer, call: string): void {
  const what = `${call}: ${status} ${text.slice(0, 500)}`
  assert.ok(status >= 400 && status < 500, what)
  assert.equal(envelope?.success, false, what)
  assert.equal(envelope.result, null, what)
  assert.equal(envelope.errors.length, 1, what)
  assert.ok(message.length >= 10 && message.length < 2_000, what)
}

export const metadata = { main_module: 'a.js', compatibility_date: '2026-01-01' }

export function module(
  text: string | Uint8Array<ArrayBuffer>,
  { name = 'a.js', type = 'application/javascript+module' } = {},
): File {
  return new File([text], name, { type })
}

/** Text is sent as it is. */
export function form(meta: unknown, ...modules: readonly File[]): FormData {
  const made = new FormData()
  const isText = typeof meta === 'string'
  if (meta !== undefined) made.append('metadata', isText ? meta : JSON.stringify(meta))
  for (const each of modules) made.append(each.name, each)
  return made
}
