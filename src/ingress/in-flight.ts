import type { Exceeded, ExceededLimit, Flight, FlightKind, Traffic } from '#contract/snapshot.ts'

type Cut = {
  readonly run: () => void
  readonly kind: FlightKind
  /** By `performance.now()`. */
  readonly beganAt: number
  exceeded?: Exceeded
}

type Known = {
  idleSince: number
  begun: number
  ended: number
  answered: number
  answeredAt: number
}

/** An answer and the next request may pass each other on the way. */
const crossingMs = 50

/**
 * Counts what is in flight to each target, so that a process is stopped only when nobody waits
 * for it any more.
 */
export class InFlight {
  readonly #targets = new Map<string, { readonly cuts: Set<Cut>; waiters: (() => void)[] }>()
  /** Of the targets that are live. */
  #known: ReadonlyMap<string, Known> = new Map()

  /** Counts one request until it ends. `run` ends it by force: a drain has waited long enough. */
  begin(targetId: string, run: () => void, kind: FlightKind = 'request'): Flight {
    const cut: Cut = { run, kind, beganAt: performance.now() }
    const target = this.#targets.get(targetId) ?? { cuts: new Set(), waiters: [] }
    this.#targets.set(targetId, target)
    target.cuts.add(cut)
    const counted = this.#known.get(targetId)
    if (counted) counted.begun += 1
    const end: Flight['end'] = ({ isAnswered }) => {
      if (!target.cuts.delete(cut)) return
      this.#ended(targetId, isAnswered)
      if (target.cuts.size > 0) return
      this.#targets.delete(targetId)
      for (const wake of target.waiters) wake()
    }
    return {
      get exceeded() {
        return cut.exceeded
      },
      end,
    }
  }

  #ended(targetId: string, isAnswered: boolean): void {
    const known = this.#known.get(targetId)
    if (!known) return
    const now = performance.now()
    known.idleSince = now
    known.ended += 1
    if (!isAnswered) return
    known.answeredAt = now
    known.answered += 1
  }

  /** `undefined` if one of these targets is not watched any more. */
  traffic(targetIds: readonly string[]): Traffic | undefined {
    const sum = { begun: 0, ended: 0, sockets: 0 }
    for (const id of targetIds) {
      const known = this.#known.get(id)
      if (!known) return undefined
      sum.begun += known.begun
      sum.ended += known.ended
      for (const { kind } of this.#targets.get(id)?.cuts ?? []) {
        if (kind === 'socket') sum.sockets += 1
      }
    }
    return sum
  }

  answered(targetIds: readonly string[]): number {
    return targetIds.reduce((sum, id) => sum + (this.#known.get(id)?.answered ?? 0), 0)
  }

  /**
   * Marks what is in flight to these targets, whose process is to be killed. A process that is stuck
   * takes nothing up any more: the likely culprit is the first request that it was sent around its
   * last answer or after it. Of memory that is gone nobody can say who took it, but of one alone.
   */
  exceeded(targetIds: readonly string[], limit: ExceededLimit): void {
    const answeredAt = Math.max(...targetIds.map((id) => this.#known.get(id)?.answeredAt ?? 0))
    const cuts = targetIds
      .flatMap((id) => [...(this.#targets.get(id)?.cuts ?? [])])
      .toSorted((a, b) => a.beganAt - b.beganAt)
    const first = cuts.find(({ beganAt }) => beganAt >= answeredAt - crossingMs) ?? cuts.at(-1)
    for (const cut of cuts) {
      const isKnown = limit === 'cpu' || cuts.length === 1
      cut.exceeded = { limit, isCulprit: isKnown && cut === first }
    }
  }

  /** Says which targets there are: a new one is idle from now on. */
  watch(targetIds: Iterable<string>): void {
    const now = performance.now()
    const fresh = (): Known => ({
      idleSince: now,
      begun: 0,
      ended: 0,
      answered: 0,
      answeredAt: now,
    })
    const known = this.#known
    this.#known = new Map([...targetIds].map((id) => [id, known.get(id) ?? fresh()]))
  }

  /** How long nothing has been in flight to any of these targets, in ms; 0 while something is. */
  idleMs(targetIds: readonly string[]): number {
    const now = performance.now()
    return targetIds.reduce((least, id) => {
      const idle = this.count(id) > 0 ? 0 : now - (this.#known.get(id)?.idleSince ?? now)
      return Math.min(least, idle)
    }, Infinity)
  }

  count(targetId: string): number {
    return this.#targets.get(targetId)?.cuts.size ?? 0
  }

  /**
   * Resolves when nothing is in flight to these targets; cuts what is left after `deadlineMs`, and
   * what is left of events after `eventsMs`.
   */
  async drain(
    targetIds: readonly string[],
    deadlineMs: number,
    eventsMs = deadlineMs,
  ): Promise<void> {
    const deadlines = [
      setTimeout(() => this.#cut(targetIds, (kind) => kind !== 'event'), deadlineMs),
      setTimeout(() => this.#cut(targetIds, (kind) => kind === 'event'), eventsMs),
    ]
    await Promise.all(targetIds.map((id) => this.#empty(id)))
    for (const deadline of deadlines) clearTimeout(deadline)
  }

  /** Ends the WebSockets of these targets. */
  cutSockets(targetIds: readonly string[]): void {
    this.#cut(targetIds, (kind) => kind === 'socket')
  }

  #cut(targetIds: readonly string[], isMeant: (kind: FlightKind) => boolean): void {
    for (const id of targetIds) {
      for (const { run, kind } of this.#targets.get(id)?.cuts ?? []) if (isMeant(kind)) run()
    }
  }

  /**
   * Resolves when nothing at all is in flight; cuts what is left after `deadlineMs`. WebSockets are
   * ended at once: waiting for one that is idle would use up the time and end in the same way.
   */
  async drainAll(deadlineMs: number): Promise<void> {
    const all = [...this.#targets.keys()]
    this.cutSockets(all)
    await this.drain(all, deadlineMs)
  }

  #empty(targetId: string): Promise<void> {
    const target = this.#targets.get(targetId)
    if (!target) return Promise.resolve()
    return new Promise((resolve) => target.waiters.push(resolve))
  }
}
