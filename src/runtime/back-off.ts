import type { CellDeath } from '#contract/cell.ts'
import * as limits from './limits.ts'

/** What a process was good for. */
export type Use = {
  /** How long it ran, in ms. */
  readonly ranMs: number
  /** How many requests it answered. */
  readonly answered: number
}

/** How long to wait before a cell is started again: a crash loop must starve nobody. */
export class BackOff {
  #deaths = 0

  /** Takes note of the death of a process that was of such use; says how long to wait, in ms. */
  died(reason: CellDeath['reason'], use: Use): number {
    if (use.ranMs >= limits.healthyMs || use.answered >= limits.healthyAnswers) this.#deaths = 0
    this.#deaths += 1
    if (this.#deaths === 1) return limits.firstPauseMs
    const isLimit = reason === 'cpu' || reason === 'memory'
    const most = isLimit ? limits.longestLimitPauseMs : limits.longestPauseMs
    return Math.min(limits.secondPauseMs * 2 ** (this.#deaths - 2), most)
  }
}
