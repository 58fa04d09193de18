import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'
import * as errors from './errors.ts'
import {
  bulkWriteKeys,
  keyLimit,
  listLimit,
  metadataLimit,
  minimumCacheTtl,
  minimumTtl,
  titleLimit,
} from './limits.ts'

export const namespaceId = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .brand<'NamespaceId'>()
export type NamespaceId = z.output<typeof namespaceId>

/** An entry of upload metadata. An id that is not one is told by `admit`, in Cloudflare's words. */
export const kvEntry = z.object({
  type: z.literal('kv_namespace'),
  name: bindingName,
  namespace_id: z.string().max(255),
})

/** What `wiring` says of a grant. */
export const kvResource = z.object({ namespace: namespaceId })

const title = z
  .string()
  .min(1)
  .refine((text) => utf8(text).byteLength <= titleLimit, `at most ${titleLimit} bytes`)
export const namespaceBody = z.object({ title })
export const newNamespaceBody = z.object({
  title,
  /** Taken and shown as at Cloudflare; a server has one place. */
  jurisdiction: z.enum(['eu', 'fedramp', 'us']).optional(),
})

export const bulkWriteBody = z
  .array(
    z.object({
      key: z.string(),
      value: z.string(),
      base64: z.boolean().optional(),
      expiration: z.union([z.number(), z.string()]).optional(),
      expiration_ttl: z.union([z.number(), z.string()]).optional(),
      /** JSON, as all of the body: its length is looked at before it is. */
      metadata: z.unknown().optional(),
    }),
  )
  .max(bulkWriteKeys)
export const bulkDeleteBody = z.array(z.string()).max(bulkWriteKeys)

/** The body of a bulk read, of a Worker or of the API. Its limits have sentences of their own. */
export const bulkReadBody = z.object({
  keys: z.array(z.string()),
  type: z.string().optional(),
  withMetadata: z.boolean().optional(),
  cacheTtl: z.union([z.string(), z.number()]).optional(),
})
export type BulkRead = z.output<typeof bulkReadBody>

const encoder = new TextEncoder()
// A byte order mark is part of a key or a value.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const strictDecoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** Reads a key as it stands in a URL: percent-encoded, decoded exactly once. */
export function keyOfPath(encoded: string): Uint8Array {
  if (!encoded.includes('%')) return checkKey(utf8(encoded))
  const bytes = utf8(encoded)
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    const high = byte === 0x25 ? hexDigit(bytes[at + 1]) : -1
    const low = high >= 0 ? hexDigit(bytes[at + 2]) : -1
    bytes[length++] = low >= 0 ? high * 16 + low : byte
    if (low >= 0) at += 2
  }
  const key = bytes.slice(0, length)
  try {
    strictDecoder.decode(key)
  } catch {
    throw errors.keyNotUtf8()
  }
  return checkKey(key)
}

export function keyOfText(text: string): Uint8Array {
  return checkKey(utf8(text))
}

function checkKey(key: Uint8Array): Uint8Array {
  if (key.byteLength === 0) throw errors.keyEmpty()
  if (key.byteLength > keyLimit) throw errors.keyTooLong(key.byteLength)
  if (key[0] === 0x2e && (key.byteLength === 1 || (key.byteLength === 2 && key[1] === 0x2e))) {
    throw errors.keyIllegal(textOf(key))
  }
  return key
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

export type ExpiryQuery = {
  readonly expiration: string | null
  readonly expirationTtl: string | null
}

/** When an entry ends, in UNIX seconds; `null` is never. The time to live wins. */
export function expiryOf(query: ExpiryQuery, nowMs: number): number | null {
  const now = Math.floor(nowMs / 1000)
  const { expiration, expirationTtl } = query
  if (expirationTtl !== null) {
    const seconds = integer(expirationTtl)
    if (Number.isNaN(seconds) || seconds <= 0) throw errors.expirationTtlNotPositive(expirationTtl)
    if (seconds < minimumTtl) throw errors.expirationTtlTooShort(expirationTtl)
    return now + seconds
  }
  if (expiration === null) return null
  const time = integer(expiration)
  if (Number.isNaN(time) || time <= now) throw errors.expirationInPast(expiration)
  if (time < now + minimumTtl) throw errors.expirationTooSoon(expiration)
  return time
}

/** Checks metadata that came as JSON text, and makes it fit a header: it travels in one. */
export function metadataOf(text: string): string {
  const { byteLength } = utf8(text)
  if (byteLength > metadataLimit) throw errors.metadataTooLarge(byteLength)
  try {
    const value: unknown = JSON.parse(text)
    // JSON may be laid out on several lines, and may hold a raw DEL.
    return /\p{Cc}/u.test(text) ? JSON.stringify(value).replaceAll('\u007f', '\\u007f') : text
  } catch {
    throw errors.metadataNotJson()
  }
}

export function checkCacheTtl(value: string): void {
  const seconds = integer(value)
  if (Number.isNaN(seconds) || seconds < minimumCacheTtl) throw errors.cacheTtlInvalid(value)
}

/** What a request for a list may say: raw, as it came. */
export type ListQuery = {
  readonly limit: string | null
  readonly prefix: string | null
  readonly cursor: string | null
}

export type ListRange = {
  readonly limit: number
  readonly prefix: Uint8Array
  /** The last key of the page before. */
  readonly after: Uint8Array | undefined
}

export function listRange({ limit, prefix, cursor }: ListQuery): ListRange {
  const count = limit === null ? listLimit : integer(limit)
  if (Number.isNaN(count) || count < 1) throw errors.listLimitTooSmall(limit ?? '')
  if (count > listLimit) throw errors.listLimitTooLarge(limit ?? '')
  const start = utf8(prefix ?? '')
  if (start.byteLength > keyLimit) throw errors.keyTooLong(start.byteLength)
  return { limit: count, prefix: start, after: cursor ? keyOfCursor(cursor) : undefined }
}

/** A cursor is the last key before it, in base64url: opaque to users, and checked. */
export function cursorOfKey(key: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...key))
  return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function keyOfCursor(cursor: string): Uint8Array {
  if (!/^[\w-]{1,700}$/.test(cursor) || cursor.length % 4 === 1) throw errors.cursorInvalid()
  const latin1 = atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))
  const key = Uint8Array.from(latin1, (char) => char.charCodeAt(0))
  if (key.byteLength > keyLimit || cursorOfKey(key) !== cursor) throw errors.cursorInvalid()
  return key
}

function integer(text: string): number {
  return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : NaN
}
