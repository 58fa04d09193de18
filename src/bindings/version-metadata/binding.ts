import { defineBinding } from '#contract/binding.ts'
import { versionMetadataEntry } from './schema.ts'
import { versionMetadataWiring } from './wiring.ts'

/** `{ id, tag, timestamp }` of the version that runs, in `env`. */
export const versionMetadata = defineBinding({
  type: 'version_metadata',
  entry: versionMetadataEntry,
  wiring: versionMetadataWiring,
})
