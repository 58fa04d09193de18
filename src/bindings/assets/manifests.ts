import type { BlobKey } from '#contract/ids.ts'
import { manifestsBytes } from './limits.ts'
import { StoredManifest } from './manifest.ts'

/** The manifests that visitors ask for, in memory: as many as fit, those asked for last. */
export class Manifests {
  readonly #read: (key: BlobKey) => Promise<Uint8Array>
  readonly #kept = new Map<BlobKey, StoredManifest>()
  readonly #reading = new Map<BlobKey, Promise<StoredManifest>>()
  #bytes = 0

  constructor(read: (key: BlobKey) => Promise<Uint8Array>) {
    this.#read = read
  }

  /** At once if it is in memory. Rejects if it can't be read. */
  get(key: BlobKey): StoredManifest | Promise<StoredManifest> {
    const kept = this.#kept.get(key)
    if (!kept) return this.#reading.get(key) ?? this.#fetch(key)
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    return kept
  }

  #fetch(key: BlobKey): Promise<StoredManifest> {
    const reading = this.#read(key)
      .then((bytes) => {
        const manifest = new StoredManifest(bytes)
        this.#keep(key, manifest)
        return manifest
      })
      .finally(() => this.#reading.delete(key))
    this.#reading.set(key, reading)
    return reading
  }

  #keep(key: BlobKey, manifest: StoredManifest): void {
    this.#kept.set(key, manifest)
    this.#bytes += manifest.byteLength
    for (const [oldest, { byteLength }] of this.#kept) {
      if (this.#bytes <= manifestsBytes || oldest === key) break
      this.#kept.delete(oldest)
      this.#bytes -= byteLength
    }
  }
}
