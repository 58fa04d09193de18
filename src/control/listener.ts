import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Protocol } from '#contract/backend.ts'
import { messageOf } from '#contract/errors.ts'
import type { Address, Listening } from '#contract/listening.ts'
import type { Log } from '#contract/ports/log.ts'
import { sendReply } from '#contract/reply.ts'

/** The listener of the REST API. Owned by `main.ts`. */
export interface ApiListener {
  /** Listens; resolves with what it is bound to, rejects with Node's error if it can't. */
  listen(where: Listening): Promise<Address>
  /** From now on `GET /health` answers 200, and 503 before. */
  ready(): void
  /** Stops listening and lets what is in flight finish, for so long. */
  close(deadlineMs: number): Promise<void>
}

export type ApiListenerOptions = {
  /** The REST API. */
  readonly fetch: (request: Request) => Promise<Response>
  /** Asked in order before it: the first that a request speaks answers. */
  readonly protocols: readonly Protocol[]
  readonly log: Log
}

/** How long a client may neither send what it announced nor take what it asked for. */
const stalledMs = 120_000

/** Puts the REST API, other protocols and `/health` behind a listener. */
export function createApiListener({ fetch, protocols, log }: ApiListenerOptions): ApiListener {
  let isReady = false
  const answer = async (request: Request): Promise<Response> =>
    new URL(request.url).pathname === '/health' ? health(isReady) : fetch(request)
  const listener = getRequestListener(answer, { overrideGlobalObjects: false })
  const server = createServer(
    { maxHeaderSize: 64 * 1024, keepAliveTimeout: 75_000, headersTimeout: 60_000 },
    (incoming, outgoing) => {
      const protocol = protocols.find((each) => each.speaks(headOf(incoming)))
      // Node ends what does not move for so long. A call of the API may take its time to be answered.
      if (protocol || hasBody(incoming)) incoming.socket.setTimeout(stalledMs)
      if (!protocol) incoming.once('end', () => incoming.socket.setTimeout(0))
      if (!protocol) void listener(incoming, outgoing)
      else void speak(protocol, { incoming, outgoing, log })
    },
  )
  // An upload may take as long as its bytes keep coming.
  server.requestTimeout = 0
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

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function headOf({ method = 'GET', url = '/', headers }: IncomingMessage) {
  return { method, url, headers }
}

async function speak(
  protocol: Protocol,
  call: {
    readonly incoming: IncomingMessage
    readonly outgoing: ServerResponse
    readonly log: Log
  },
): Promise<void> {
  const { incoming, outgoing, log } = call
  try {
    await sendReply(outgoing, await protocol.handle({ ...headOf(incoming), body: incoming }))
  } catch (error) {
    if (!incoming.destroyed) log.error('a protocol failed', { error: messageOf(error) })
    if (outgoing.headersSent) outgoing.destroy()
    else outgoing.writeHead(500, { 'content-length': 0, connection: 'close' }).end()
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
