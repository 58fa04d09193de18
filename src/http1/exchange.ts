// A request and its response as those see them who answer, whichever version of HTTP it is.

/** A client's request. */
export interface HttpRequest {
  readonly method: string
  /** The target as it was sent: a path and query, once that was checked. */
  readonly url: string
  readonly httpVersion: string
  /** Names and values in turn, as they were sent: a character per byte. */
  readonly rawHeaders: readonly string[]
  /** The connection that it came on: a `TLSSocket` if it is encrypted. */
  readonly socket: object & { readonly remoteAddress?: string | undefined }
  /** Absent: there is none. */
  readonly body: HttpBody | undefined
}

/** The body of a request. Nothing of it flows before somebody wants it. */
export interface HttpBody {
  /** In bytes; absent if only its end will tell. */
  readonly length: number | undefined
  /** Whether any of it has flowed: then it can't be sent a second time. */
  readonly isTouched: boolean
  /**
   * Has it flow to a sink, also at once. If it has flowed to another before, that gets nothing more;
   * what is past is lost.
   */
  flowTo(sink: BodySink): void
  /** Holds it up, but for what has been read already, and lets it go on. */
  pause(): void
  resume(): void
  /** Nobody wants the rest: it is read and forgotten. */
  drop(): void
}

/** Who a body flows to. One of `onEnd` and `onCut` is called once, and nothing after it. */
export interface BodySink {
  /** A piece, which is the sink's to keep. */
  onPiece(piece: Uint8Array): void
  onEnd(): void
  /** The rest will not come: the client left, or what it sends is no body. */
  onCut(): void
}

/** The response to a request. Its methods do nothing once it is destroyed. */
export interface HttpResponse {
  readonly headersSent: boolean
  /** Whether it is cut, or its client has left. */
  readonly destroyed: boolean
  /** Whether `end` was called, and it went out whole as far as is known. */
  readonly writableEnded: boolean
  /**
   * Takes names and values in turn. Throws a `TypeError` for what can't be in a head. It may go out with
   * the body's first piece.
   */
  writeHead(status: number, headers: readonly string[]): unknown
  /** Has a head that waits for the body go out now. */
  flushHead(): void
  /** `false` if the client can't take more before the next `drain`. The piece is not ours any more. */
  write(piece: Uint8Array): boolean
  /** What it is given is not sent where a response has no body: to a HEAD, say. */
  end(piece?: string | Uint8Array): unknown
  /** Cuts it, in a way that the client can tell from an end. */
  destroy(): unknown
  /** `close`: it was cut, or its client has left; perhaps also when all of it has gone out. */
  once(event: 'close' | 'drain', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}

/** The value of a header by its name in lower case; of several, all with commas between. */
export function headerOf(
  { rawHeaders }: Pick<HttpRequest, 'rawHeaders'>,
  wanted: string,
): string | undefined {
  let found: string | undefined
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    if (name.length !== wanted.length || name.toLowerCase() !== wanted) continue
    const value = rawHeaders[index + 1] ?? ''
    found = found === undefined ? value : `${found}, ${value}`
  }
  return found
}
