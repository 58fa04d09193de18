// Periods and what a binding is set to: developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit.

/** Seconds that a counter counts for. */
export const periods = [10, 60] as const

// Ours: no limit of these is documented.

/** Characters (UTF-16) of a key: in a URL they are at most nine times as many bytes. */
export const keyLength = 1_024
/** Digits of a namespace's id, which the user invents. */
export const namespaceDigits = 20
/** Bytes that the counters of all accounts may take, as `weightOf` estimates them. */
export const counterBytes = 128 * 1024 * 1024
/** What part of that is freed at a time once it is used up. */
export const freedPart = 1 / 16
/** Bytes of a counter besides its key: an entry of a map, with the head of the string. */
export const counterOverhead = 64
/** Milliseconds between looks for counters whose time is over. */
export const sweepMs = 10_000
