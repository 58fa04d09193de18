// What `env` has of a rate limit. Options are checked here, in the caller's isolate; what is left to ask
// is one GET without a body either way, whose status is the answer (`service.ts`).

type Inner = { readonly fetcher: Fetcher; readonly keyLength: number }

const optionNames: readonly string[] = ['key', 'limit', 'period', 'delta']
const largestDelta = 2 ** 32 - 1

export default function rateLimit(inner: Inner): object {
  return new RateLimit(inner)
}

class RateLimit {
  readonly #fetcher: Fetcher
  readonly #keyLength: number

  constructor({ fetcher, keyLength }: Inner) {
    this.#fetcher = fetcher
    this.#keyLength = keyLength
  }

  async limit(options: unknown): Promise<{ success: boolean }> {
    return { success: await ask(this.#fetcher, urlOf(options, this.#keyLength)) }
  }
}

/** Throws what upstream does. What a binding is set to is not known here: only what differs travels. */
function urlOf(options: unknown, keyLength: number): string {
  check(typeof options === 'object' && options !== null, 'invalid rate limit options')
  const unknown = Object.keys(options).filter((name) => !optionNames.includes(name))
  if (unknown.length > 0) throw new Error(`bad rate limit options: [${unknown.join(',')}]`)
  const given: { key?: unknown; limit?: unknown; period?: unknown; delta?: unknown } = options
  const { key = '', limit, period, delta } = given
  check(typeof key === 'string', 'invalid key: ', key)
  check(limit === undefined || typeof limit === 'number', 'limit must be a number: ', limit)
  check(period === undefined || typeof period === 'number', 'period must be a number: ', period)
  check(period === undefined || period === 10 || period === 60, 'unsupported period: ', period)
  if (key.length > keyLength) {
    throw new Error(`invalid key: it is longer than ${keyLength} characters`)
  }
  let url = `http://rate-limit/?${spellingOf(key)}`
  if (limit !== undefined) url += `&l=${limit}`
  if (period !== undefined) url += `&p=${period}`
  if (delta !== undefined) url += `&d=${weightOf(delta)}`
  return url
}

function check(isRight: boolean, message: string, ...given: readonly unknown[]): asserts isRight {
  if (!isRight) throw new Error(message + given.map(String).join(''))
}

/** A key that is no Unicode text has no place in a URL: JSON writes it so that it has. */
function spellingOf(key: string): string {
  return key.isWellFormed()
    ? `k=${encodeURIComponent(key)}`
    : `j=${encodeURIComponent(JSON.stringify(key))}`
}

function weightOf(delta: unknown): number {
  const value = Number(delta)
  if (!Number.isFinite(value)) {
    throw new TypeError('The value cannot be converted because it is not an integer.')
  }
  if (value < 0) {
    throw new TypeError(
      'The value cannot be converted because it is negative and this API expects a positive number.',
    )
  }
  if (value > largestDelta) {
    throw new TypeError(`Value out of range. Must be less than or equal to ${largestDelta}.`)
  }
  const weight = Math.trunc(value)
  if (weight === 0) throw new RangeError('delta must be non-zero')
  return weight
}

/**
 * Whether a call is within the limit. Trouble of the platform's is nobody's refusal: the call is let
 * through then.
 */
async function ask(fetcher: Fetcher, url: string): Promise<boolean> {
  let status: number
  let reason: string
  try {
    ;({ status, statusText: reason } = await fetcher.fetch(url))
  } catch (error) {
    if (isDisconnection(error)) return true
    throw error
  }
  // The backplane's own: the invocation has made all the calls that it may.
  if (status === 429) throw new Error(reason)
  return status !== 409
}

/** workerd says so of connections that fail; what it throws otherwise is the caller's fault. */
function isDisconnection(error: unknown): boolean {
  return error instanceof Error && 'retryable' in error && error.retryable === true
}
