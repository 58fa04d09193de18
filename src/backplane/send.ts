import type { BackendReply } from '#contract/backend.ts'
import { headersOf, isWhole } from '#contract/reply.ts'
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
  const { status, reason, body } = reply
  response.writeHead(status, Object.entries(headersOf(reply)).flat(), reason)
  if (isWhole(body)) return response.end(body)
  for await (const piece of body) {
    if (response.destroyed) return
    response.write(piece)
    await response.sent()
  }
  response.end()
}
