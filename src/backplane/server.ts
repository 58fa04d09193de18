import { unlink } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import type { BackendHandler, Grant } from '#contract/backend.ts'
import { messageOf } from '#contract/errors.ts'
import type { Log } from '#contract/ports/log.ts'
import type { BackplanePort, TakeSubrequest } from '#contract/snapshot.ts'
import type { Patience } from '#http1/connection.ts'
import type { HttpRequest } from '#http1/exchange.ts'
import type { Http1Response } from '#http1/response.ts'
import { Http1 } from '#http1/server.ts'
import { CallBody, noBody } from './call-body.ts'
import { sendReply } from './send.ts'

/** The header in which workerd says which binding calls: `injectRequestHeaders` overwrites it. */
export const capabilityHeader = 'x-bindery-capability'

export type BackplaneOptions = {
  /** Gives the handler of a grant, by its type. Throws for a type that nobody serves. */
  readonly serve: (grant: Grant) => BackendHandler
  readonly log: Log
}

type Handlers = ReadonlyMap<string, { readonly grant: Grant; readonly handle: BackendHandler }>

const patience: Patience = {
  headMs: 60_000,
  // workerd reuses an idle connection for up to 5 s; a server that closed it first would reset calls.
  idleMs: 75_000,
  lingerMs: 10_000,
  goodbyeMs: 2_000,
}
// R2 carries keys of 1 KiB in headers, up to six times as long when escaped in JSON.
const headBytes = 64 * 1024
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
      const line = new Line((request, response) => {
        void answer(request, response, { handlers: cells.get(cell), log: options.log, take })
      })
      await line.listen(socketPath)
      return {
        async [Symbol.asyncDispose]() {
          await line.close()
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
  request: HttpRequest,
  response: Http1Response,
  context: Context,
): Promise<void> {
  const headers = headersOf(request.rawHeaders)
  const capability = headers[capabilityHeader]
  const entry = capability === undefined ? undefined : context.handlers?.get(capability)
  if (!entry) return refuse(response, 403)
  if (!context.take()) return refuse(response, 429, tooMany)
  const body = request.body && new CallBody(request.body)
  try {
    const { method, url } = request
    const reply = await entry.handle({ method, url, headers, body: body ?? noBody })
    await sendReply(response, reply)
  } catch (error) {
    if (!body?.isCut) {
      const { type, account, worker, name } = entry.grant
      context.log.error('binding failed', { type, account, worker, name, error: messageOf(error) })
    }
    if (response.headersSent) response.destroy()
    else refuse(response, 500)
  }
}

// The reason phrase is what native clients put into their errors: kv.md.
const tooMany = 'Too many API requests by single Worker invocation.'

function refuse(response: Http1Response, status: number, reason?: string): void {
  response.writeHead(status, ['Content-Length', '0'], reason)
  response.end()
}

/** By names in lower case. Several of one name are one, with commas between. */
function headersOf(fields: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = (fields[index] ?? '').toLowerCase()
    const value = fields[index + 1] ?? ''
    headers[name] = Object.hasOwn(headers, name) ? `${headers[name]}, ${value}` : value
  }
  return headers
}

/** The socket of one cell. */
class Line {
  readonly #http1: Http1
  readonly #server: Server
  #emptied: (() => void) | undefined

  constructor(answerCall: (request: HttpRequest, response: Http1Response) => void) {
    const ended = (): void => this.#wake()
    this.#http1 = new Http1({ answer: answerCall, ended, patience, headBytes })
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#http1.take(socket))
  }

  async listen(socketPath: string): Promise<void> {
    await unlink(socketPath).catch(() => undefined)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject).listen(socketPath, resolve)
    await promise
    this.#server.off('error', reject)
  }

  /** Answers what is in flight, for so long. */
  async close(): Promise<void> {
    this.#server.close()
    this.#http1.end()
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(resolve, drainMs)
      this.#emptied = () => {
        clearTimeout(deadline)
        resolve()
      }
      this.#wake()
    })
    this.#http1.cut()
  }

  #wake(): void {
    if (this.#http1.connections === 0) this.#emptied?.()
  }
}
