import { DurableObject } from 'cloudflare:workers'

const burst = 10
const perMessageMs = 1_000

/**
 * How fast one visitor may talk, over all rooms: ten messages at once, and one a second. In memory
 * alone: an object that has been idle for so long that it is forgotten would have a full bucket.
 */
export class Limiter extends DurableObject {
  /** When the bucket is full again. */
  #fullAt = 0

  /** Takes one message out of the bucket. Gives how many milliseconds are missing, 0 if none. */
  take() {
    const now = Date.now()
    const fullAt = Math.max(this.#fullAt, now) + perMessageMs
    const missingMs = Math.max(fullAt - now - burst * perMessageMs, 0)
    if (missingMs === 0) this.#fullAt = fullAt
    return missingMs
  }
}
