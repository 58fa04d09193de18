import type { CellPlan, CellStatus } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Log } from '#contract/ports/log.ts'
import { type IngressPort, liveKey, type RoutedWorker, type Target } from '#contract/snapshot.ts'
import type { Cell } from './cell.ts'
import { previewsPerAccount } from './limits.ts'

export type PreviewsOptions = {
  /** What a preview needs to run; `undefined` if there is no such version. */
  readonly planPreview: (of: RoutedWorker) => Promise<CellPlan | undefined>
  readonly start: (plan: CellPlan) => Promise<Cell>
  /** Takes a cell that gets no more visitors. */
  readonly retire: (account: AccountId, cell: Cell) => void
  readonly ingress: Pick<IngressPort, 'idleMs'>
  /** Called when there is another preview, or one less. */
  readonly changed: () => void
  readonly log: Log
}

type Preview = { readonly of: RoutedWorker; readonly cell: Cell }

/** Versions that run by themselves because somebody looks at them. */
export class Previews {
  readonly #options: PreviewsOptions
  readonly #running = new Map<string, Preview>()
  readonly #starting = new Map<
    string,
    { readonly of: RoutedWorker; readonly done: Promise<void> }
  >()
  /** Grows when previews of an account are out of date: what starts meanwhile is, too. */
  readonly #ages = new Map<AccountId, number>()
  #isClosed = false

  constructor(options: PreviewsOptions) {
    this.#options = options
  }

  /**
   * Starts a preview unless it runs or starts already, or as many start as may run. What does not
   * come up is logged.
   */
  wake(of: RoutedWorker): void {
    const key = liveKey(of)
    if (this.#isClosed || this.#running.has(key) || this.#starting.has(key)) return
    const line = [...this.#starting.values()].filter(
      ({ of: { account } }) => account === of.account,
    )
    if (line.length >= previewsPerAccount) return
    const { log } = this.#options
    const done = this.#start(of, key)
      .catch((error: unknown) => {
        log.warn('a preview did not start', { ...of, error: messageOf(error) })
      })
      .finally(() => this.#starting.delete(key))
    this.#starting.set(key, { of, done })
  }

  /** Where each runs, by `liveKey`. */
  targets(): ReadonlyMap<string, readonly Target[]> {
    return new Map(
      [...this.#running].map(([key, { of, cell }]) => {
        const own = cell.targets().filter(({ worker }) => worker === of.worker)
        return [key, own.map(({ target }) => target)]
      }),
    )
  }

  status(account: AccountId): readonly CellStatus[] {
    return this.#of(account).map(({ cell }) => ({ ...cell.status(), isPreview: true }))
  }

  /** Lets all of an account go: what they are bound to has changed. */
  retire(account: AccountId): void {
    this.#ages.set(account, (this.#ages.get(account) ?? 0) + 1)
    for (const { of } of this.#of(account)) this.#end(of)
  }

  /** Lets those go that nobody has looked at for so long. */
  sweep(idleMs: number): void {
    for (const { of, cell } of this.#running.values()) {
      if (this.#options.ingress.idleMs(cell.targetIds) >= idleMs) this.#end(of)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#starting.values()].map(({ done }) => done))
    for (const { of } of this.#running.values()) this.#end(of)
  }

  async #start(of: RoutedWorker, key: string): Promise<void> {
    const { planPreview, start, retire, changed } = this.#options
    const age = this.#ages.get(of.account)
    const plan = await planPreview(of)
    if (!plan) return
    const cell = await start(plan)
    if (this.#isClosed) return retire(of.account, cell)
    if (this.#ages.get(of.account) !== age) {
      retire(of.account, cell)
      return this.#start(of, key)
    }
    this.#makeRoom(of.account)
    this.#running.set(key, { of, cell })
    changed()
  }

  #makeRoom(account: AccountId): void {
    const { ingress } = this.#options
    const idle = (preview: Preview): number => ingress.idleMs(preview.cell.targetIds)
    const longestIdle = this.#of(account).toSorted((a, b) => idle(b) - idle(a))
    for (const { of } of longestIdle.slice(0, longestIdle.length + 1 - previewsPerAccount)) {
      this.#end(of)
    }
  }

  #end(of: RoutedWorker): void {
    const key = liveKey(of)
    const preview = this.#running.get(key)
    if (!preview) return
    this.#running.delete(key)
    this.#options.changed()
    this.#options.retire(of.account, preview.cell)
  }

  #of(account: AccountId): readonly Preview[] {
    return [...this.#running.values()].filter(({ of }) => of.account === account)
  }
}
