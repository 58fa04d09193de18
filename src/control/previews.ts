import type { RoutedWorker } from '#contract/snapshot.ts'
import { hasPreviewName, type PreviewName } from '#deploy/preview.ts'
import type { Version, Worker } from './records.ts'
import type { WorkerKey, WorkerStore } from './worker-store.ts'

/**
 * Whether a version can run by itself. One that implements Durable Objects can not: its objects are
 * where the deployed version runs.
 */
export function isPreviewable({ exports, bindings, worker }: Version): boolean {
  const implementsObjects =
    exports.named.some(({ type }) => type === 'durable-object') ||
    bindings.some(
      ({ type, script_name: owner = worker }) =>
        type === 'durable_object_namespace' && owner === worker,
    )
  return !implementsObjects && hasPreviewName(worker)
}

/** Whether visitors reach a version at a host of its own. */
export function hasPreview(worker: Pick<Worker, 'hasPreviews'>, version: Version): boolean {
  return worker.hasPreviews && isPreviewable(version)
}

/** The version that a name stands for, as visitors are to be led to it. */
export async function findPreview(
  store: WorkerStore,
  key: WorkerKey,
  { name }: Pick<PreviewName, 'name'>,
): Promise<RoutedWorker | undefined> {
  const byId = /^[0-9a-f]{8}$/.test(name) ? await store.versionByPrefix(key, name) : undefined
  const version = byId ?? (await store.versionByAlias(key, name))
  return version && isPreviewable(version) ? { ...key, version: version.id } : undefined
}
