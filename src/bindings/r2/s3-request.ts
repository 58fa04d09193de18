import type { BackendRequest } from '#contract/backend.ts'
import { utf8OfHeader } from '#contract/backend.ts'
import { uriInvalid } from './s3-errors.ts'

/** The head of a request of S3, read once. */
export type S3Head = {
  readonly method: string
  /** Decoded, with the slash that it begins with. */
  readonly path: string
  /** As it came: a slash that is escaped is not one that is not. */
  readonly rawPath: string
  /** Names and values, decoded, in the order in which they came. */
  readonly query: readonly (readonly [name: string, value: string])[]
  /** Of the query: the first value of that name. */
  param(name: string): string | undefined
  /** A header as UTF-8, or the parameter that stands for it in a signed URL. */
  header(name: string): string | undefined
  /** Names of all headers, and of parameters that stand for one. */
  readonly headerNames: readonly string[]
  /** All headers as they came, names in lower case. */
  readonly headers: BackendRequest['headers']
}

/** Reads the head of a request. Throws `uriInvalid`. */
export function readHead({
  method,
  url,
  headers,
}: Pick<BackendRequest, 'method' | 'url' | 'headers'>): S3Head {
  const mark = url.indexOf('?')
  const rawPath = mark < 0 ? url : url.slice(0, mark)
  if (!rawPath.startsWith('/')) throw uriInvalid()
  const query = mark < 0 ? [] : readQuery(url.slice(mark + 1))
  const stands = headersIn(query)
  return {
    method,
    path: decode(rawPath),
    rawPath,
    query,
    param: (name) => query.find(([own]) => own === name)?.[1],
    header(name) {
      const value = headers[name]
      if (value === undefined) return stands.get(name)
      return utf8OfHeader(typeof value === 'string' ? value : value.join(','))
    },
    headerNames: [...new Set([...Object.keys(headers), ...stands.keys()])],
    headers,
  }
}

/**
 * Parameters of a signed URL that stand for headers. Not so checksums: Amazon's SDK signs that of an
 * empty body with each URL to upload by, whatever is uploaded.
 */
function headersIn(query: S3Head['query']): ReadonlyMap<string, string> {
  return new Map(
    query
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => /^x-amz-(?!checksum-|sdk-checksum-|content-sha256)/.test(name)),
  )
}

function readQuery(text: string): readonly (readonly [string, string])[] {
  return text
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=')
      return equals < 0
        ? ([decode(pair), ''] as const)
        : ([decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))] as const)
    })
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw uriInvalid()
  }
}

/** RFC 3986: all but what is never reserved is escaped. */
export function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
