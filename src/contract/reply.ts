import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import type { BackendReply } from './backend.ts'

/** Sends a reply, and resolves when all of it is handed over, or nobody is there to read any more. */
export async function sendReply(response: ServerResponse, reply: BackendReply): Promise<void> {
  const { status, reason, headers, body, ended } = reply
  if (ended && response.closed) ended()
  else if (ended) response.once('close', ended)
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) {
    const length = typeof body === 'string' ? Buffer.byteLength(body) : (body?.byteLength ?? 0)
    // A reply to HEAD says how long it would have been, and one without content nothing.
    const all =
      status === 204 || status === 304 ? headers : { 'content-length': length, ...headers }
    if (reason === undefined) response.writeHead(status, all)
    else response.writeHead(status, reason, all)
    response.end(body)
    return
  }
  response.writeHead(status, headers)
  for await (const chunk of body) {
    if (response.destroyed) return
    await written(response, chunk)
  }
  response.end()
}

/** Resolves when a piece has gone out, or nobody is there to read it any more. */
function written(response: ServerResponse, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('close', done)
      resolve()
    }
    response.once('close', done)
    response.write(chunk, done)
  })
}
