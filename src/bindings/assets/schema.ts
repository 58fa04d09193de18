import { z } from 'zod'
import { bindingName, jsonValue } from '#contract/binding.ts'
import { fileBytes, pathLength } from './limits.ts'

/** `{ type: "assets", name }` of an upload's metadata. */
export const assetsEntry = z.object({ type: z.literal('assets'), name: bindingName })

/** What a client calls the content of a file: 32 hex digits of a hash of its own choice. */
export const contentHash = z.string().regex(/^[0-9a-f]{32}$/)

const path = z
  .string()
  .max(pathLength)
  .regex(/^\/[^\0\\]*$/, 'a path begins with "/"')

const announced = z.object({ hash: contentHash, size: z.int().min(0).max(fileBytes) })

/** The body of an upload session: every file that the version is to have. */
export const sessionBody = z.object({ manifest: z.record(path, announced) })
/** By path. */
export type Announced = z.output<typeof sessionBody>['manifest']

/** `assets` of an upload's metadata. What its `config` holds is read in `config.ts`. */
export const assetsMetadata = z.object({
  jwt: z.string().max(10_000).exactOptional(),
  config: z.record(z.string(), jsonValue).nullable().exactOptional(),
})
