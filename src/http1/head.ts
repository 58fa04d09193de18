import { Malformed } from './malformed.ts'

// The head of a message (RFC 9112 §2 to §5), byte by byte. Each byte is looked at once, however the
// message is cut into pieces, so where it is cut can't change what is read. What the RFC lets a
// recipient forgive is refused: lines that end with a lone LF (§2.2), folded lines (§5.2), space
// before a colon (§5.1), control characters in values (RFC 9110 §5.5).

/** A head: its first line, and the names and values of its fields in turn, as they were sent. */
export type Head = {
  readonly line: string
  readonly fields: string[]
}

const tab = 0x09
const lf = 0x0a
const cr = 0x0d
const space = 0x20
const colon = 0x3a

/** What a byte may be part of. */
const inToken = 1
const inValue = 2

const classes = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  const char = String.fromCharCode(byte)
  // RFC 9110 §5.6.2.
  if (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(char)) classes[byte] = inToken
  // RFC 9110 §5.5: what can be seen, space and tab, and bytes that are no ASCII, whatever they mean.
  if (/[\t\x20-\x7e\x80-\xff]/.test(char)) classes[byte] = (classes[byte] ?? 0) | inValue
}

export function isTokenByte(byte: number): boolean {
  return ((classes[byte] ?? 0) & inToken) !== 0
}

export function isValueByte(byte: number): boolean {
  return ((classes[byte] ?? 0) & inValue) !== 0
}

const inFirst = 0
const afterEmpty = 1
const afterFirst = 2
const atField = 3
const inName = 4
const beforeValue = 5
const inFieldValue = 6
const afterField = 7
const afterLast = 8
const isComplete = 9

/**
 * Reads one head from bytes that may come in pieces. Offsets are kept from the first byte: the caller
 * gathers the pieces of an incomplete head and hands over all of them each time.
 */
export class HeadReader {
  readonly #limit: number
  readonly #checkLine: (line: string) => void
  #state = inFirst
  #at = 0
  #line = ''
  /** Where the first line begins, and behind it where the fields do. */
  #from = 0
  /** Where each field's name begins and ends, and its value, behind one another. */
  #marks: number[] = []

  /**
   * `checkLine` throws for a first line that is none; it is called as soon as that is complete.
   * `limit` is how many bytes the whole may have.
   */
  constructor(limit: number, checkLine: (line: string) => void) {
    this.#limit = limit
    this.#checkLine = checkLine
  }

  /** Whether nothing has been read but empty lines. */
  get isEmpty(): boolean {
    return this.#state === afterEmpty || (this.#state === inFirst && this.#at === this.#from)
  }

  /**
   * Reads on. Returns where the body begins, or -1 if the head goes on behind `bytes`. Throws
   * `Malformed`.
   */
  read(bytes: Buffer): number {
    const end = Math.min(bytes.length, this.#limit)
    while (this.#at < end && this.#state !== isComplete) this.#step(bytes, end)
    if (this.#state === isComplete) return this.#at
    if (bytes.length >= this.#limit) throw new Malformed(431, 'the head is too long')
    return -1
  }

  /** The head that was read, once; the next one may be read then. */
  take(bytes: Buffer): Head {
    const marks = this.#marks
    const from = this.#from
    const text = bytes.toString('latin1', from, this.#at)
    const fields: string[] = []
    for (let index = 0; index + 1 < marks.length; index += 2) {
      fields.push(text.slice((marks[index] ?? 0) - from, (marks[index + 1] ?? 0) - from))
    }
    const head = { line: this.#line, fields }
    this.#state = inFirst
    this.#at = 0
    this.#from = 0
    this.#marks = []
    return head
  }

  /** One run of bytes that belong together, or the one byte that ends it. */
  #step(bytes: Buffer, end: number): void {
    switch (this.#state) {
      case inFirst:
        return this.#first(bytes, end)
      case afterEmpty:
        this.#feed(bytes, inFirst)
        this.#from = this.#at
        return
      case afterFirst:
        this.#feed(bytes, atField)
        this.#from = this.#at
        return
      case atField:
        return this.#field(bytes)
      case inName:
        return this.#name(bytes, end)
      case beforeValue:
        return this.#blank(bytes)
      case inFieldValue:
        return this.#value(bytes, end)
      case afterField:
        return this.#feed(bytes, atField)
      default:
        return this.#feed(bytes, isComplete)
    }
  }

  #first(bytes: Buffer, end: number): void {
    const at = this.#run(bytes, end, inValue)
    if (at === end) return
    if (bytes[at] !== cr) throw new Malformed(400, 'a control character in the first line')
    this.#at = at + 1
    if (at === this.#from) {
      // RFC 9112 §2.2: empty lines before a request are passed over. They count towards the limit.
      this.#state = afterEmpty
      return
    }
    this.#line = bytes.toString('latin1', this.#from, at)
    this.#checkLine(this.#line)
    this.#state = afterFirst
  }

  /** Takes the line feed that must follow; what comes behind it is another part. */
  #feed(bytes: Buffer, next: number): void {
    if (bytes[this.#at++] !== lf) throw new Malformed(400, 'a carriage return by itself')
    this.#state = next
  }

  /** Passes over bytes of one class; returns where they end. */
  #run(bytes: Buffer, end: number, wanted: number): number {
    let at = this.#at
    while (at < end && ((classes[bytes[at] ?? 0] ?? 0) & wanted) !== 0) at++
    this.#at = at
    return at
  }

  #field(bytes: Buffer): void {
    if (bytes[this.#at] === cr) {
      this.#at++
      this.#state = afterLast
      return
    }
    this.#marks.push(this.#at)
    this.#state = inName
  }

  #name(bytes: Buffer, end: number): void {
    const at = this.#run(bytes, end, inToken)
    if (at === end) return
    const isNamed = at > (this.#marks.at(-1) ?? at)
    if (bytes[at] !== colon || !isNamed) throw new Malformed(400, 'a field without a name')
    this.#marks.push(at)
    this.#at = at + 1
    this.#state = beforeValue
  }

  #blank(bytes: Buffer): void {
    const byte = bytes[this.#at]
    if (byte === space || byte === tab) {
      this.#at++
      return
    }
    this.#marks.push(this.#at)
    this.#state = inFieldValue
  }

  #value(bytes: Buffer, end: number): void {
    const at = this.#run(bytes, end, inValue)
    if (at === end) return
    if (bytes[at] !== cr) throw new Malformed(400, 'a control character in a value')
    // RFC 9112 §5.1: space around a value is no part of it.
    const from = this.#marks.at(-1) ?? at
    let to = at
    while (to > from && (bytes[to - 1] === space || bytes[to - 1] === tab)) to--
    this.#marks.push(to)
    this.#at = at + 1
    this.#state = afterField
  }
}
