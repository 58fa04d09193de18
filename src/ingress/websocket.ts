import { type IncomingMessage, request as httpRequest } from 'node:http'
import type { Duplex, Writable } from 'node:stream'
import type { Target } from '#contract/snapshot.ts'
import { hasBody, isConnectError } from './forward.ts'
import { closeFrame, Frames } from './frames.ts'
import { responseHeadMs } from './limits.ts'

export type Upgrade = {
  readonly request: IncomingMessage
  /** The visitor's connection. */
  readonly socket: Duplex
  /** What the visitor sent behind the head of its request. */
  readonly head: Buffer
  /** As `forwardedHeaders` makes them, without those of the upgrade itself. */
  readonly headers: readonly string[]
  readonly target: Target
  /** Aborted: the connection is to end, with a Close frame if it has become a WebSocket. */
  readonly cut: AbortSignal
}

/**
 * Whether a request asks for a WebSocket. Other upgrades are answered as if they were not there, and
 * so are handshakes with a body: nobody would read that.
 */
export function wantsWebSocket(request: IncomingMessage): boolean {
  const { method, headers } = request
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && !hasBody(request)
}

/** How an attempt to join a visitor with a Worker ended: as with `Outcome`, of which it is a part. */
export type Joined = 'answered' | 'unreached' | 'broken'

/**
 * Hands the handshake to the Worker and, once it accepted, joins the two connections. Frames are
 * the Worker's and the visitor's business. Resolves when the Worker has no part in it any more; unless
 * that is with `'answered'` nothing was sent to the visitor and the caller should.
 *
 * The handshake's answer is read as HTTP: had it been spliced blindly, a refused handshake would
 * leave the visitor with a connection to the cell that nobody cleans requests on.
 */
export function joinWebSocket(upgrade: Upgrade): Promise<Joined> {
  const { request, socket, head, target } = upgrade
  return new Promise((resolve) => {
    const outgoing = httpRequest({
      socketPath: target.socketPath,
      method: 'GET',
      path: request.url ?? '/',
      headers: [...upgrade.headers, 'Connection', 'Upgrade', 'Upgrade', 'websocket'],
      agent: false,
      timeout: responseHeadMs,
    })
    const leave = (): void => void outgoing.destroy()
    socket.once('close', leave)
    upgrade.cut.addEventListener('abort', leave)
    outgoing.once('upgrade', (answer, upstream, rest) => {
      socket.off('close', leave)
      upgrade.cut.removeEventListener('abort', leave)
      socket.write(headOf(answer))
      upstream.unshift(rest)
      upstream.write(head)
      void splice(socket, upstream, upgrade.cut).then(() => resolve('answered'))
    })
    outgoing.once('response', (answer) => {
      // Not a WebSocket after all: pass the answer on and close, whatever it is.
      socket.write(headOf(answer, ['Connection: close']))
      answer.pipe(socket)
      // An answer cut in the middle must look cut to the visitor as well.
      answer.once('close', () => void (answer.complete || socket.destroy()))
      upgrade.cut.addEventListener('abort', () => socket.destroy())
      socket.once('finish', () => part(socket)).once('close', () => resolve('answered'))
    })
    outgoing.once('error', (error) => {
      socket.off('close', leave)
      if (socket.destroyed) resolve('answered')
      else resolve(isConnectError(error) ? 'unreached' : 'broken')
    })
    outgoing.end()
  })
}

/** The head of a response, as bytes for a connection that nothing else writes to. */
function headOf(answer: IncomingMessage, extra: readonly string[] = []): Buffer {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`, ...extra]
  const { rawHeaders } = answer
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    const lower = name.toLowerCase()
    // Node has already undone the chunks of the body.
    if (lower === 'transfer-encoding' || (extra.length > 0 && lower === 'connection')) continue
    lines.push(`${name}: ${rawHeaders[index + 1]}`)
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/**
 * Joins two connections, with backpressure. Resolves when the cell's is closed: a visitor that takes
 * its time to say goodbye keeps nobody from replacing the process.
 */
async function splice(visitor: Duplex, cell: Duplex, cut: AbortSignal): Promise<void> {
  const down = new Downstream(visitor)
  const end = (): void => {
    visitor.unpipe(cell)
    visitor.resume()
    down.close()
    cell.destroy()
  }
  const leave = (): void => down.end()
  cut.addEventListener('abort', end)
  visitor.on('error', () => cell.destroy()).once('close', () => cell.end())
  cell.on('error', leave).once('end', leave).once('close', leave)
  visitor.pipe(cell)
  cell.on('data', (chunk: Buffer) => void (down.pass(chunk) || cell.pause()))
  visitor.on('drain', () => cell.resume())
  await closed(cell)
  cut.removeEventListener('abort', end)
}

function closed(end: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (end.destroyed) resolve()
    else end.once('close', () => resolve())
  })
}

const goodbyeMs = 2_000

/**
 * Parts with a visitor that was told to go: it has a moment to say goodbye in turn (RFC 6455 §7.1.1).
 * Its half of a connection stays open for as long as it likes otherwise.
 */
export function part(visitor: Writable): void {
  const deadline = setTimeout(() => visitor.destroy(), goodbyeMs)
  visitor.once('close', () => clearTimeout(deadline))
}

/**
 * What a cell says to a visitor: passed on, until it is told to close; then it ends with a Close
 * frame of its own. Not a stream: another one between two sockets cost a third of an echo.
 */
export class Downstream {
  readonly #visitor: Writable
  readonly #frames = new Frames()
  #hasEnded = false

  constructor(visitor: Writable) {
    this.#visitor = visitor
  }

  /** Passes bytes on; `false` if the visitor can't take more at the moment. */
  pass(chunk: Uint8Array): boolean {
    if (this.#hasEnded || this.#visitor.destroyed) return true
    this.#frames.follow(chunk)
    return this.#visitor.write(chunk)
  }

  /** Ends the visitor's connection behind what it was sent. */
  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#visitor.end()
    part(this.#visitor)
  }

  /**
   * In the middle of a frame there is nothing to say, nor after the Worker's own Close frame: the
   * connection just ends. Where the Worker has ended it already, what it said is passed on.
   */
  close(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const isOpen = this.#frames.isBetween && !this.#frames.isClosed
    if (isOpen) this.#visitor.write(closeFrame(restarting, 'The Worker is being restarted.'))
    this.#visitor.end()
    // It may never read what it was sent.
    part(this.#visitor)
  }
}

/** "Service Restart": the visitor may come again at once (IANA's WebSocket close codes). */
const restarting = 1012
