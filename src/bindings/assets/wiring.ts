import type { Entry, VersionFacts } from '#contract/binding.ts'
import type { Wire } from '#contract/wire.ts'

/** The binding is a `Fetcher` of the files of its own version. */
export function assetsWiring({ name }: Entry, { site }: VersionFacts): Wire {
  if (!site) throw new Error(`the binding ${name} is of a version without assets`)
  return { type: 'backend', client: 'fetcher', resource: site }
}
