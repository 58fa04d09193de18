import type { Entry, VersionFacts } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'

/** The version's own facts: made once, at upload, and the same in every process that runs it. */
export function versionMetadataWiring(_entry: Entry, version: VersionFacts): Wire {
  return {
    type: 'json',
    json: { id: version.id, tag: version.tag, timestamp: version.createdAt },
  }
}
