import { messageOf } from '#contract/errors.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Cell } from './cell.ts'
import type { CellHostOptions } from './host-options.ts'
import { eventMs } from './limits.ts'

/** After these, the oldest of an account gives up the rest of its `waitUntil` work. */
const lingerersPerAccount = 3
/** After these, the oldest of an account is cut off from its last requests (open WebSockets). */
const leaversPerAccount = 8
const closeGraceMs = 5_000

type Leaver = {
  readonly cell: Cell
  /** Aborted: it stays no longer than its last request. */
  readonly hurry: AbortController
  /** Aborted: its last requests are closed. */
  readonly cut: AbortController
}

/**
 * Where cells go that are out of the table: they finish their requests and events, stay for
 * `waitUntil` work, and stop. Deploys that come faster than that must not pile up processes.
 */
export class Retirement {
  readonly #options: CellHostOptions
  readonly #leavers = new Map<AccountId, Leaver[]>()
  readonly #leaving = new Set<Promise<void>>()

  constructor(options: CellHostOptions) {
    this.#options = options
  }

  /** Takes over a cell that gets no new requests. */
  take(account: AccountId, cell: Cell): void {
    cell.retire()
    const leaver = { cell, hurry: new AbortController(), cut: new AbortController() }
    const leavers = [...(this.#leavers.get(account) ?? []), leaver]
    this.#leavers.set(account, leavers)
    for (const { hurry } of leavers.slice(0, -lingerersPerAccount)) hurry.abort()
    for (const { cut } of leavers.slice(0, -leaversPerAccount)) cut.abort()
    const left = this.#leave(leaver).catch((error: unknown) => {
      this.#options.log.error('a cell did not retire', { error: messageOf(error) })
    })
    this.#leaving.add(left)
    void left.finally(() => {
      this.#leaving.delete(left)
      const others = this.#leavers.get(account)?.filter((other) => other !== leaver) ?? []
      if (others.length > 0) this.#leavers.set(account, others)
      else this.#leavers.delete(account)
    })
  }

  /** Sends all away now; resolves when they are gone. */
  async close(): Promise<void> {
    for (const { hurry, cut } of [...this.#leavers.values()].flat()) {
      hurry.abort()
      cut.abort()
    }
    await Promise.all(this.#leaving)
  }

  async #leave({ cell, hurry, cut }: Leaver): Promise<void> {
    const { ingress, clock, drainMs, lingerMs } = this.#options
    const closed = aborted(cut.signal).then(() => ingress.drain(cell.targetIds, 0))
    await Promise.race([ingress.drain(cell.targetIds, drainMs, eventMs), closed])
    const { promise: lingered, resolve } = Promise.withResolvers<void>()
    const timer = clock.after(lingerMs, resolve)
    await Promise.race([lingered, aborted(hurry.signal)])
    timer[Symbol.dispose]()
    await cell.stop(closeGraceMs)
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
