// Limits of Queues. Unless said otherwise: developers.cloudflare.com/queues/platform/limits.

/** Bytes of one message's body. */
export const messageBytes = 128_000
/** Messages of one `sendBatch`. */
export const sendMessages = 100
/** Bytes of the bodies of one `sendBatch`. */
export const sendBytes = 256_000
/** Seconds: "Message delay", 24 hours. */
export const longestDelay = 86_400
/** Seconds that a message is kept. */
export const retention = { least: 60, usual: 345_600, most: 1_209_600 }
/** Messages of one batch that a consumer is given. */
export const batchSize = { usual: 10, most: 100 }
/** Bytes of one batch that a consumer is given. */
export const batchBytes = 256_000
/** Milliseconds that the first message of a batch waits for others. */
export const batchWaitMs = { usual: 5_000, most: 60_000 }
export const retries = { usual: 3, most: 100 }
/** Batches that one push consumer has at the same time. */
export const concurrency = 250
/** Messages of one pull. */
export const pullSize = { usual: 5, most: 100 }
/** Milliseconds that a pulled message is the client's. */
export const visibilityMs = { usual: 30_000, most: 43_200_000 }
export const queuesPerAccount = 10_000
/** Messages a second that a queue takes ("Per-queue message throughput"), where that is held. */
export const messagesPerSecond = 5_000
/** Bytes that may wait in one queue ("Per-queue backlog size"). */
export const backlogBytes = 25_000_000_000
/** Characters of a queue's name: the API reference of "Create Queue". */
export const nameLength = 63

// Ours.

/**
 * How long a batch is a push consumer's: longer than its handler may take (15 minutes), so that what
 * has become of the batch is known by then.
 */
export const leaseMs = 16 * 60_000
/** Bytes of the body of a `sendBatch`: 256 000 in base64, with the JSON around it. */
export const sendBodyBytes = 1024 * 1024
/** Bytes of a body that is too large which are read and dropped so that the caller hears why. */
export const drainBytes = 128 * 1024 * 1024
/** Consumers of one queue. */
export const consumersPerQueue = 20
export const subscriptionsPerAccount = 1_000
/** Characters of a name that somebody gives to something that is no queue. */
export const textLength = 255
