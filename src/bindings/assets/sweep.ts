import type { BlobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { graceMs } from './limits.ts'
import { StoredManifest } from './manifest.ts'
import type { AssetStore } from './store.ts'

/** Digits of the key of a content, a draft or a manifest. That of a compressed content is longer. */
const keyLength = 32

/**
 * Removes what nobody names: contents that are in none of these manifests and in no upload that is
 * under way, what was made of them, old manifests, and blobs that a crash left without a row.
 * Nothing that is younger than `graceMs`: who made it may be about to name it.
 */
export async function sweep(
  { blob, clock }: Pick<Ports, 'blob' | 'clock'>,
  store: AssetStore,
  manifests: ReadonlySet<BlobKey>,
): Promise<void> {
  const before = clock.now() - graceMs
  await store.removeEndedSessions()
  const kept = new Set<string>(manifests)
  for (const key of manifests) {
    const bytes = await store.manifest(key).catch(() => undefined)
    for (const each of bytes ? new StoredManifest(bytes).blobs() : []) kept.add(each)
  }
  for (const session of await store.openSessions()) {
    kept.add(session.draft)
    const hashes = Object.values(await store.draft(session)).map(({ hash }) => hash)
    for (const file of (await store.files(session.account, hashes)).values()) kept.add(file.blob)
  }
  for await (const files of store.filesBefore(before)) {
    await store.removeFiles(files.filter((file) => !kept.has(file.blob)))
  }
  for await (const { key, writtenAt } of blob.list()) {
    if (writtenAt < before && !kept.has(key.slice(0, keyLength))) await blob.delete(key)
  }
}
