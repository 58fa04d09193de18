import { METHODS } from 'node:http'
import { Malformed } from './malformed.ts'

/** What the head of a request says of the message and of its connection. */
export type RequestLine = {
  readonly method: string
  readonly target: string
  readonly version: '1.0' | '1.1'
}

/** How a body ends: `length` bytes, or with a chunk of none. */
export type Framing = { readonly length: number } | 'chunked'

export type Terms = {
  /** Absent: there is no body. */
  readonly framing: Framing | undefined
  /** Whether the connection goes on behind the response. */
  readonly keepsAlive: boolean
  /** Whether the client waits for a `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean
  /** The protocol that it would like to go on with, in lower case. */
  readonly upgrade: string | undefined
  /** Whether it means the connection that it came on by that. */
  readonly offersUpgrade: boolean
}

/** Whoever wants a tunnel is to ask a proxy. */
const methods: ReadonlySet<string> = new Set(METHODS.filter((method) => method !== 'CONNECT'))

/** RFC 9112 §3: a method, one space, a target of visible ASCII, one space, a version. */
const requestLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP\/([0-9]\.[0-9])$/

/** Reads the first line of a request. Throws `Malformed`. */
export function readRequestLine(line: string): RequestLine {
  const match = requestLine.exec(line)
  const [, method = '', target = '', version = ''] = match ?? []
  if (!match) throw new Malformed(400, 'the first line is none of a request')
  if (version !== '1.1' && version !== '1.0') {
    throw new Malformed(505, `version ${version}`)
  }
  if (!methods.has(method)) throw new Malformed(400, 'an unknown method')
  return { method, target, version }
}

/**
 * What the fields of a request say of its body and its connection. Whatever two recipients could
 * understand in two ways is refused (RFC 9112 §6.1, §6.3): a length and chunks, more than one of
 * either, any encoding but chunked, a length that is not digits alone. Throws `Malformed`.
 */
export function readTerms(fields: readonly string[], version: '1.0' | '1.1'): Terms {
  let length: number | undefined
  let isChunked = false
  let connection: string | undefined
  let expect: string | undefined
  let upgrade: string | undefined
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index] ?? ''
    const value = fields[index + 1] ?? ''
    switch (name.length) {
      case 6:
        if (name.toLowerCase() === 'expect') expect = joined(expect, value)
        break
      case 7:
        if (name.toLowerCase() === 'upgrade') upgrade = joined(upgrade, value)
        break
      case 10:
        if (name.toLowerCase() === 'connection') connection = joined(connection, value)
        break
      case 14:
        if (name.toLowerCase() !== 'content-length') break
        if (length !== undefined) throw new Malformed(400, 'two lengths')
        length = readLength(value)
        break
      case 17:
        if (name.toLowerCase() !== 'transfer-encoding') break
        if (isChunked || value.toLowerCase() !== 'chunked' || version === '1.0') {
          throw new Malformed(400, 'an encoding that is not chunked alone')
        }
        isChunked = true
        break
      default:
    }
  }
  if (isChunked && length !== undefined) throw new Malformed(400, 'a length and chunks')
  const hasBody = isChunked || (length !== undefined && length > 0)
  return {
    framing: isChunked ? 'chunked' : length === undefined ? undefined : { length },
    keepsAlive: keepsAlive(connection, version),
    expectsContinue: hasBody && expectsContinue(expect) && version === '1.1',
    upgrade: upgrade?.toLowerCase(),
    offersUpgrade: upgrade !== undefined && optionsIn(connection).includes('upgrade'),
  }
}

/** RFC 9110 §8.6: digits. What no number here holds exactly is refused (RFC 9112 §6.3, "overflow"). */
export function readLength(value: string): number {
  const length = /^[0-9]{1,19}$/.test(value) ? Number(value) : Number.NaN
  if (!Number.isSafeInteger(length)) throw new Malformed(400, 'a length that is none')
  return length
}

/** RFC 9112 §9.3. */
export function keepsAlive(connection: string | undefined, version: string): boolean {
  if (connection === undefined) return version === '1.1'
  const options = optionsIn(connection)
  if (options.includes('close')) return false
  return version === '1.1' || options.includes('keep-alive')
}

/** RFC 9110 §7.6.1. */
function optionsIn(connection = ''): readonly string[] {
  return connection
    .toLowerCase()
    .split(',')
    .map((option) => option.trim())
}

/** RFC 9110 §10.1.1: there is nothing else that can be expected. */
function expectsContinue(expect: string | undefined): boolean {
  if (expect === undefined) return false
  if (expect.toLowerCase() !== '100-continue') throw new Malformed(417, 'an expectation')
  return true
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`
}
