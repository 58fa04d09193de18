import { conditionLength } from './limits.ts'

// `If-None-Match` and `If-Range`: RFC 9110 §13.1.2 and §13.1.5.

/**
 * Whether `If-None-Match` names what the visitor would get: the hash in quotes, weak or strong,
 * anywhere in a list. `*` counts if `isFound`.
 */
export function isKnown(header: string, hash: string, isFound: boolean): boolean {
  if (header.length === hash.length + 2 || header.length === hash.length + 4) {
    if (header === `"${hash}"` || header === `W/"${hash}"`) return true
  }
  if (header.length > conditionLength) return false
  if (header.trim() === '*') return isFound
  // Sticky: what is no tag ends the list.
  for (const [, tag] of header.matchAll(/[\s,]*(?:W\/)?"([^"]*)"[ \t]*(?=,|$)/gy)) {
    if (tag === hash) return true
  }
  return false
}

/** Whether a range may be sent: there is no `If-Range`, or it is the strong tag of the file. */
export function isSame(header: string | undefined, hash: string): boolean {
  return header === undefined || header.trim() === `"${hash}"`
}
