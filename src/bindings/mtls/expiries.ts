import { messageOf } from '#contract/errors.ts'
import type { Ports } from '#contract/ports.ts'
import type { Usage } from '#contract/usage.ts'
import { lookMs, lookRows, warningMs } from './limits.ts'
import { isEntryOf } from './schema.ts'
import type { Certificate, CertificateStore } from './store.ts'

export type ExpiriesOptions = Pick<Ports, 'clock' | 'log'> & {
  readonly store: CertificateStore
  readonly usage: Usage
}

/**
 * Warns of certificates that deployed Workers are bound to and that have expired, or will within a
 * month: at once and every day. They are offered all the same; whether they are good enough is for
 * the other end to say.
 */
export class Expiries implements AsyncDisposable {
  readonly #options: ExpiriesOptions
  #timer: Disposable | undefined
  #isClosed = false
  #looking: Promise<void>

  constructor(options: ExpiriesOptions) {
    this.#options = options
    this.#looking = this.#look()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer?.[Symbol.dispose]()
    await this.#looking
  }

  async #look(): Promise<void> {
    try {
      await this.#warn()
    } catch (error) {
      this.#options.log.error('expiring certificates were not looked for', {
        error: messageOf(error),
      })
    }
    if (this.#isClosed) return
    this.#timer = this.#options.clock.after(lookMs, () => {
      this.#looking = this.#look()
    })
  }

  async #warn(): Promise<void> {
    const { store, clock } = this.#options
    const before = clock.now() + warningMs
    let after = ''
    while (!this.#isClosed) {
      const page = await store.expiringBefore(before, { after, limit: lookRows })
      for (const certificate of page) await this.#warnOf(certificate)
      const last = page.at(-1)
      if (!last || page.length < lookRows) return
      after = last.id
    }
  }

  async #warnOf({ account, id, name, expiresAt }: Certificate): Promise<void> {
    const { usage, clock, log } = this.#options
    const workers = await usage.usersOf(account, isEntryOf(id))
    if (workers.length === 0) return
    const expires = new Date(expiresAt).toISOString()
    const fields = { account, certificate: id, name, expires, workers: workers.join(' ') }
    if (expiresAt <= clock.now()) log.warn('a client certificate in use has expired', fields)
    else log.warn('a client certificate in use expires soon', fields)
  }
}
