import type { Random } from '#contract/ports/random.ts'
import { colo } from './visitor.ts'

/** How many are drawn at once. */
const batch = 256

/** The ids of requests, for logs and error pages. Drawn in batches: a system call each shows. */
export class Rays {
  readonly #random: Random
  #drawn = ''

  constructor(random: Random) {
    this.#random = random
  }

  next(): string {
    if (this.#drawn.length === 0) this.#drawn = this.#random.hex(8 * batch)
    const ray = this.#drawn.slice(0, 16)
    this.#drawn = this.#drawn.slice(16)
    return `${ray}-${colo}`
  }
}
