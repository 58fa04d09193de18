import type { BlobKey } from '#contract/ids.ts'
import type { Blob } from '#contract/ports/blob.ts'
import { Kept } from './kept.ts'
import type { Range } from './range.ts'

/** Small files in memory. Their bytes are everybody's: nobody writes into them. */
export class Contents {
  readonly #kept: Kept<Uint8Array>
  readonly #pending = new Map<BlobKey, Promise<Uint8Array | undefined>>()

  /** `limit` is in bytes. */
  constructor(limit: number) {
    this.#kept = new Kept(limit, ({ byteLength }) => byteLength)
  }

  find(key: BlobKey): Uint8Array | undefined {
    return this.#kept.get(key)
  }

  /** Reads a file into memory, once for all who ask meanwhile. `undefined` if there is none. */
  load(store: Blob, key: BlobKey): Promise<Uint8Array | undefined> {
    const known = this.#pending.get(key)
    if (known) return known
    const loading = this.#read(store, key).finally(() => this.#pending.delete(key))
    this.#pending.set(key, loading)
    return loading
  }

  async #read(store: Blob, key: BlobKey): Promise<Uint8Array | undefined> {
    await using reader = await store.get(key)
    const bytes = await reader?.bytes()
    if (bytes) this.#kept.set(key, bytes)
    return bytes
  }
}

/** The bytes of a large file, opened when they are first asked for: what nobody reads holds nothing. */
export async function* contentOf(
  store: Blob,
  key: BlobKey,
  range: Range,
): AsyncGenerator<Uint8Array> {
  await using reader = await store.get(key)
  if (!reader) throw new Error('a manifest names a file that is not there')
  yield* reader.stream(range)
}
