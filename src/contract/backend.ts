import type { AccountId, WorkerName } from './ids.ts'
import type { Json } from './json.ts'

/**
 * The right to use one resource through one binding of one deployed Worker. The capability is the
 * unguessable name under which the cell calls it; workerd injects it where user code can neither
 * read nor replace it.
 */
export type Grant = {
  readonly capability: string
  /** The cell that may use it: the backplane accepts it on that cell's socket alone. */
  readonly cell: string
  readonly account: AccountId
  readonly worker: WorkerName
  /** The name in `env`. */
  readonly name: string
  /** The binding's type, which says whose `serve` answers. */
  readonly type: string
  readonly resource: Json
}

/**
 * A call from a cell, or from a client of a `Protocol`. The request line and headers are as they were sent: the path is not
 * decoded, header names are lower-case, values are latin1 (see `utf8OfHeader`).
 */
export type BackendRequest = {
  readonly method: string
  /** Path and query, raw. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** The body. Ends with an error if the caller goes away before it is complete. */
  readonly body: AsyncIterable<Uint8Array>
}

export type BackendReply = {
  readonly status: number
  /** The reason phrase: for KV and Queues it is the channel of error messages. */
  readonly reason?: string
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Bytes with a known length, or a stream, of which each piece is used up before the next is asked
   * for: that may overwrite it. Errors of KV and Queues must have none.
   */
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>
  /** Called once when it is over: all is sent, or the caller has gone. */
  readonly ended?: () => void
}

/** Answers the calls of one grant. What it throws is logged and becomes a bare 500. */
export type BackendHandler = (request: BackendRequest) => Promise<BackendReply>

/**
 * Another protocol than the REST API's, on the same listener. It finds out by itself who calls. What
 * it throws is logged and becomes a bare 500.
 */
export interface Protocol {
  /** Whether a request speaks it, as far as its head says. */
  speaks(request: Omit<BackendRequest, 'body'>): boolean
  readonly handle: BackendHandler
}

/** workerd writes header values as UTF-8, Node reads them as latin1. */
export function utf8OfHeader(latin1: string): string {
  return new TextDecoder().decode(Uint8Array.from(latin1, (char) => char.charCodeAt(0)))
}

/** Node writes header values as latin1, workerd reads them as UTF-8. */
export function headerOfUtf8(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text))
}

/** Control characters would end the status line: a reason phrase must have none (RFC 9112 §4). */
export function reasonPhrase(text: string): string {
  return headerOfUtf8(text.replaceAll(/\p{Cc}+/gu, ' '))
}
