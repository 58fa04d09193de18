import { type WorkerName, workerName } from '#contract/ids.ts'
import * as errors from './errors.ts'
import { labelLength, previewPrefixLength } from './limits.ts'

// Previews: each version by itself, at `<the first 8 digits of its id, or its alias>-<worker>`.
// developers.cloudflare.com/workers/versions-and-deployments/preview-urls

/** What the label of a host may mean: a version of a Worker, by the beginning of its id or an alias. */
export type PreviewName = { readonly name: string; readonly worker: WorkerName }

/** Throws if a version of a Worker can't go by an alias. */
export function checkAlias(alias: string, worker: WorkerName): void {
  if (!/^[a-z][a-z0-9-]*$/.test(alias)) throw errors.aliasInvalid(alias)
  if (!hasRoom(alias.length, worker)) throw errors.aliasTooLong(alias, worker)
}

/** Whether the name of a Worker leaves room for a preview's in a DNS label. */
export function hasPreviewName(worker: WorkerName): boolean {
  return hasRoom(previewPrefixLength, worker)
}

function hasRoom(length: number, worker: WorkerName): boolean {
  return length + 1 + worker.length <= labelLength
}

/** The name of a version's preview. */
export function previewPrefix(id: string): string {
  return id.slice(0, previewPrefixLength)
}

/**
 * All that a label may mean to those of the Workers that are known: there are dashes on both
 * sides. The longest name of a Worker comes first.
 */
export function previewNames(
  label: string,
  isKnown: (worker: WorkerName) => boolean,
): readonly PreviewName[] {
  const names: PreviewName[] = []
  for (let at = label.indexOf('-'); at >= 0; at = label.indexOf('-', at + 1)) {
    const worker = workerName.safeParse(label.slice(at + 1))
    if (at > 0 && worker.success && isKnown(worker.data)) {
      names.push({ name: label.slice(0, at), worker: worker.data })
    }
  }
  return names
}
