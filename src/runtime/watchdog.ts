import type { ExceededLimit } from '#contract/snapshot.ts'
import type { Usage } from './process.ts'

/** A process under watch. */
export type Watched = {
  /** What it has used up to now; `undefined` where the system does not say, or once it is gone. */
  usage(): Usage | undefined
  /** Resolves when its one thread has got round to answering. Rejects if it is gone. */
  ping(): Promise<void>
  /** Grows with each visitor's request that it answers. */
  answered(): number
  /** CPU time that what is in flight may take without an answer, in ms. */
  cpuLimitMs(): number
  readonly memoryLimitBytes: number
  exceeded(limit: ExceededLimit): void
}

/** How often each process is looked at: two short files of /proc, 20 µs. */
const lookMs = 100
/**
 * A thread that is at work for so much of the time may be stuck: whether it is, a ping says. Little
 * is enough: of many that are stuck, each gets only a part of a core.
 */
const busyShare = 0.02
/** A ping has so many looks' time. Between two of them the server reads what has come: it may be late. */
const patientLooks = 3
/** CPU time that many short requests at once may take together before the first of them is answered. */
const crowdCpuMs = 500

/**
 * Watches processes, each until its watch is disposed of. workerd sets no limits outside of
 * Cloudflare, and has one thread: whoever loops in it stops all that is in the cell. A process is
 * stuck if its thread has used up what a request may without answering anything, be it a visitor or
 * a ping. (A slow disk or a slow origin uses no CPU time.) What answers in between is never stuck,
 * however much it uses: that one Worker does not starve others is the scheduler's business.
 */
export class Watchdog {
  readonly #watches = new Set<Watch>()
  #timer: NodeJS.Timeout | undefined

  watch(watched: Watched): Disposable {
    const watch = new Watch(watched, performance.now())
    this.#watches.add(watch)
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref()
    return { [Symbol.dispose]: () => this.#leave(watch) }
  }

  #leave(watch: Watch): void {
    this.#watches.delete(watch)
    if (this.#watches.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const now = performance.now()
    for (const watch of this.#watches) {
      const limit = watch.look(now)
      if (limit === undefined) continue
      this.#leave(watch)
      watch.watched.exceeded(limit)
    }
  }
}

/** The watch of one process. */
export class Watch {
  readonly watched: Watched
  #lookedAt: number
  #cpuMs: number
  #answered: number
  /** Since when it has been busy without an answer: CPU time by then, and looks since. */
  #suspicion: { readonly cpuMs: number; looks: number } | undefined
  #isPinging = false

  constructor(watched: Watched, now: number) {
    this.watched = watched
    this.#lookedAt = now
    this.#cpuMs = watched.usage()?.cpuMs ?? 0
    this.#answered = watched.answered()
  }

  /** Looks, at a time by `performance.now()`; says which limit is exceeded. */
  look(now: number): ExceededLimit | undefined {
    const usage = this.watched.usage()
    if (!usage) return undefined
    if (usage.memoryBytes > this.watched.memoryLimitBytes) return 'memory'
    const isBusy = usage.cpuMs - this.#cpuMs > (now - this.#lookedAt) * busyShare
    this.#lookedAt = now
    this.#cpuMs = usage.cpuMs
    const answered = this.watched.answered()
    if (answered !== this.#answered) {
      this.#answered = answered
      this.#suspicion = undefined
      return undefined
    }
    if (isBusy) this.#suspicion ??= { cpuMs: usage.cpuMs, looks: 0 }
    if (!this.#suspicion) return undefined
    return this.#isProved(this.#suspicion, usage.cpuMs) ? 'cpu' : undefined
  }

  #isProved(suspicion: { readonly cpuMs: number; looks: number }, cpuMs: number): boolean {
    this.#ping()
    suspicion.looks += 1
    const limitMs = Math.max(this.watched.cpuLimitMs(), crowdCpuMs)
    return suspicion.looks > patientLooks && cpuMs - suspicion.cpuMs > limitMs
  }

  #ping(): void {
    if (this.#isPinging) return
    this.#isPinging = true
    void this.watched
      .ping()
      .then(() => void (this.#suspicion = undefined))
      // Not an answer: it is gone, or could not be asked, and is asked again.
      .catch(() => undefined)
      .finally(() => void (this.#isPinging = false))
  }
}
