import type { HeaderChange, Outcome } from './answer.ts'
import { type Encoding, isWorthCompressing } from './encoding.ts'

// The headers of answers, as names and values in turn.

export type FileOutcome = Extract<Outcome, { readonly kind: 'file' }>

export type FileHead = {
  /** Absent: the file as it is. */
  readonly encoding: Encoding | undefined
  /** Bytes of the body; absent for a 304. */
  readonly length?: number
  readonly contentRange?: string
  /** Whether browsers may keep it: the request showed no credentials and asked for no range. */
  readonly isCacheable: boolean
  readonly cacheStatus: 'HIT' | 'MISS'
}

/** The headers of an answer with a file, or with part of it, or with nothing but its tag. */
export function headOfFile(
  outcome: FileOutcome,
  isCompressible: boolean,
  head: FileHead,
): string[] {
  const { encoding, length, contentRange, isCacheable, cacheStatus } = head
  const fields = fieldsOf(outcome, isCacheable, cacheStatus)
  if (encoding !== undefined) {
    const tag = fields.get('etag')
    if (tag?.startsWith('"') === true) fields.set('ETag', `W/${tag}`)
    fields.set('Content-Encoding', encoding)
  }
  if (isCompressible) fields.vary()
  if (outcome.status === 200) fields.set('Accept-Ranges', 'bytes')
  if (contentRange !== undefined) fields.set('Content-Range', contentRange)
  if (length !== undefined) fields.set('Content-Length', `${length}`)
  return fields.flat()
}

/** The headers of an answer without a body. */
export function headOfEmpty(
  changes: readonly HeaderChange[],
  own: readonly (readonly [name: string, value: string])[],
): string[] {
  const fields = new Fields()
  for (const [name, value] of own) fields.set(name, value)
  fields.change(changes)
  fields.set('Content-Length', '0')
  return fields.flat()
}

/** Whether a file may be sent compressed: by its type, its size and what its headers say. */
export function mayBeCompressed(outcome: FileOutcome): boolean {
  const fields = fieldsOf(outcome, true, 'HIT')
  // A rule says so of files that were compressed before they were uploaded.
  if (fields.get('content-encoding') !== undefined) return false
  if (/\bno-transform\b/i.test(fields.get('cache-control') ?? '')) return false
  return isWorthCompressing(fields.get('content-type'), outcome.entry.size)
}

function fieldsOf({ entry, changes }: FileOutcome, isCacheable: boolean, status: string): Fields {
  const fields = new Fields()
  fields.set('ETag', `"${entry.hash}"`)
  if (entry.contentType !== undefined) fields.set('Content-Type', entry.contentType)
  if (isCacheable) fields.set('Cache-Control', 'public, max-age=0, must-revalidate')
  fields.set('CF-Cache-Status', status)
  fields.change(changes)
  return fields
}

class Fields {
  readonly #fields = new Map<string, { readonly name: string; readonly values: string[] }>()

  get(name: string): string | undefined {
    return this.#fields.get(name)?.values.join(', ')
  }

  set(name: string, value: string): void {
    this.#fields.set(name.toLowerCase(), { name, values: [value] })
  }

  /** The first change of a header replaces it, later ones add to it. */
  change(changes: readonly HeaderChange[]): void {
    const changed = new Set<string>()
    for (const { name, value } of changes) {
      const before = this.#fields.get(name)
      if (value === undefined) this.#fields.delete(name)
      else if (before && changed.has(name)) before.values.push(value)
      else this.set(name, value)
      if (value !== undefined) changed.add(name)
    }
  }

  /** Caches must know that the visitor's `Accept-Encoding` was looked at. */
  vary(): void {
    const vary = this.get('vary')
    if (vary === undefined) this.set('Vary', 'Accept-Encoding')
    else if (!/(?:^|,)\s*(?:\*|accept-encoding)\s*(?:,|$)/i.test(vary)) {
      this.set('Vary', `${vary}, Accept-Encoding`)
    }
  }

  flat(): string[] {
    return [...this.#fields.values()].flatMap(({ name, values }) =>
      name.toLowerCase() === 'set-cookie'
        ? values.flatMap((value) => [name, value])
        : [name, values.join(', ')],
    )
  }
}
