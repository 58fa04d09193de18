import { STATUS_CODES } from 'node:http'
import type { Duplex, Writable } from 'node:stream'
import type { Target } from '#contract/snapshot.ts'
import { headerOf, type HttpRequest } from '#http1/exchange.ts'
import { Malformed } from '#http1/malformed.ts'
import { type AnswerHead, AnswerReader, type AnswerSink } from '#ingress/upstream/answer.ts'
import { Line } from '#ingress/upstream/line.ts'
import { endToEnd } from './forward.ts'
import { closeFrame, Frames } from './frames.ts'
import { goodbyeMs, responseHeadMs } from './limits.ts'
import type { ErrorPage } from './pages.ts'

export type Upgrade = {
  readonly request: HttpRequest
  /** The visitor's connection. It is not read. */
  readonly socket: Duplex
  /** What the visitor sent behind the head of its request. */
  readonly rest: Buffer
  /** As `forwardedFields` makes them, without those of the upgrade itself. */
  readonly fields: string
  readonly target: Target
  /** Aborted: the connection is to end, with a Close frame if it has become a WebSocket. */
  readonly cut: AbortSignal
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
  return new Promise((resolve) => new Handshake(upgrade, resolve).start())
}

class Handshake implements AnswerSink {
  readonly #upgrade: Upgrade
  readonly #resolve: (joined: Joined) => void
  readonly #line = new Line()
  readonly #reader = new AnswerReader(false, this)
  #isConnected = false
  #status = 0

  constructor(upgrade: Upgrade, resolve: (joined: Joined) => void) {
    this.#upgrade = upgrade
    this.#resolve = resolve
  }

  start(): void {
    const { request, fields, socket, cut, target } = this.#upgrade
    const line = this.#line
    line.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose)
    line.on('error', () => undefined).once('connect', () => (this.#isConnected = true))
    line.setTimeout(responseHeadMs, this.#leave)
    socket.once('close', this.#leave)
    cut.addEventListener('abort', this.#leave)
    line.connect(target.socketPath)
    line.write(
      `GET ${request.url} HTTP/1.1\r\n${fields}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
      'latin1',
    )
  }

  onHead({ status, headers }: AnswerHead): void {
    const switchesTo = status === 101 ? headerOf({ rawHeaders: headers }, 'upgrade') : undefined
    if (status === 101 && switchesTo?.toLowerCase() !== 'websocket') {
      throw new Malformed(400, 'a switch to what nobody asked for')
    }
    this.#status = status
    const { socket, cut } = this.#upgrade
    cut.removeEventListener('abort', this.#leave)
    this.#line.setTimeout(0)
    if (status === 101) return void socket.write(headOf(status, headers))
    // Not a WebSocket after all: pass the answer on and close, whatever it is.
    socket.write(headOf(status, ['Connection', 'close', ...endToEnd(headers)]))
    socket.resume().on('drain', () => this.#line.resume())
    cut.addEventListener('abort', () => socket.destroy())
    socket.once('finish', () => part(socket)).once('close', () => this.#resolve('answered'))
  }

  onPiece(piece: Uint8Array): void {
    if (!this.#upgrade.socket.write(piece)) this.#line.pause()
  }

  onEnd(last: Uint8Array | undefined): void {
    const { socket, rest, cut } = this.#upgrade
    const line = this.#line
    line.off('data', this.#onData).off('end', this.#onEnd)
    if (this.#status !== 101) {
      if (last) socket.write(last)
      socket.end()
      line.destroy()
      return
    }
    socket.off('close', this.#leave)
    line.off('close', this.#onClose)
    const first = this.#reader.rest
    void splice({ visitor: socket, cell: line, cut, fromVisitor: rest, fromCell: first }).then(() =>
      this.#resolve('answered'),
    )
  }

  readonly #onData = (piece: Buffer): void => {
    try {
      this.#reader.read(piece)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#line.destroy()
    }
  }

  readonly #onEnd = (): void => {
    if (!this.#reader.end()) this.#line.destroy()
  }

  readonly #onClose = (): void => {
    const { socket, cut } = this.#upgrade
    socket.off('close', this.#leave)
    cut.removeEventListener('abort', this.#leave)
    // An answer cut in the middle must look cut to the visitor as well.
    if (this.#status !== 0) {
      if (!this.#reader.isDone) socket.destroy()
    } else if (socket.destroyed) this.#resolve('answered')
    else this.#resolve(this.#isConnected ? 'broken' : 'unreached')
  }

  readonly #leave = (): void => void this.#line.destroy()
}

/** Answers a handshake with what is left of a page, and closes. */
export function refuseUpgrade(socket: Duplex, page: ErrorPage): void {
  if (socket.destroyed) return
  const location = page.location === undefined ? [] : ['Location', page.location]
  socket.end(headOf(page.status, [...location, 'Connection', 'close', 'Content-Length', '0']))
  part(socket)
}

/** The head of an answer, as bytes for a connection that nothing else writes to. */
function headOf(status: number, fields: readonly string[]): Buffer {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`
  for (let index = 0; index + 1 < fields.length; index += 2) {
    head += `${fields[index]}: ${fields[index + 1]}\r\n`
  }
  return Buffer.from(`${head}\r\n`, 'latin1')
}

/**
 * Joins two connections, with backpressure. Resolves when the cell's is closed: a visitor that takes
 * its time to say goodbye keeps nobody from replacing the process.
 */
async function splice(both: {
  readonly visitor: Duplex
  readonly cell: Duplex
  readonly cut: AbortSignal
  /** What each has said already. */
  readonly fromVisitor: Buffer
  readonly fromCell: Buffer | undefined
}): Promise<void> {
  const { visitor, cell, cut } = both
  const down = new Downstream(visitor)
  const hear = (piece: Buffer): void => void (cell.write(piece) || visitor.pause())
  const end = (): void => {
    visitor.off('data', hear).resume()
    down.close()
    cell.destroy()
  }
  const leave = (): void => down.end()
  cut.addEventListener('abort', end)
  visitor
    .on('error', () => cell.destroy())
    .once('close', () => {
      // What the visitor has said is passed on; what nobody can hear any more must not hold it up.
      cell.end()
      cell.resume()
    })
  cell.on('error', leave).once('end', leave).once('close', leave)
  if (both.fromVisitor.length > 0) cell.write(both.fromVisitor)
  if (both.fromCell) down.pass(both.fromCell)
  visitor.on('data', hear).once('end', () => cell.end())
  cell.on('drain', () => visitor.resume())
  cell.on('data', (piece: Buffer) => void (down.pass(piece) || cell.pause()))
  visitor.on('drain', () => cell.resume())
  visitor.resume()
  cell.resume()
  if (cut.aborted) end()
  await closed(cell)
  cut.removeEventListener('abort', end)
}

function closed(end: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (end.destroyed) resolve()
    else end.once('close', () => resolve())
  })
}

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
