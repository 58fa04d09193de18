// Limits of an upload. Where Cloudflare publishes one, its page is named.

const mebibyte = 1024 * 1024

/**
 * Bytes of all modules of a Worker before compression.
 * developers.cloudflare.com/workers/platform/limits: "Worker size".
 */
export const scriptBytes = 64 * mebibyte

/** Bytes of a whole upload form: the modules, their source maps and the metadata. Ours. */
export const uploadBytes = 100 * mebibyte

/** Bytes of the metadata of an upload. Ours. */
export const metadataBytes = mebibyte

/** Parts of an upload form. Ours. */
export const uploadParts = 1_000

/** Characters of the name of a module. Ours. */
export const moduleNameLength = 512

/**
 * Variables and secrets of a Worker.
 * developers.cloudflare.com/workers/platform/limits: "Environment variables".
 */
export const variables = 128

/** Entries of `bindings`. Ours: on the platform only text bindings are counted. */
export const bindings = 512

/** Flags that one Worker may name. Ours: workerd knows about 350. */
export const compatibilityFlags = 100

/** Characters of the annotations `workers/tag` and `workers/message`. Ours: wrangler checks none. */
export const tagLength = 100
export const messageLength = 1_000

/** How deep the bracketed field names of a flattened form may nest. Ours. */
export const fieldDepth = 16

/** Characters of the pattern of a route. Ours: a URL has no more than 16 KB, and nobody needs that. */
export const patternLength = 2_048

/** Characters of a host name: RFC 1035 §2.3.4. */
export const hostLength = 253

/** Characters of one part of a host name: same paragraph. */
export const labelLength = 63

/** Digits of a version's id that are the name of its preview. */
export const previewPrefixLength = 8

/** `limits.cpu_ms`. developers.cloudflare.com/workers/platform/limits: "CPU time", 5 minutes. */
export const cpuMs = 300_000

/** `limits.subrequests`. Same page: "Subrequests", up to ten million. */
export const subrequests = 10_000_000
