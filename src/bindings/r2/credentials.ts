import { Buffer } from 'node:buffer'
import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { parseJson } from '#contract/json-text.ts'
import { type Credentials, permission, type Permission } from './key-store.ts'
import { isSame } from './s3-signature.ts'

/** What temporary credentials are good for, besides what their parent is. */
export const grant = z.object({
  bucket: z.string(),
  permission,
  prefixes: z.array(z.string()).max(1000).optional(),
  objects: z.array(z.string()).max(1000).optional(),
  /** Milliseconds since 1970. */
  expiresAt: z.number(),
})
export type TemporaryGrant = z.output<typeof grant>

/**
 * Credentials that end by themselves. Nothing is stored: the token says what they are good for, and
 * that and their secret follow from the parent's secret. They end with their parent.
 */
export function temporaryCredentials(
  parent: Credentials,
  given: TemporaryGrant,
): { readonly sessionToken: string; readonly secret: string } {
  const body = Buffer.from(JSON.stringify(given)).toString('base64url')
  const sessionToken = `${body}.${macOf(parent, 'token', body)}`
  return { sessionToken, secret: macOf(parent, 'secret', sessionToken) }
}

/** The credentials of a token; `undefined` if it is not of this parent, or over. */
export function openToken(
  parent: Credentials,
  sessionToken: string,
  now: number,
): Credentials | undefined {
  const [body = '', mac = '', ...more] = sessionToken.split('.')
  if (more.length > 0 || !isSame(macOf(parent, 'token', body), mac)) return undefined
  const given = grant.parse(parseJson(Buffer.from(body, 'base64url').toString('utf8')))
  const isOwn = !parent.buckets || parent.buckets.includes(given.bucket)
  if (now >= given.expiresAt || !isOwn) return undefined
  return {
    ...parent,
    permission: lesser(parent.permission, given.permission),
    buckets: [given.bucket],
    secret: macOf(parent, 'secret', sessionToken),
    ...(given.prefixes && { prefixes: given.prefixes }),
    ...(given.objects && { objects: given.objects }),
  }
}

/** What both allow. */
function lesser(a: Permission, b: Permission): Permission {
  const isOfObjects = a.startsWith('object') || b.startsWith('object')
  const isToRead = a.endsWith('read-only') || b.endsWith('read-only')
  return `${isOfObjects ? 'object' : 'admin'}-read-${isToRead ? 'only' : 'write'}`
}

function macOf({ secret }: Credentials, use: string, text: string): string {
  return createHmac('sha256', secret).update(`${use}\n${text}`).digest('hex')
}
