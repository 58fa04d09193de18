/** Bytes of all headers. developers.cloudflare.com/workers/platform/limits: "Request limits", 32 KB. */
export const headerBytes = 32 * 1024

/** Bytes of the request target. Same page: "URL size", 16 KB. */
export const urlBytes = 16 * 1024

/** How long a request waits for a process that crashed and is being restarted. */
export const restartWaitMs = 3_000

/** How long it waits for one that is being replaced: the old one has to finish first. */
export const holdWaitMs = 30_000

/** How long it waits for one that was asleep, or for a preview: as long as a process may take to start. */
export const wakeWaitMs = 10_000

/** How many requests may wait so, over all Workers: beyond, they are told 502 at once. */
export const restartWaiters = 1_000

/** Connections kept to one version of a Worker in one process. */
export const connectionsPerTarget = 512

/**
 * How long a Worker may take until its response begins. The platform sets no such limit while the
 * visitor stays; this one only ends what nobody waits for any more.
 */
export const responseHeadMs = 30 * 60_000

/** workerd closes a connection idle for 5 s; we let go of it first. */
export const idleConnectionMs = 4_000

/** Hosts of zones of which the routes are remembered: beyond, all are forgotten and made anew. */
export const rememberedHosts = 10_000

/** Characters of a header that says which versions a request is for: of a longer one, nothing is read. */
export const overridesLength = 8_192
