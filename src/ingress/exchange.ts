import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'

// What the answer path knows of a visitor. HTTP/1 has it as Node's own objects, so that it pays
// nothing for there being another protocol; HTTP/2 as those of `http2.ts`.

/** A visitor's request; as a stream, its body. */
export interface VisitorRequest extends Readable {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly httpVersion: string
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as they were sent. */
  readonly rawHeaders: readonly string[]
  /** The connection that it came on: a `TLSSocket` if it is encrypted. */
  readonly socket: object & { readonly remoteAddress?: string | undefined }
}

/** The response to it. */
export interface VisitorResponse {
  readonly req: Pick<VisitorRequest, 'method'>
  readonly headersSent: boolean
  readonly destroyed: boolean
  /** Whether it has been written to its end, and whether all of that has been sent. */
  readonly writableEnded: boolean
  readonly writableFinished: boolean
  /** Takes names and values in turn. */
  writeHead(status: number, headers: string[]): unknown
  /** `false` if the visitor can't take more before the next `drain`. */
  write(chunk: Uint8Array): boolean
  end(chunk?: string | Uint8Array): unknown
  /** Cuts it, in a way that the visitor can tell from an end. */
  destroy(): unknown
  once(event: 'close' | 'drain', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}
