import type { Clock } from '#contract/ports/clock.ts'
import type { IngressPort } from '#contract/snapshot.ts'
import type { Cell } from './cell.ts'
import { idleCells } from './limits.ts'

export type IdlenessOptions = {
  readonly cells: () => readonly Cell[]
  readonly ingress: Pick<IngressPort, 'idleMs'>
  readonly clock: Clock
  /** How long nothing has to have been in flight to a cell before it is put to sleep. */
  readonly sleepMs: number
  /** The same of cells that are too many. */
  readonly crowdedSleepMs: number
  /** Called at each look, before any cell is put to sleep. */
  readonly looking: () => void
}

/** CPU time between two looks that tells of work which no visitor waits for: alarms, `waitUntil`. */
const restingCpuMs = 20
const mostLookMs = 15_000

/** Puts cells to sleep that nobody uses. */
export class Idleness implements Disposable {
  readonly #options: IdlenessOptions
  readonly #cpuMs = new WeakMap<Cell, number>()
  #timer: Disposable | undefined

  constructor(options: IdlenessOptions) {
    this.#options = options
    this.#lookLater()
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
  }

  #lookLater(): void {
    const { clock, sleepMs } = this.#options
    this.#timer = clock.after(Math.min(sleepMs / 4, mostLookMs), () => {
      this.#look()
      this.#lookLater()
    })
  }

  #look(): void {
    const { cells, ingress, sleepMs, crowdedSleepMs, looking } = this.#options
    looking()
    const idle = cells()
      .filter((cell) => this.#rests(cell))
      .map((cell) => ({ cell, idleMs: ingress.idleMs(cell.targetIds) }))
      .toSorted((a, b) => a.idleMs - b.idleMs)
    for (const [index, { cell, idleMs }] of idle.entries()) {
      const isTooMany = index >= idleCells && idleMs >= crowdedSleepMs
      if (idleMs >= sleepMs || isTooMany) void cell.sleep()
    }
  }

  /** Whether a process runs that has done nothing to speak of since the last look. */
  #rests(cell: Cell): boolean {
    const usage = cell.usage()
    if (!usage) return false
    const before = this.#cpuMs.get(cell)
    this.#cpuMs.set(cell, usage.cpuMs)
    return before !== undefined && Math.abs(usage.cpuMs - before) < restingCpuMs
  }
}
