import { accountId, type AccountId } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { tooManyAccounts } from './errors.ts'
import type { IdentityStore } from './identity-store.ts'
import * as limits from './limits.ts'
import type { Account } from './records.ts'
import type { Tokens } from './tokens.ts'

export type IdentitiesOptions = Pick<Ports, 'clock' | 'random'> & {
  readonly store: IdentityStore
  readonly tokens: Tokens
  /** Makes the route table follow. */
  readonly publish: () => Promise<void>
}

/** What the operator of a server needs to know of it. */
export type Administrator = { readonly account: AccountId; readonly token: string }

/** Makes accounts, the first one with its administrator. */
export class Identities {
  readonly #options: IdentitiesOptions

  constructor(options: IdentitiesOptions) {
    this.#options = options
  }

  /**
   * The first account and a token for everything: made if they are missing. `known` is the token
   * that an earlier start gave out, which stays if it still opens the door.
   */
  async administrator(known: string | undefined): Promise<Administrator> {
    const { store, tokens } = this.#options
    const account = (await store.firstAccount()) ?? (await this.#add('Bindery', 'main'))
    if (known !== undefined && (await this.#isAdministrators(known))) {
      return { account: account.id, token: known }
    }
    const grant = { name: 'admin', account: null, permission: 'admin', expiresAt: null } as const
    return { account: account.id, token: (await tokens.issue(grant)).value }
  }

  /** Throws `tooManyAccounts`. */
  async createAccount(name: string): Promise<Account> {
    const { store, random } = this.#options
    const { total } = await store.accounts(null, { offset: 0, limit: 1 })
    if (total >= limits.accounts) throw tooManyAccounts(limits.accounts)
    const wanted = subdomainOf(name)
    const isTaken = wanted === '' || (await store.isSubdomainTaken(wanted))
    const account = await this.#add(name, isTaken ? `${wanted || 'a'}-${random.hex(4)}` : wanted)
    await this.#options.publish()
    return account
  }

  /** Throws `subdomainTaken`. */
  async setSubdomain(account: AccountId, subdomain: string): Promise<void> {
    await this.#options.store.setSubdomain(account, subdomain)
    await this.#options.publish()
  }

  async #add(name: string, subdomain: string): Promise<Account> {
    const { store, clock, random } = this.#options
    const id = accountId.parse(random.hex(16))
    const createdAt = new Date(clock.now()).toISOString()
    await store.addAccount({ id, name, subdomain, createdAt })
    const added = await store.account(id)
    if (!added) throw new Error('an account that was just made is gone')
    return added
  }

  async #isAdministrators(value: string): Promise<boolean> {
    const headers = new Headers({ authorization: `Bearer ${value}` })
    const token = await this.#options.tokens.authenticate(headers).catch(() => undefined)
    return token?.permission === 'admin' && token.account === null
  }
}

/** A DNS label that reminds of a name; `""` if nothing of it can be one. */
function subdomainOf(name: string): string {
  const label = name
    .normalize('NFKD')
    .replaceAll(/\p{Mark}+/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
  return label.slice(0, 50).replaceAll(/^-+|-+$/g, '')
}
