import { Buffer } from 'node:buffer'
import type { BackendReply } from '#contract/backend.ts'
import type { Http1Response } from '#http1/response.ts'

/** Sends a reply. Resolves when all of it is handed over, or nobody is there to read any more. */
export async function sendReply(response: Http1Response, reply: BackendReply): Promise<void> {
  const { ended } = reply
  if (!ended) return send(response, reply)
  const left = Promise.withResolvers<void>()
  response.once('close', left.resolve)
  void left.promise.then(ended)
  try {
    await send(response, reply)
  } finally {
    left.resolve()
  }
}

async function send(response: Http1Response, reply: BackendReply): Promise<void> {
  const { status, reason, headers = {}, body } = reply
  const fields = Object.entries(headers).flat()
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) {
    const length = typeof body === 'string' ? Buffer.byteLength(body) : (body?.byteLength ?? 0)
    // A reply to HEAD says how long it would have been, and one without content nothing.
    const saysLength = status !== 204 && status !== 304 && !hasLength(headers)
    if (saysLength) fields.push('Content-Length', String(length))
    response.writeHead(status, fields, reason)
    response.end(body)
    return
  }
  response.writeHead(status, fields, reason)
  for await (const piece of body) {
    if (response.destroyed) return
    response.write(piece)
    await response.sent()
  }
  response.end()
}

function hasLength(headers: NonNullable<BackendReply['headers']>): boolean {
  return Object.keys(headers).some((name) => name.toLowerCase() === 'content-length')
}
