import { messageOf } from '#contract/errors.ts'
import type { BlobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { graceMs } from './limits.ts'
import { StoredManifest } from './manifest.ts'
import type { AssetStore, Session } from './store.ts'

/** Digits of the key of a content, a draft or a manifest. That of a compressed content is longer. */
const keyLength = 32

/**
 * Removes what nobody names: contents that are in none of these manifests and in no upload that is
 * under way, what was made of them, old manifests, and blobs that a crash left without a row.
 * Nothing that is younger than `graceMs`, or was asked for since: who did may be about to name it,
 * also while this goes on. Rejects, and removes nothing, where one that is named can't be read: it may
 * name anything.
 */
export async function sweep(
  { blob, clock }: Pick<Ports, 'blob' | 'clock'>,
  store: AssetStore,
  manifests: ReadonlySet<BlobKey>,
): Promise<void> {
  const before = clock.now() - graceMs
  await store.removeEndedSessions()
  const kept = new Set<string>(manifests)
  for (const key of manifests) for (const each of await blobsOf(store, key)) kept.add(each)
  for (const session of await store.openSessions()) {
    kept.add(session.draft)
    for (const each of await announcedBy(store, session)) kept.add(each)
  }
  for await (const files of store.filesBefore(before)) {
    await store.removeFiles(
      files.filter((file) => !kept.has(file.blob)),
      before,
    )
  }
  // Whatever has a row now was not removed, for whatever reason: so its bytes are not, either.
  for await (const files of store.filesBefore(Number.MAX_SAFE_INTEGER))
    for (const file of files) kept.add(file.blob)
  for await (const { key, writtenAt } of blob.list()) {
    if (writtenAt < before && !kept.has(key.slice(0, keyLength))) await blob.delete(key)
  }
}

async function blobsOf(store: AssetStore, key: BlobKey): Promise<Iterable<BlobKey>> {
  try {
    return new StoredManifest(await store.manifest(key)).blobs()
  } catch (error) {
    throw new Error(`the manifest ${key} can't be read: ${messageOf(error)}`, { cause: error })
  }
}

async function announcedBy(store: AssetStore, session: Session): Promise<readonly BlobKey[]> {
  const hashes = Object.values(await store.draft(session)).map(({ hash }) => hash)
  return [...(await store.files(session.account, hashes)).values()].map((file) => file.blob)
}
