type Cut = { readonly run: () => void; readonly isSocket: boolean }

/**
 * Counts what is in flight to each target, so that a process is stopped only when nobody waits
 * for it any more.
 */
export class InFlight {
  readonly #targets = new Map<string, { readonly cuts: Set<Cut>; waiters: (() => void)[] }>()

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
      for (const wake of target.waiters) wake()
    }
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
