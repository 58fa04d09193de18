import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { joinBytes } from '#contract/gather.ts'
import { type AccountId, blobKey } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { openedKeys } from './limits.ts'
import type { StoreId } from './schema.ts'

// Values are sealed with AES-256-GCM (NIST SP 800-38D) under the key of their store: a random nonce of
// 96 bits is safe for 2^32 of them.

const algorithm = 'aes-256-gcm'
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

export type DataKey = KeyObject

/** What a sealed value is bound to: it opens as nothing else. */
export type SealedOf = { readonly store: StoreId; readonly id: string; readonly name: string }

/**
 * The data keys of stores, each sealed by the vault and in a file of its own, rather than in a row:
 * what a database deletes is in its pages and its log for as long as those are not written over, and
 * a file that is deleted is gone. Without it, no copy of the values opens any more.
 */
export class DataKeys {
  readonly #ports: Pick<Ports, 'blob' | 'random' | 'vault'>
  readonly #opened = new Map<StoreId, DataKey>()

  constructor(ports: Pick<Ports, 'blob' | 'random' | 'vault'>) {
    this.#ports = ports
  }

  /** Makes the key of a new store. It is on disk when this resolves. */
  async create(account: AccountId, store: StoreId): Promise<void> {
    const { blob, random, vault } = this.#ports
    const sealed = await vault.seal(account, random.hex(keyBytes), contextOf(store))
    await blob.put(blobKey.parse(store), new TextEncoder().encode(sealed))
  }

  /** The key of a store; `undefined` if it was destroyed. Throws if it can't be opened. */
  async of(account: AccountId, store: StoreId): Promise<DataKey | undefined> {
    const known = this.#opened.get(store)
    if (known) return known
    const { blob, vault } = this.#ports
    await using reader = await blob.get(blobKey.parse(store))
    if (!reader) return undefined
    const sealed = new TextDecoder().decode(await reader.bytes())
    const text = await vault.open(account, sealed, contextOf(store))
    const key = createSecretKey(text, 'hex')
    const [oldest] = this.#opened.keys()
    if (oldest !== undefined && this.#opened.size >= openedKeys) this.#opened.delete(oldest)
    this.#opened.set(store, key)
    return key
  }

  /** Destroys a key: what was sealed with it can't be opened any more, in whatever copy. */
  async destroy(store: StoreId): Promise<void> {
    this.#opened.delete(store)
    await this.#ports.blob.delete(blobKey.parse(store))
  }

  /** Nonce, ciphertext and tag. */
  seal(key: DataKey, value: Uint8Array, of: SealedOf): Uint8Array {
    const nonce = this.#ports.random.bytes(nonceBytes)
    const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
    cipher.setAAD(contextBytes(of))
    const body = [cipher.update(value), cipher.final()]
    return bytesIn([nonce, ...body, cipher.getAuthTag()])
  }
}

/** Throws if the key, or what it is of, is another, or a bit has changed. */
export function openSealed(key: DataKey, sealed: Uint8Array, of: SealedOf): Uint8Array {
  if (sealed.byteLength < nonceBytes + tagBytes) throw new Error('this is not a sealed value')
  const nonce = sealed.subarray(0, nonceBytes)
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  decipher.setAAD(contextBytes(of))
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const body = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
  return bytesIn([body, decipher.final()])
}

function bytesIn(pieces: readonly Uint8Array[]): Uint8Array {
  return joinBytes(
    pieces,
    pieces.reduce((size, { byteLength }) => size + byteLength, 0),
  )
}

function contextBytes({ store, id, name }: SealedOf): Uint8Array {
  return new TextEncoder().encode(JSON.stringify([store, id, name]))
}

function contextOf(store: StoreId): string {
  return `data key of secrets store ${store}`
}
