// Compares an answer with one that a client is known to be content with.

/** A key that is knowingly other, and why. `*` stands for any item of a list. */
export type Difference = { readonly path: string; readonly reason: string }

/**
 * What of `expected` is missing in `actual` or of another JSON type there. Keys that are more are
 * fine. Items of lists are compared by their name, or in their order if there are as many, or else
 * each with the first that is expected.
 */
export function missing(expected: unknown, actual: unknown, path: string): readonly string[] {
  const [wanted, found] = [typeOf(expected), typeOf(actual)]
  if (wanted !== found) return [`${path} is ${found}, not ${wanted}`]
  if (Array.isArray(expected) && Array.isArray(actual)) {
    if (expected.length > 0 && actual.length === 0) return [`${path} is empty`]
    return pairs(expected, actual).flatMap(([one, other]) => missing(one, other, `${path}.*`))
  }
  if (!isObject(expected) || !isObject(actual)) return []
  return Object.entries(expected).flatMap(([key, value]) =>
    missing(value, actual[key], `${path}.${key}`),
  )
}

/** Pairs of an expected and an actual item. */
export function pairs(
  expected: readonly unknown[],
  actual: readonly unknown[],
): readonly (readonly [unknown, unknown])[] {
  if (expected.every(nameOf) && expected.length > 0) {
    const byName = new Map(actual.map((item) => [nameOf(item), item]))
    return expected.map((item) => [item, byName.get(nameOf(item))])
  }
  if (expected.length === actual.length) return expected.map((item, index) => [item, actual[index]])
  return expected.length === 0 ? [] : actual.map((item) => [expected[0], item])
}

function nameOf(item: unknown): unknown {
  return isObject(item) ? item['name'] : undefined
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
