type Cut = { readonly run: () => void; readonly isSocket: boolean }

/**
 * Counts what is in flight to each target, so that a process is stopped only when nobody waits
 * for it any more.
 */
export class InFlight {
  readonly #targets = new Map<string, { readonly cuts: Set<Cut>; waiters: (() => void)[] }>()
  /** Since when nothing is in flight to a target, by `performance.now()`; of those that are live. */
  #idleSince = new Map<string, number>()

  /**
   * Counts one request until the returned function is called. `run` ends it by force, and is
   * called when a drain has waited long enough.
   */
  begin(targetId: string, run: () => void, isSocket = false): () => void {
    const cut: Cut = { run, isSocket }
    const target = this.#targets.get(targetId) ?? { cuts: new Set(), waiters: [] }
    this.#targets.set(targetId, target)
    target.cuts.add(cut)
    return () => {
      if (!target.cuts.delete(cut) || target.cuts.size > 0) return
      this.#targets.delete(targetId)
      if (this.#idleSince.has(targetId)) this.#idleSince.set(targetId, performance.now())
      for (const wake of target.waiters) wake()
    }
  }

  /** Says which targets there are: a new one is idle from now on. */
  watch(targetIds: Iterable<string>): void {
    const now = performance.now()
    const known = this.#idleSince
    this.#idleSince = new Map([...targetIds].map((id) => [id, known.get(id) ?? now]))
  }

  /** How long nothing has been in flight to any of these targets, in ms; 0 while something is. */
  idleMs(targetIds: readonly string[]): number {
    const now = performance.now()
    return targetIds.reduce((least, id) => {
      const idle = this.count(id) > 0 ? 0 : now - (this.#idleSince.get(id) ?? now)
      return Math.min(least, idle)
    }, Infinity)
  }

  count(targetId: string): number {
    return this.#targets.get(targetId)?.cuts.size ?? 0
  }

  /** Resolves when nothing is in flight to these targets; cuts what is left after `deadlineMs`. */
  async drain(targetIds: readonly string[], deadlineMs: number): Promise<void> {
    const deadline = setTimeout(() => {
      for (const id of targetIds) {
        for (const { run } of this.#targets.get(id)?.cuts ?? []) run()
      }
    }, deadlineMs)
    await Promise.all(targetIds.map((id) => this.#empty(id)))
    clearTimeout(deadline)
  }

  /** Ends the WebSockets of these targets. */
  cutSockets(targetIds: readonly string[]): void {
    for (const id of targetIds) {
      for (const { run, isSocket } of this.#targets.get(id)?.cuts ?? []) if (isSocket) run()
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
