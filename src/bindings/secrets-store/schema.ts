import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'
import * as limits from './limits.ts'

/** 32 hex digits, as all ids of this product. */
const id = z.string().regex(/^[0-9a-f]{32}$/)
export const storeId = id.brand<'StoreId'>()
export type StoreId = z.output<typeof storeId>
export const secretId = id.brand<'SecretId'>()
export type SecretId = z.output<typeof secretId>

/** An entry of upload metadata. An id that is none is told by `admit`, in Cloudflare's words. */
export const secretsStoreEntry = z.object({
  type: z.literal('secrets_store_secret'),
  name: bindingName,
  store_id: z.string().max(255),
  secret_name: z.string().max(255),
})

/** What `wiring` says of a grant. */
export const secretResource = z.object({ store: storeId, secret: z.string() })

// Bodies of the REST API. What is wrong with them is said with the word that upstream has for it,
// and never with what was sent: that may be a value.

const wellFormed = (word: string) => (text: string, context: z.RefinementCtx) => {
  if (text.isWellFormed()) return
  context.addIssue({ code: 'custom', message: `${word}: it is not Unicode text` })
}

const storeName = z
  .string()
  .min(1, 'store_name_empty')
  .max(limits.nameLength, `store_name_too_long: at most ${limits.nameLength} characters`)
  .regex(/^\P{Cc}*$/u, 'store_name_invalid: it may not hold control characters')
  .superRefine(wellFormed('store_name_invalid'))

const secretName = z
  .string()
  .min(1, 'secret_name_empty')
  .max(limits.nameLength, `secret_name_too_long: at most ${limits.nameLength} characters`)
  .regex(
    /^[A-Za-z0-9_-]*$/,
    'secret_name_invalid: it may only contain alphanumeric characters, underscores, or dashes',
  )

/** A value, as the bytes that are kept. */
const value = z
  .string()
  .superRefine(wellFormed('secret_value_invalid'))
  .transform((text) => new TextEncoder().encode(text))
  .refine(
    ({ byteLength }) => byteLength <= limits.valueBytes,
    `secret_value_too_long: at most ${limits.valueBytes} bytes`,
  )

/** What a secret may be used by, in the SDK's words. Here there is the first. */
export const scope = z.enum(['workers', 'ai_gateway', 'dex', 'access', 'containers', 'websearch'], {
  error: 'secret_scope_invalid',
})
export type Scope = z.output<typeof scope>

const scopes = z
  .array(z.unknown())
  .min(1, 'secret_scopes_empty')
  .max(scope.options.length, 'secret_scope_invalid')
  .pipe(z.array(scope))
  .transform((all) => [...new Set(all)])

const comment = z
  .string()
  .max(limits.commentLength, `secret_comment_too_long: at most ${limits.commentLength} characters`)
  .superRefine(wellFormed('secret_comment_invalid'))

/** As many as a call may have: counted before each is looked at. */
const some = <Item extends z.ZodType>(item: Item) =>
  z.array(z.unknown()).min(1).max(limits.perCall).pipe(z.array(item))

const newStore = z.object({ name: storeName })
/** One store, or some, as earlier SDKs have it: the answer is of the same shape. */
export const newStoreBody = z.union([newStore, some(newStore)])

export const newSecretsBody = some(
  z.object({ name: secretName, value, scopes, comment: comment.default('') }),
)
export type NewSecret = Omit<z.output<typeof newSecretsBody>[number], 'value'> & {
  readonly value: Uint8Array
}

export const duplicateBody = z.object({ name: secretName, scopes, comment: comment.default('') })

/** What is absent stays. */
export const secretBody = z.object({
  /** Earlier SDKs send it. */
  name: secretName.optional(),
  value: value.optional(),
  scopes: scopes.optional(),
  comment: comment.optional(),
})

/** Ids, each by itself or in an object. */
export const bulkDeleteBody = some(z.union([z.string(), z.object({ id: z.string() })])).transform(
  (items) => items.map((item) => (typeof item === 'string' ? item : item.id)),
)

// Queries.

const direction = z.enum(['asc', 'desc'])

export const storeQuery = z.object({
  order: z.enum(['name', 'created', 'modified']).default('created'),
  direction: direction.default('desc'),
})
export type StoreQuery = z.output<typeof storeQuery>

export const secretQuery = z.object({
  order: z.enum(['name', 'comment', 'created', 'modified', 'status']).optional(),
  direction: direction.default('desc'),
  search: z.string().default(''),
  scopes: z.array(scope),
})
export type SecretQuery = z.output<typeof secretQuery>
