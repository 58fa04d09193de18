import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'
import * as limits from './limits.ts'

export const period = z.literal([...limits.periods], { error: 'must be either 10 or 60' })

const namespaceId = z
  .string()
  .max(limits.namespaceDigits)
  .regex(/^0*[1-9][0-9]*$/, { error: 'must be a string that holds a positive integer' })

/** An entry of upload metadata, also as older wranglers send it: from `unsafe.bindings`. */
export const rateLimitEntry = z.strictObject({
  type: z.literal('ratelimit'),
  name: bindingName,
  namespace_id: namespaceId,
  simple: z.strictObject({ limit: z.number().min(0), period }),
})

/** What `wiring` says of a grant. */
export const rateLimitResource = z.object({ namespaceId, limit: z.number(), period })
