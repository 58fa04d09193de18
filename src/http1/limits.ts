/** How often it is looked whether a connection has waited for too long. */
export const sweepMs = 500

/** Up to how many bytes a head and a piece of a body are copied into one, rather than written as two. */
export const joinedBytes = 16 * 1024
