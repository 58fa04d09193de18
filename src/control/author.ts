import { createHash } from 'node:crypto'
import type { Author, Source, Token } from './records.ts'

/** Who a token is, as versions and deployments say it. A token's name stands for a person's. */
export function authorOf(
  token: Token,
  from: { readonly userAgent: string; readonly domain: string },
): Author {
  return {
    authorId: userIdOf(token),
    authorEmail: emailOf(token, from.domain),
    source: sourceOf(from.userAgent),
  }
}

/** Looks like an id of Cloudflare's, and is none that carries authority. */
export function userIdOf({ id }: Token): string {
  return createHash('sha256').update(`user/${id}`).digest('hex').slice(0, 32)
}

export function emailOf({ name }: Token, domain: string): string {
  const local = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return `${local.replaceAll(/^-+|-+$/g, '') || 'token'}@${domain}`
}

// wrangler asks what a Worker was last deployed from, and warns unless it was itself.
function sourceOf(userAgent: string): Source {
  if (userAgent.startsWith('wrangler/')) return 'wrangler'
  return /terraform/i.test(userAgent) ? 'terraform' : 'api'
}
