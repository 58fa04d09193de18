import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'

/** `version_metadata: { binding: "VERSION" }` of a wrangler configuration. */
export const versionMetadataEntry = z.object({
  type: z.literal('version_metadata'),
  name: bindingName,
})
