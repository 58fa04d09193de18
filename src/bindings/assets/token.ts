import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { AccountId } from '#contract/ids.ts'
import type { Random } from '#contract/ports/random.ts'
import { uploadsAtOnce } from './limits.ts'

// The token of an upload looks like a JWT, because clients read its middle part: when it ends, and
// that files come one by one. Nobody has to believe that part: the last one, which would be a
// signature, is the session's id and a secret, of which the session has the hash.

/** What a session is known by. */
export type SessionSecret = { readonly id: string; readonly secretHash: Uint8Array<ArrayBuffer> }

const secretBytes = 32
const idBytes = 16

/** Makes the token of a new session; `expiresAt` in ms since the UNIX epoch. */
export function newToken(
  random: Random,
  of: { readonly account: AccountId; readonly expiresAt: number },
): SessionSecret & { readonly token: string } {
  const id = random.hex(idBytes)
  const secret = random.hex(secretBytes)
  const claims = {
    exp: Math.floor(of.expiresAt / 1_000),
    account: of.account,
    session: id,
    // control-api.md §3.3: raw bodies, one request for each file, so many at once.
    wrangler_single_asset_uploads: true,
    edge_kv_upload_concurrency: uploadsAtOnce,
  }
  const head = part(JSON.stringify({ alg: 'none', typ: 'JWT' }))
  const proof = Buffer.from(id + secret, 'hex').toString('base64url')
  return {
    id,
    secretHash: hashOf(secret),
    token: `${head}.${part(JSON.stringify(claims))}.${proof}`,
  }
}

/** Reads a token; nothing if it is none of ours. Whether its secret is right is the caller's to see. */
export function readToken(token: string): SessionSecret | undefined {
  const proof = /^[\w-]+\.[\w-]+\.([\w-]{64})$/.exec(token)?.[1]
  if (proof === undefined) return undefined
  const hex = Buffer.from(proof, 'base64url').toString('hex')
  return { id: hex.slice(0, 2 * idBytes), secretHash: hashOf(hex.slice(2 * idBytes)) }
}

function part(text: string): string {
  return Buffer.from(text).toString('base64url')
}

function hashOf(secret: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(secret).digest())
}
