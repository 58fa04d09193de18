import { createHash, timingSafeEqual } from 'node:crypto'
import { messageOf } from '#contract/errors.ts'
import type { AccountId } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { forbidden, tooManyTokens, unauthenticated } from './errors.ts'
import type { IdentityStore } from './identity-store.ts'
import * as limits from './limits.ts'
import type { Permission, Token } from './records.ts'

/** What a new token is to allow. */
export type TokenGrant = {
  readonly name: string
  readonly account: AccountId | null
  readonly permission: Permission
  /** ISO 8601; `null`: never. */
  readonly expiresAt: string | null
}

type TokensOptions = Pick<Ports, 'clock' | 'random' | 'log'> & { readonly store: IdentityStore }

// A token is the id of its row and a secret: `<32 hex digits>.<64 hex digits>`.
const form = /^([0-9a-f]{32})\.([0-9a-f]{64})$/

/** Makes and checks tokens. Only the hash of a token is kept. */
export class Tokens {
  readonly #options: TokensOptions

  constructor(options: TokensOptions) {
    this.#options = options
  }

  /** Makes a token. Its value is given out here and never again. */
  async issue(grant: TokenGrant): Promise<{ readonly token: Token; readonly value: string }> {
    const { store, clock, random } = this.#options
    const { total } = await store.tokens({ offset: 0, limit: 1 })
    if (total >= limits.tokens) throw tooManyTokens(limits.tokens)
    const id = random.hex(16)
    const secret = random.hex(32)
    const token: Token = {
      ...grant,
      id,
      hash: hashOf(secret),
      createdAt: new Date(clock.now()).toISOString(),
      revokedAt: null,
      lastUsedAt: null,
    }
    await store.addToken(token)
    return { token, value: `${id}.${secret}` }
  }

  /** The valid token that a request carries. Throws `unauthenticated`. */
  async authenticate(headers: Headers): Promise<Token> {
    const match = form.exec(valueOf(headers) ?? '')
    if (!match) throw unauthenticated()
    const [, id = '', secret = ''] = match
    const token = await this.#options.store.token(id)
    const isRight = timingSafeEqual(hashOf(secret), token?.hash ?? hashOf(''))
    if (!token || !isRight || stateOf(token, this.#options.clock.now()) !== 'active') {
      throw unauthenticated()
    }
    this.#noteUse(token)
    return token
  }

  // Nobody waits for this write, and nobody minds if the last one is lost.
  #noteUse({ id, lastUsedAt }: Token): void {
    const { clock, store, log } = this.#options
    const now = clock.now()
    if (lastUsedAt !== null && now - Date.parse(lastUsedAt) < limits.lastUsedMs) return
    store.touchToken(id, new Date(now).toISOString()).catch((error: unknown) => {
      log.warn('the last use of a token was not noted', { token: id, error: messageOf(error) })
    })
  }
}

/** Whether a token is good at a time in milliseconds since the UNIX epoch. */
export function stateOf(token: Token, now: number): 'active' | 'disabled' | 'expired' {
  if (token.revokedAt !== null) return 'disabled'
  return token.expiresAt !== null && Date.parse(token.expiresAt) <= now ? 'expired' : 'active'
}

const ranks: Readonly<Record<Permission, number>> = { read: 0, write: 1, admin: 2 }

/** Throws `forbidden` unless a token allows so much. */
export function demand(token: Token, permission: Permission): void {
  if (ranks[token.permission] < ranks[permission]) throw forbidden()
}

/** Throws `forbidden` unless a token allows so much to the server as a whole. */
export function demandOfServer(token: Token, permission: Permission): void {
  demand(token, permission)
  // Who administers one account makes no other, and no token that is good for another.
  if (permission === 'admin' && token.account !== null) throw forbidden()
}

/** Throws `forbidden` unless a token is good for an account. */
export function demandAccount(token: Token, account: AccountId): void {
  if (token.account !== null && token.account !== account) throw forbidden()
}

function valueOf(headers: Headers): string | undefined {
  const bearer = /^bearer +(\S+)$/i.exec(headers.get('authorization') ?? '')?.[1]
  return bearer ?? headers.get('x-auth-key') ?? undefined
}

function hashOf(secret: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(secret).digest())
}
