import { createServer, type Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Address, Listening } from '#contract/listening.ts'

/** The listener of the REST API. Owned by `main.ts`. */
export interface ApiListener {
  /** Listens; resolves with what it is bound to, rejects with Node's error if it can't. */
  listen(where: Listening): Promise<Address>
  /** From now on `GET /health` answers 200, and 503 before. */
  ready(): void
  /** Stops listening and lets what is in flight finish, for so long. */
  close(deadlineMs: number): Promise<void>
}

/** Puts `fetch` and `/health` behind a listener. */
export function createApiListener(fetch: (request: Request) => Promise<Response>): ApiListener {
  let isReady = false
  const answer = async (request: Request): Promise<Response> =>
    new URL(request.url).pathname === '/health' ? health(isReady) : fetch(request)
  const listener = getRequestListener(answer, { overrideGlobalObjects: false })
  const server = createServer(
    { maxHeaderSize: 64 * 1024, keepAliveTimeout: 75_000, headersTimeout: 60_000 },
    (incoming, outgoing) => void listener(incoming, outgoing),
  )
  return {
    listen: (where) => listen(server, where),
    ready: () => {
      isReady = true
    },
    close: (deadlineMs) => {
      isReady = false
      return close(server, deadlineMs)
    },
  }
}

function health(isReady: boolean): Response {
  const status = isReady ? 'ok' : 'starting'
  return Response.json({ status }, { status: isReady ? 200 : 503 })
}

function listen(server: Server, where: Listening): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen('descriptor' in where ? { fd: where.descriptor } : { ...where }, () => {
      server.off('error', reject)
      const bound = server.address()
      if (typeof bound === 'object' && bound !== null) {
        resolve({ host: bound.address, port: bound.port })
      } else reject(new Error(`a socket of TCP is needed, and this is bound to ${bound}`))
    })
  })
}

async function close(server: Server, deadlineMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const deadline = setTimeout(() => server.closeAllConnections(), deadlineMs)
  await closed
  clearTimeout(deadline)
}
