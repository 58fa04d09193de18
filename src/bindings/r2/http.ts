import type { Conditions, EtagMatcher } from './conditions.ts'
import type { HttpFields, StoredObject } from './records.ts'

// Objects as HTTP says them: in headers, of the REST API, of S3 and of public buckets.

/** The value of a header by its name in lower case. */
export type HeaderOf = (name: string) => string | undefined

const names = [
  ['content-type', 'contentType'],
  ['content-language', 'contentLanguage'],
  ['content-disposition', 'contentDisposition'],
  ['content-encoding', 'contentEncoding'],
  ['cache-control', 'cacheControl'],
] as const

/** HTTP metadata of an upload. A date that is none is left out. */
export function httpOfHeaders(header: HeaderOf): HttpFields {
  const fields: Partial<Record<(typeof names)[number][1], string>> = {}
  for (const [name, field] of names) {
    const value = header(name)
    if (value !== undefined && value !== '') fields[field] = value
  }
  const expires = Date.parse(header('expires') ?? '')
  return { ...fields, ...(!Number.isNaN(expires) && { cacheExpiry: expires }) }
}

/** What headers say of an object, whatever is sent of it. */
export function metadataHeaders({ http, etag, uploadedAt }: StoredObject): Record<string, string> {
  const headers: Record<string, string> = {
    etag: `"${etag}"`,
    'last-modified': new Date(uploadedAt).toUTCString(),
  }
  for (const [name, field] of names) {
    const value = http[field]
    if (value !== undefined) headers[name] = visible(value)
  }
  if (http.cacheExpiry !== undefined) headers['expires'] = new Date(http.cacheExpiry).toUTCString()
  headers['content-type'] ??= 'application/octet-stream'
  return headers
}

/** What a header may hold: UTF-8 as latin1, and no control character. */
export function visible(text: string): string {
  const bytes = new TextEncoder().encode(text.replaceAll(/\p{Cc}+/gu, ' '))
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
}

/** The conditions of RFC 9110 §13.1; a date that is none is as if it were not there. */
export function conditionsOfHeaders(header: HeaderOf, prefix = ''): Conditions {
  const etagMatches = etagsOf(header(`${prefix}if-match`))
  const etagDoesNotMatch = etagsOf(header(`${prefix}if-none-match`))
  const uploadedAfter = Date.parse(header(`${prefix}if-modified-since`) ?? '')
  const uploadedBefore = Date.parse(header(`${prefix}if-unmodified-since`) ?? '')
  return {
    ...(etagMatches && { etagMatches }),
    ...(etagDoesNotMatch && { etagDoesNotMatch }),
    ...(!Number.isNaN(uploadedAfter) && { uploadedAfter }),
    // Seconds: what was uploaded within that very second is unmodified.
    ...(!Number.isNaN(uploadedBefore) && { uploadedBefore: uploadedBefore + 1000 }),
    secondsGranularity: true,
  }
}

/** Whether there is any condition at all. */
export function hasConditions(conditions: Conditions): boolean {
  return Object.keys(conditions).some((name) => name !== 'secondsGranularity')
}

/** ETags of a header. Clients of S3 leave out quotes, so that is read as well. */
function etagsOf(header: string | undefined): readonly EtagMatcher[] | undefined {
  if (header === undefined) return undefined
  return header.split(',').map((text): EtagMatcher => {
    const [, weak, quoted, plain] = /^\s*(W\/)?(?:"([^"]*)"|([^"\s]*))\s*$/.exec(text) ?? []
    if (plain === '*') return { type: 'wildcard' }
    return { type: weak === undefined ? 'strong' : 'weak', value: quoted ?? plain ?? '' }
  })
}
