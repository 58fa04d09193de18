import { Buffer } from 'node:buffer'

// Reads multipart/form-data (RFC 7578) that is in memory already. The platform's own `formData()`
// copies each byte of it four times over, of which an upload may have a hundred million; here a
// part is a view of the body.

/** One part of a form. */
export type Part = {
  readonly name: string
  /** Absent: a field, not a file. */
  readonly filename?: string
  /** The part's content type, or `""`. */
  readonly type: string
  readonly bytes: Uint8Array
}

/** Bytes of the head of a part: its name, its file's name and its type. */
const partHeadBytes = 16 * 1024

const lineEnd = '\r\n'
const headEnd = '\r\n\r\n'

/** The boundary that a content type names. */
export function boundaryOf(contentType: string): string | undefined {
  const found = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType)
  return found?.[1] ?? found?.[2]
}

/**
 * The parts of a form in their order, or nothing if it is broken anywhere. Of a form with more
 * parts than `most` it gives one too many.
 */
export function readMultipart(
  body: Uint8Array,
  boundary: string,
  most: number,
): readonly Part[] | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const delimiter = `${lineEnd}--${boundary}`
  const parts: Part[] = []
  // The first delimiter has no line to end.
  let at = delimiter.length - lineEnd.length
  if (!startsAt(bytes, 0, delimiter.slice(lineEnd.length))) return undefined
  while (!startsAt(bytes, at, '--') && parts.length <= most) {
    const head = bytes.indexOf(headEnd, at)
    const start = head + headEnd.length
    if (head < 0 || head - at > partHeadBytes) return undefined
    const end = bytes.indexOf(delimiter, start)
    if (end < 0 || !startsAt(bytes, at, lineEnd)) return undefined
    const part = partOf(bytes.toString('utf8', at, head), bytes.subarray(start, end))
    if (!part) return undefined
    parts.push(part)
    at = end + delimiter.length
  }
  return parts
}

function startsAt(bytes: Buffer, at: number, text: string): boolean {
  return bytes.toString('latin1', at, at + text.length) === text
}

/** Nothing if the head does not say that this is a part of a form. */
function partOf(head: string, bytes: Uint8Array): Part | undefined {
  const lines = head.split(lineEnd).filter((line) => line !== '')
  const headers = new Map(lines.map(headerOf))
  const disposition = headers.get('content-disposition') ?? ''
  const name = parameterOf(disposition, 'name')
  if (!/^form-data\s*;/i.test(disposition) || name === undefined) return undefined
  const filename = parameterOf(disposition, 'filename')
  const type = headers.get('content-type') ?? (filename === undefined ? '' : 'text/plain')
  return { name, type, bytes, ...(filename !== undefined && { filename }) }
}

function headerOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]
}

/** What can't stand between quotes is written as browsers do: `"` as `%22`. */
function parameterOf(disposition: string, name: string): string | undefined {
  const found = new RegExp(`;\\s*${name}=(?:"([^"]*)"|([^\\s;"]+))`, 'i').exec(disposition)
  const value = found?.[1] ?? found?.[2]
  return value?.replaceAll(/%(22|0d|0a)/gi, (text) => decodeURIComponent(text))
}
