import { unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { BackendHandler, Grant } from '#contract/backend.ts'
import { messageOf } from '#contract/errors.ts'
import type { Log } from '#contract/ports/log.ts'
import { sendReply } from '#contract/reply.ts'
import type { BackplanePort, TakeSubrequest } from '#contract/snapshot.ts'

/** The header in which workerd says which binding calls: `injectRequestHeaders` overwrites it. */
export const capabilityHeader = 'x-bindery-capability'

export type BackplaneOptions = {
  /** Gives the handler of a grant, by its type. Throws for a type that nobody serves. */
  readonly serve: (grant: Grant) => BackendHandler
  readonly log: Log
}

type Handlers = ReadonlyMap<string, { readonly grant: Grant; readonly handle: BackendHandler }>

// workerd reuses an idle connection for up to 5 s; a server that closed it first would reset calls.
const keepAliveMs = 75_000
// R2 carries keys of 1 KiB in headers, up to six times as long when escaped in JSON.
const maxHeaderBytes = 64 * 1024
const drainMs = 10_000

/**
 * Cells call their bindings here: one unix socket per cell, one capability per binding. The
 * identity of a caller is the socket it came in on and the header workerd injected; nothing that
 * user code can write decides what it reaches.
 */
export function createBackplane(options: BackplaneOptions): BackplanePort {
  const cells = new Map<string, Handlers>()
  return {
    async open(cell, socketPath, take) {
      const server = createServer(
        {
          keepAliveTimeout: keepAliveMs,
          headersTimeout: keepAliveMs + 5_000,
          maxHeaderSize: maxHeaderBytes,
        },
        (request, response) => {
          void answer(request, response, { handlers: cells.get(cell), log: options.log, take })
        },
      )
      // A streaming put may take as long as the Worker takes: the cell's own limits end it.
      server.requestTimeout = 0
      await listen(server, socketPath)
      return {
        async [Symbol.asyncDispose]() {
          await close(server)
          cells.delete(cell)
        },
      }
    },
    grant(cell, grants) {
      const before = cells.get(cell)
      cells.set(cell, new Map(grants.map((grant) => [grant.capability, handlerOf(grant)])))

      function handlerOf(grant: Grant): { grant: Grant; handle: BackendHandler } {
        const known = before?.get(grant.capability)
        if (known && JSON.stringify(known.grant) === JSON.stringify(grant)) return known
        return { grant, handle: options.serve(grant) }
      }
    },
  }
}

type Context = {
  readonly handlers: Handlers | undefined
  readonly log: Log
  readonly take: TakeSubrequest
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  context: Context,
): Promise<void> {
  const capability = request.headers[capabilityHeader]
  const entry = typeof capability === 'string' ? context.handlers?.get(capability) : undefined
  if (!entry) return refuse(request, response, 403)
  if (!context.take()) return refuse(request, response, 429, tooMany)
  try {
    const reply = await entry.handle({
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      headers: request.headers,
      body: request,
    })
    await sendReply(response, reply)
  } catch (error) {
    if (!request.destroyed || request.complete) {
      const { type, account, worker, name } = entry.grant
      context.log.error('binding failed', { type, account, worker, name, error: messageOf(error) })
    }
    if (response.headersSent) response.destroy()
    else refuse(request, response, 500)
  }
}

// The reason phrase is what native clients put into their errors: kv.md.
const tooMany = 'Too many API requests by single Worker invocation.'

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  ...[status, reason]: readonly [status: number, reason?: string]
): void {
  // What is left of a body must not be read as the next request.
  if (!request.complete) response.setHeader('connection', 'close')
  if (reason === undefined) response.writeHead(status, { 'content-length': 0 })
  else response.writeHead(status, reason, { 'content-length': 0 })
  response.end()
}

async function listen(server: Server, socketPath: string): Promise<void> {
  await unlink(socketPath).catch(() => undefined)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const deadline = setTimeout(() => server.closeAllConnections(), drainMs)
  await closed
  clearTimeout(deadline)
}
