import type { GuestPort } from '#contract/guests.ts'
import type { Watchdog, Watched } from './watchdog.ts'

/** What is known of Workers that other Workers have loaded, by the cell that they are in. */
export class Guests implements GuestPort {
  readonly #processes = new Map<string, Watched>()
  readonly #limits = new Map<string, Set<{ readonly cpuMs: number }>>()

  /** Has the process of a cell watched, by its own limits and those of guests, until disposed of. */
  watch(cell: string, watchdog: Watchdog, process: Watched): Disposable {
    this.#processes.set(cell, process)
    const watch = watchdog.watch({
      ...process,
      cpuLimitMs: () => Math.min(process.cpuLimitMs(), this.#cpuLimitMs(cell)),
    })
    return {
      [Symbol.dispose]: () => {
        watch[Symbol.dispose]()
        if (this.#processes.get(cell) === process) this.#processes.delete(cell)
      },
    }
  }

  limitCpu(cell: string, cpuMs: number): Disposable {
    const limit = { cpuMs }
    const limits = this.#limits.get(cell) ?? new Set()
    this.#limits.set(cell, limits.add(limit))
    return {
      [Symbol.dispose]: () => {
        limits.delete(limit)
        if (limits.size === 0 && this.#limits.get(cell) === limits) this.#limits.delete(cell)
      },
    }
  }

  fullness(cell: string): number | undefined {
    const process = this.#processes.get(cell)
    const usage = process?.usage()
    return process && usage && usage.memoryBytes / process.memoryLimitBytes
  }

  /** The smallest limit that holds in a cell; no end of time if none does. */
  #cpuLimitMs(cell: string): number {
    return Math.min(...[...(this.#limits.get(cell) ?? [])].map(({ cpuMs }) => cpuMs))
  }
}
