import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import type { BackendReply } from './backend.ts'

/** Whether a body is there, all of it, or there is none; the others come in pieces. */
export function isWhole(body: BackendReply['body']): body is string | Uint8Array | undefined {
  return body === undefined || typeof body === 'string' || body instanceof Uint8Array
}

/**
 * The headers of a reply as they are sent: of a whole body with its length, if they do not say one. A
 * reply to HEAD says how long it would have been, and one without content nothing.
 */
export function headersOf({ status, headers = {}, body }: BackendReply): Record<string, string> {
  if (!isWhole(body) || status === 204 || status === 304) return { ...headers }
  const length = typeof body === 'string' ? Buffer.byteLength(body) : (body?.byteLength ?? 0)
  return { 'content-length': String(length), ...headers }
}

/** Sends a reply, and resolves when all of it is handed over, or nobody is there to read any more. */
export async function sendReply(response: ServerResponse, reply: BackendReply): Promise<void> {
  const { status, reason, body, ended } = reply
  if (ended && response.closed) ended()
  else if (ended) response.once('close', ended)
  const headers = headersOf(reply)
  if (reason === undefined) response.writeHead(status, headers)
  else response.writeHead(status, reason, headers)
  if (isWhole(body)) return void response.end(body)
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
