import { duplexPair, type Duplex } from 'node:stream'
import { eventually } from '#test/temporary.ts'
import type { Answer, Join, Patience } from './connection.ts'
import type { HttpRequest } from './exchange.ts'
import type { Http1Response } from './response.ts'
import { Http1 } from './server.ts'

// A visitor and its connection without a network between them, which would join pieces or cut them.

/** A request as it was read, once its body has ended. */
export type Seen = {
  readonly method: string
  readonly url: string
  readonly version: string
  readonly headers: readonly string[]
  readonly body: string
}

/** Reads a whole body. Resolves with `undefined` if it is cut. */
export function bodyOf({ body }: HttpRequest): Promise<string | undefined> {
  return new Promise((resolve) => {
    if (!body) return resolve('')
    let text = ''
    body.flowTo({
      onPiece: (piece) => void (text += Buffer.from(piece).toString('latin1')),
      onEnd: () => resolve(text),
      onCut: () => resolve(undefined),
    })
  })
}

/** Reads a request whole, remembers it, and answers `ok`. */
export function remembering(seen: Seen[]): Answer {
  const answer = async (request: HttpRequest, response: Http1Response): Promise<void> => {
    const body = await bodyOf(request)
    if (body === undefined) return
    const { method, url, httpVersion: version, rawHeaders: headers } = request
    seen.push({ method, url, version, headers, body })
    response.writeHead(200, ['Content-Length', '2'])
    response.end('ok')
  }
  return (request, response) => void answer(request, response)
}

export const patient: Patience = {
  headMs: 60_000,
  idleMs: 60_000,
  lingerMs: 60_000,
  goodbyeMs: 60_000,
}

export type Visitor = {
  readonly http1: Http1
  /** The visitor's end, and the server's. */
  readonly end: Duplex
  readonly served: Duplex
  /** All that it was sent so far. */
  readonly heard: string
  /** Whether the server has said that nothing more comes, or has cut the connection. */
  readonly isEnded: boolean
  /** Sends pieces one by one; resolves when each of them has been taken up. */
  send(...pieces: readonly (string | Uint8Array)[]): Promise<void>
  /** Resolves with what was heard when that matches. */
  hears(wanted: RegExp): Promise<string>
  [Symbol.dispose](): void
}

export function visit(options: {
  readonly answer: Answer
  readonly join?: Join
  readonly patience?: Partial<Patience>
}): Visitor {
  const [end, served] = duplexPair()
  const http1 = new Http1({
    answer: options.answer,
    join: options.join ?? ((_request, socket) => void socket.destroy()),
    ended: () => undefined,
    patience: { ...patient, ...options.patience },
    headBytes: 32 * 1024,
  })
  let heard = ''
  let isEnded = false
  const ended = (): void => void (isEnded = true)
  end.on('data', (piece: Buffer) => (heard += piece.toString('latin1')))
  end.on('end', ended).on('error', ended)
  // A pair without a network: what one end does not survive, the other is not told.
  served.on('close', ended)
  http1.take(served)
  return {
    http1,
    end,
    served,
    get heard() {
      return heard
    },
    get isEnded() {
      return isEnded
    },
    async send(...pieces) {
      for (const piece of pieces) {
        if (served.destroyed || end.destroyed) return
        end.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
        await turn()
      }
    },
    async hears(wanted) {
      await eventually(() => wanted.test(heard))
      return heard
    },
    [Symbol.dispose]() {
      http1.cut()
      end.destroy()
    },
  }
}

/** Lets what has been said arrive. */
export function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

export function statusesIn(heard: string): string {
  return [...heard.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]).join(' ')
}
