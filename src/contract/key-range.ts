// Keys that are UTF-8, in the order of their bytes. No byte of UTF-8 is 0xff.

/** Sorts after every key. */
export const afterAllKeys = Uint8Array.of(0xff)

/** The least key that is greater than `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.byteLength + 1)
  next.set(key)
  return next
}

/** The least key that sorts after all that begin with `prefix`. */
export function endOfPrefix(prefix: Uint8Array): Uint8Array {
  if (prefix.byteLength === 0) return afterAllKeys
  const end = prefix.slice()
  // To add one to the last byte never carries.
  end[end.byteLength - 1] = (end.at(-1) ?? 0) + 1
  return end
}

/** Negative, zero or positive, as `a` comes before `b`, is the same, or comes after it. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.byteLength, b.byteLength)
  for (let at = 0; at < length; at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0)
    if (difference !== 0) return difference
  }
  return a.byteLength - b.byteLength
}
