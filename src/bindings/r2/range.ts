import { rangeInvalid } from './errors.ts'

/** What part of an object is wanted. */
export type WantedRange =
  | { readonly offset?: number | undefined; readonly length?: number | undefined }
  | { readonly suffix: number }

/** A part of an object: within it, and never empty unless the object is. */
export type Range = { readonly offset: number; readonly length: number }

/** The part that is meant, of an object of `size` bytes. Throws where there is none: r2.md §3.4. */
export function resolveRange(wanted: WantedRange, size: number): Range {
  if ('suffix' in wanted) {
    if (wanted.suffix <= 0) throw rangeInvalid()
    const length = Math.min(wanted.suffix, size)
    return { offset: size - length, length }
  }
  const { offset = 0, length = size - offset } = wanted
  if (size === 0 && offset === 0 && wanted.length === undefined) return { offset: 0, length: 0 }
  if (offset < 0 || offset > size || length <= 0) throw rangeInvalid()
  return { offset, length: Math.min(length, size - offset) }
}

/** What a `Range` header says. `'unsatisfiable'`: it is one range, and the object has no such bytes. */
export type HeaderRange = Range | 'unsatisfiable' | undefined

/** Reads a `Range` header (RFC 9110 §14.2); several ranges, or none that is well-formed, are `undefined`. */
export function rangeOfHeader(header: string, size: number): HeaderRange {
  const match = /^\s*bytes\s*=\s*(?:(\d{1,15})\s*-\s*(\d{1,15})?|-\s*(\d{1,15}))\s*$/i.exec(header)
  if (!match) return undefined
  const [, first, last, suffix] = match
  if (first === undefined) {
    const length = Math.min(Number(suffix), size)
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length }
  }
  const offset = Number(first)
  const end = last === undefined ? size - 1 : Number(last)
  if (last !== undefined && end < offset) return undefined
  if (offset >= size) return 'unsatisfiable'
  return { offset, length: Math.min(end, size - 1) - offset + 1 }
}
