import { conditionLength } from './limits.ts'

/** Bytes from `start` up to, not including, `end`. */
export type Range = { readonly start: number; readonly end: number }

/**
 * Reads `Range` for a file of `size` bytes: RFC 9110 §14.2. What is no range, and more than one,
 * is answered with the whole file, as a server may.
 */
export function readRange(header: string, size: number): Range | 'whole' | 'unsatisfiable' {
  if (header.length > conditionLength) return 'whole'
  const [, first = '', last = ''] =
    /^\s*bytes\s*=[\s,]*(\d*)\s*-\s*(\d*)[\s,]*$/i.exec(header) ?? []
  if (first === '' && last === '') return 'whole'
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size }
  }
  const start = Number(first)
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  if (last !== '' && Number(last) < start) return 'whole'
  return start >= size ? 'unsatisfiable' : { start, end }
}
