/** Connections of one Worker to the outside, and requests of it that wait or run. Ours: the platform
 * counts per invocation, which a proxy can't see (developers.cloudflare.com/workers/platform/limits,
 * "Simultaneous open connections": 6 each). */
export const connectionsPerWorker = 1_024

/** Origins that one Worker keeps connections to at a time. Ours. */
export const originsPerWorker = 512

/** Bytes of all headers, either way. Same page: "Request headers", "Response headers", 128 KB. */
export const headerBytes = 128 * 1024

/** How long it may take to look up a name and to connect, TLS included. Error 522 of Cloudflare's,
 * developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors: 19 s. */
export const connectMs = 19_000

/** How long an origin may take until its response begins. Same page, error 524: 120 s. */
export const responseHeadMs = 120_000

/** How long a look-up may take; it is tried twice. */
export const lookupMs = 4_000

/** How long one address of several is tried before the next joins in (RFC 8305, section 5). */
export const nextAddressMs = 250

/** How long a connection to an origin is kept for the next request. Many servers close after 5 s. */
export const idleConnectionMs = 4_000

/** workerd reuses a connection that was idle for up to 5 s; a proxy that closed it first would reset. */
export const idleCellMs = 75_000

/** TLS upgrades (`startTls`) of one Worker that wait for their other half. Ours. */
export const upgradeMs = 10_000
