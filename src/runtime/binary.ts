import { createRequire } from 'node:module'
import { z } from 'zod'

// The npm package is CommonJS: its export is the path of the binary for this platform.
const workerd = z
  .object({ default: z.string(), compatibilityDate: z.string(), version: z.string() })
  .parse(createRequire(import.meta.url)('workerd'))

/** The workerd binary of the pinned npm package. Whether it is there is checked at start. */
export const workerdPath = workerd.default

/** The newest compatibility date it knows. */
export const newestCompatibilityDate = workerd.compatibilityDate

/** e.g. `1.20261117.1` */
export const workerdVersion = workerd.version
