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

/** How many requests may wait so, in all and for one account: beyond, they are told 502 at once. */
export const restartWaiters = 4_000
export const restartWaitersPerAccount = 1_000

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

/** How long a visitor's connection may be idle. developers.cloudflare.com/fundamentals/reference/connection-limits: longer. */
export const keepAliveMs = 75_000

/** How long the head of a request may take to arrive, and a TLS handshake. */
export const requestHeadMs = 60_000
export const handshakeMs = 10_000

/** Connections that may wait to be accepted: what Linux allows at most by default (somaxconn). */
export const backlog = 4_096

/**
 * How long a connection that is idle when the server stops is kept: its visitor may just have sent
 * a request, which is answered rather than met with a reset.
 */
export const farewellMs = 1_000

/**
 * HTTP/2. Streams of one connection at once: RFC 9113 §6.5.2 asks for 100 at least. The others bound
 * what one connection can cost: resets in a burst and per second (CVE-2023-44487), frames that make
 * no sense, pings, settings, and memory in MB.
 */
export const http2Limits = {
  settings: { maxConcurrentStreams: 128, maxHeaderListSize: headerBytes, enablePush: false },
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  maxOutstandingPings: 10,
  maxSettings: 32,
  maxSessionMemory: 10,
  streamResetBurst: 500,
  streamResetRate: 50,
  strictSingleValueFields: false,
} as const

/** The highest id of a stream that a visitor can open (RFC 9113 §5.1.1). */
export const shutdownStreamId = 2 ** 31 - 1

/** How often the folder of certificates is looked at, and how long after a change there. */
export const certificatePollMs = 5_000
export const certificateSettleMs = 100

/** Certificates of one server: each costs memory, and a look at its files every few seconds. */
export const mostCertificates = 10_000

/** How long a visitor whose connection ends may take to say goodbye, or to close it. */
export const goodbyeMs = 2_000

/** How long it may take to send the rest of a body that nobody reads: its next request is behind that. */
export const lingerMs = 10_000

/**
 * How long a visitor may neither send what it has announced nor take any of what is queued for it, and
 * how often that is looked at meanwhile. What a file in memory is queued as is up to 1 MB in one piece.
 */
export const visitorStallMs = 5 * 60_000
export const looksPerStall = 10

/** Requests that wait for one of these connections: beyond, they are told 502 at once. */
export const queuedPerTarget = 10_000

/** Interim answers (1xx) before an answer: none is passed on, and a process could send them for ever. */
export const interimAnswers = 16

/** Bytes of the head of a Worker's response: what the platform allows (headers, 128 KB). */
export const answerHeadBytes = 128 * 1024
