/** The longest head of a frame: two bytes, eight of length, four of a mask (RFC 6455 §5.2). */
const longestHead = 14

const closeOpcode = 0x8

/** Follows the frames of one direction of a WebSocket, to know where one ends. Changes nothing. */
export class Frames {
  readonly #head = new Uint8Array(longestHead)
  #headLength = 0
  #payloadLeft = 0
  #isClosed = false

  /** Whether what was followed so far ends where a frame ends. */
  get isBetween(): boolean {
    return this.#payloadLeft === 0 && this.#headLength === 0
  }

  /** Whether a Close frame was among them: none may follow it (RFC 6455 §5.5.1). */
  get isClosed(): boolean {
    return this.#isClosed
  }

  follow(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#payloadLeft > 0) {
        const step = Math.min(this.#payloadLeft, bytes.length - at)
        this.#payloadLeft -= step
        at += step
      } else {
        this.#head[this.#headLength++] = bytes[at++] ?? 0
        const payload = this.#payload()
        if (payload === undefined) continue
        this.#isClosed ||= ((this.#head[0] ?? 0) & 0x0f) === closeOpcode
        this.#headLength = 0
        this.#payloadLeft = payload
      }
    }
  }

  /** The length of the payload, once the head is complete. */
  #payload(): number | undefined {
    const length = this.#headLength
    if (length < 2) return undefined
    const second = this.#head[1] ?? 0
    const short = second & 0x7f
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0
    if (length < 2 + extended + (second & 0x80 ? 4 : 0)) return undefined
    if (extended === 0) return short
    let payload = 0
    for (let at = 2; at < 2 + extended; at++) payload = payload * 256 + (this.#head[at] ?? 0)
    return payload
  }
}

/** A Close frame of a server. The reason is at most 123 bytes of UTF-8 (RFC 6455 §5.5). */
export function closeFrame(code: number, reason: string): Uint8Array {
  const text = new TextEncoder().encode(reason).subarray(0, 123)
  return Uint8Array.from([0x88, text.length + 2, code >> 8, code & 0xff, ...text])
}
