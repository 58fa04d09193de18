import { z } from 'zod'
import { type AccountId, accountId, blobKey } from '#contract/ids.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Vault } from '#contract/ports/vault.ts'
import { linkInvalid } from './errors.ts'
import { databaseId } from './schema.ts'

const link = z.discriminatedUnion('type', [
  z.object({ type: z.literal('import'), database: databaseId, etag: z.string() }),
  z.object({ type: z.literal('export'), blob: blobKey, filename: z.string() }),
])
/** What somebody may do who has been given a URL: send one file, or fetch one. */
export type Link = z.output<typeof link>

const sealed = z.object({ link, expiresAt: z.number() })
const context = 'd1 link'

/** Where files are sent and fetched, below the account. */
export const linkPath = '/d1/files'

/** URLs that need no other authority than themselves, for a while. They outlive a restart. */
export class Links {
  readonly #vault: Vault
  readonly #clock: Clock

  constructor({ vault, clock }: { readonly vault: Vault; readonly clock: Clock }) {
    this.#vault = vault
    this.#clock = clock
  }

  /** A URL that is good for so long, at the address at which the client has called. */
  async urlOf(
    of: Link,
    to: { readonly account: AccountId; readonly request: Request; readonly forMs: number },
  ): Promise<string> {
    const text = JSON.stringify({ link: of, expiresAt: this.#clock.now() + to.forMs })
    const token = await this.#vault.seal(to.account, text, context)
    const path = `/client/v4/accounts/${to.account}${linkPath}/${encodeURIComponent(token)}`
    const url = new URL(path, to.request.url)
    // A proxy in front of the API speaks TLS with the client, and not with us.
    if (to.request.headers.get('x-forwarded-proto') === 'https') url.protocol = 'https:'
    return url.href
  }

  /** What a token of such a URL is for. Throws `linkInvalid`. */
  async read(account: string, token: string): Promise<Link & { readonly account: AccountId }> {
    const owner = accountId.safeParse(account)
    if (!owner.success) throw linkInvalid()
    const text = await this.#vault.open(owner.data, token, context).catch(() => {
      throw linkInvalid()
    })
    const { link: of, expiresAt } = sealed.parse(JSON.parse(text))
    if (expiresAt <= this.#clock.now()) throw linkInvalid()
    return { ...of, account: owner.data }
  }
}
