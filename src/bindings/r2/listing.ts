import { compareBytes, endOfPrefix, successor } from '#contract/key-range.ts'
import { argumentInvalid, listLimitInvalid } from './errors.ts'
import { listLimit, pageBytes } from './limits.ts'
import { textOf, utf8 } from './records.ts'

/** What a request for a list may say. */
export type ListQuery<Item = unknown> = {
  readonly limit?: number | undefined
  readonly prefix?: string | undefined
  readonly delimiter?: string | undefined
  readonly cursor?: string | undefined
  readonly startAfter?: string | undefined
  /** How many bytes an object takes in the answer: a page is cut where it gets too long. */
  readonly weigh?: (object: Item) => number
}

export type Page<Item> = {
  readonly objects: readonly Item[]
  readonly prefixes: readonly string[]
  /** Where the list goes on; absent at its end. */
  readonly cursor?: string
}

/** A row by its key; what else it has is read only if it is wanted. */
export type Positioned<Item> = { readonly key: Uint8Array; readonly read: () => Item }

/** What is read of a bucket. */
export type Rows<Item> = {
  /** Rows from a key up to, not including, another; at most so many. */
  readonly range: (
    from: Uint8Array,
    end: Uint8Array,
    limit: number,
  ) => Promise<readonly Positioned<Item>[]>
  /** The first key there alone: the index has it, and no row is touched. */
  readonly first: (from: Uint8Array, end: Uint8Array) => Promise<Uint8Array | undefined>
}

/** Rows that are read at once where groups come between them. */
const shortStep = 4

/**
 * A page of a list, in the order of the keys' bytes. Keys that have the delimiter after the prefix are
 * groups; each counts as one, and the next row is sought behind it, however many it has.
 */
export async function listObjects<Item>(
  query: ListQuery<Item>,
  rows: Rows<Item>,
): Promise<Page<Item>> {
  const { limit = listLimit, prefix: prefixText = '', delimiter: text = '', weigh } = query
  if (!Number.isInteger(limit) || limit < 1 || limit > listLimit) throw listLimitInvalid()
  const prefix = utf8(prefixText)
  const delimiter = utf8(text)
  const end = endOfPrefix(prefix)
  const objects: Item[] = []
  const prefixes: string[] = []
  let from = startOf(query, prefix)
  let weight = 0
  const isFull = (): boolean => objects.length + prefixes.length >= limit || weight >= pageBytes
  let step = delimiter.byteLength === 0 ? limit + 1 : shortStep
  for (;;) {
    // Behind a group there is often another one.
    for (let first = await next(); first; first = await next()) {
      const group = groupOf(first, prefix, delimiter)
      if (isFull()) return { objects, prefixes, cursor: cursorOf(from) }
      if (!group) break
      prefixes.push(textOf(group))
      weight += group.byteLength * 2 + 16
      from = endOfPrefix(group)
    }
    const found = await rows.range(from, end, step)
    let isGroup = false
    for (const row of found) {
      if (isFull()) return { objects, prefixes, cursor: cursorOf(from) }
      isGroup = groupOf(row.key, prefix, delimiter) !== undefined
      if (isGroup) break
      const object = row.read()
      objects.push(object)
      weight += weigh?.(object) ?? 0
      from = successor(row.key)
    }
    if (!isGroup && found.length < step) return { objects, prefixes }
    step = Math.min(isGroup ? shortStep : step * 4, limit - objects.length - prefixes.length + 1)
  }

  async function next(): Promise<Uint8Array | undefined> {
    return delimiter.byteLength === 0 ? undefined : rows.first(from, end)
  }
}

/** The first key that a page may have. */
function startOf(
  { cursor, startAfter }: Pick<ListQuery, 'cursor' | 'startAfter'>,
  prefix: Uint8Array,
): Uint8Array {
  let from = prefix
  if (startAfter !== undefined && startAfter !== '') from = later(from, successor(utf8(startAfter)))
  if (cursor !== undefined && cursor !== '') from = later(from, positionOf(cursor))
  return from
}

/** Prefix, and what follows up to and with the delimiter; `undefined` if that does not follow. */
function groupOf(
  key: Uint8Array,
  prefix: Uint8Array,
  delimiter: Uint8Array,
): Uint8Array | undefined {
  if (delimiter.byteLength === 0) return undefined
  const last = key.byteLength - delimiter.byteLength
  for (let at = prefix.byteLength; at <= last; at++) {
    if (delimiter.every((byte, index) => key[at + index] === byte)) {
      return key.subarray(0, at + delimiter.byteLength)
    }
  }
  return undefined
}

/** A cursor is the least key that may follow, in base64url: opaque to users, and checked. */
function cursorOf(position: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...position))
  return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function positionOf(cursor: string): Uint8Array {
  const isWellFormed = /^[\w-]{1,1400}$/.test(cursor) && cursor.length % 4 !== 1
  if (!isWellFormed) throw argumentInvalid('The specified cursor is not valid.')
  const latin1 = atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(latin1, (char) => char.charCodeAt(0))
}

function later(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareBytes(a, b) > 0 ? a : b
}
