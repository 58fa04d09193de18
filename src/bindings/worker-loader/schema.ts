import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'

/** An entry of upload metadata: `worker_loaders: [{ binding }]` of wrangler. */
export const workerLoaderEntry = z.strictObject({
  type: z.literal('worker_loader'),
  name: bindingName,
})
