import type { Grant } from '#contract/backend.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log, LogFields } from '#contract/ports/log.ts'
import * as limits from './limits.ts'

/** A read by a Worker. `secret` is absent if it was told that there is none. */
export type Access = {
  readonly grant: Grant
  readonly store: string
  readonly secretName: string
  readonly secret: string | undefined
}

type Tally = {
  readonly fields: LogFields
  readonly isFound: boolean
  /** Since the last line. */
  count: number
  /** Milliseconds: of the first of them. */
  since: number
}

/**
 * Says who read which secret, and never what it is. The first read by a binding has a line at once;
 * those that follow are counted, and every ten seconds there is a line with their number. So each read
 * is in the log, at the latest when this is disposed of, and a hot secret costs no line for each.
 */
export class AccessLog implements Disposable {
  readonly #clock: Clock
  readonly #log: Log
  readonly #tallies = new Map<string, Tally>()
  #timer: Disposable | undefined

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock
    this.#log = log
  }

  note({ grant, store, secretName, secret }: Access): void {
    const key = `${grant.account}/${grant.worker}/${grant.name}/${store}/${secretName}/${secret}`
    const known = this.#tallies.get(key)
    if (known) {
      if (known.count++ === 0) known.since = this.#clock.now()
      return
    }
    if (this.#tallies.size >= limits.counted) this.#flush()
    const { account, worker, name: binding } = grant
    const fields = { account, worker, binding, store, secret, secretName }
    const tally = { fields, isFound: secret !== undefined, count: 1, since: this.#clock.now() }
    this.#say(tally)
    this.#tallies.set(key, tally)
    this.#timer ??= this.#clock.after(limits.countMs, () => this.#flush())
  }

  [Symbol.dispose](): void {
    this.#flush()
  }

  /** Says what was counted, and begins anew. */
  #flush(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    for (const tally of this.#tallies.values()) {
      if (tally.count > 0) this.#say(tally)
    }
    this.#tallies.clear()
  }

  #say(tally: Tally): void {
    const { fields, isFound, count, since } = tally
    const message = isFound ? 'secret read' : 'secret asked for and not found'
    this.#log.info(message, { ...fields, count, since: new Date(since).toISOString() })
    tally.count = 0
  }
}
