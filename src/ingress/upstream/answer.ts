import { type BodyReader, ChunkReader, EndlessReader, LengthReader } from '#http1/body.ts'
import { keepsAlive, readLength } from '#http1/framing.ts'
import { HeadReader } from '#http1/head.ts'
import { Malformed } from '#http1/malformed.ts'
import { answerHeadBytes, interimAnswers } from '#ingress/limits.ts'

/** The head of a process's answer. */
export type AnswerHead = {
  readonly status: number
  /** Names and values in turn, as they were sent. */
  readonly headers: readonly string[]
}

/** Who is told of an answer, in this order. */
export interface AnswerSink {
  /** Of the answer itself: interim ones are passed over. */
  onHead(head: AnswerHead): void
  onPiece(piece: Uint8Array): void
  /** It has ended, with this last piece if there is one. */
  onEnd(last: Uint8Array | undefined): void
}

/** RFC 9112 §4. The reason is nobody's business. */
const statusLine = /^HTTP\/(1\.[01]) ([1-5][0-9]{2})(?: .*)?$/

/** The connection goes on with another protocol. */
export const switching = 101

/**
 * Reads one answer (RFC 9112 §6.3), as strictly as requests are read: workerd writes it, but what it
 * has around the Worker's words would be believed.
 */
export class AnswerReader {
  readonly #isForHead: boolean
  readonly #sink: AnswerSink
  readonly #heads = new HeadReader(answerHeadBytes, (line) => this.#readStatus(line))
  #status = 0
  #interims = 0
  #version = ''
  /** The beginning of a head. */
  #begun: Buffer | undefined
  #body: BodyReader | undefined
  #isDone = false
  /** Whether any of it has come. */
  hasBegun = false
  /** Whether the connection can be used again when all of it has come. */
  keepsAlive = false
  /** What came behind it: of another protocol if it was a 101, else nothing that is known. */
  rest: Buffer | undefined

  constructor(isForHead: boolean, sink: AnswerSink) {
    this.#isForHead = isForHead
    this.#sink = sink
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** Takes what came. Throws `Malformed`. */
  read(piece: Buffer): void {
    this.hasBegun = true
    let bytes = piece
    let at = 0
    while (!this.#body) {
      bytes = this.#begun ? Buffer.concat([this.#begun, bytes]) : bytes
      const end = this.#heads.read(bytes)
      this.#begun = end < 0 ? bytes : undefined
      if (end < 0) return
      const { fields } = this.#heads.take(bytes)
      if (this.#status >= 200 || this.#status === switching) {
        this.#body = this.#bodyOf(fields)
        this.#sink.onHead({ status: this.#status, headers: fields })
        at = end
      } else if (++this.#interims > interimAnswers) {
        throw new Malformed(400, 'interim answers without an end')
      } else if (end === bytes.length) return
      else bytes = bytes.subarray(end)
    }
    this.#readBody(this.#body, bytes, at)
  }

  /** The connection has ended. `false` if that was not the end of the answer. */
  end(): boolean {
    if (!(this.#body instanceof EndlessReader)) return this.#isDone
    if (!this.#isDone) {
      this.#isDone = true
      this.#sink.onEnd(undefined)
    }
    return true
  }

  #readBody(body: BodyReader, bytes: Buffer, from: number): void {
    // A piece is held until it is known whether it is the last one that has come: then it can be
    // written together with the end.
    let held: Uint8Array | undefined
    let at = from
    while (at < bytes.length && !body.isDone) {
      at = body.take(bytes, at)
      if (!body.piece) continue
      if (held) this.#sink.onPiece(held)
      held = body.piece
    }
    if (at < bytes.length) this.rest = bytes.subarray(at)
    if (body.isDone) {
      this.#isDone = true
      this.#sink.onEnd(held)
    } else if (held) this.#sink.onPiece(held)
  }

  #readStatus(line: string): void {
    const [, version = '', status = ''] = statusLine.exec(line) ?? []
    if (status === '') throw new Malformed(400, 'the first line is none of an answer')
    this.#version = version
    this.#status = Number(status)
  }

  #bodyOf(fields: readonly string[]): BodyReader {
    const { length, encoding, connection } = framingOf(fields)
    this.keepsAlive = keepsAlive(connection, this.#version)
    const status = this.#status
    if (this.#isForHead || status === 204 || status === 304 || status === switching) {
      return new LengthReader(0)
    }
    if (encoding !== undefined) {
      if (encoding.toLowerCase() !== 'chunked' || length !== undefined) {
        throw new Malformed(400, 'an encoding that is not chunked alone')
      }
      return new ChunkReader(answerHeadBytes)
    }
    if (length !== undefined) return new LengthReader(length)
    this.keepsAlive = false
    return new EndlessReader()
  }
}

type AnswerFraming = {
  length?: number
  encoding?: string
  connection?: string
}

function framingOf(fields: readonly string[]): AnswerFraming {
  const framing: AnswerFraming = {}
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const value = fields[index + 1] ?? ''
    switch ((fields[index] ?? '').toLowerCase()) {
      case 'content-length':
        if (framing.length !== undefined) throw new Malformed(400, 'two lengths')
        framing.length = readLength(value)
        break
      case 'transfer-encoding':
        framing.encoding = add(framing.encoding, value)
        break
      case 'connection':
        framing.connection = add(framing.connection, value)
        break
      default:
    }
  }
  return framing
}

function add(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`
}
