import { timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import type { Owner } from '#contract/binding.ts'
import { type AccountId, accountId, type BlobKey, blobKey, workerName } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import type { BlobSource } from '#contract/ports/blob.ts'
import {
  bytesColumn,
  integerColumn,
  type Row,
  sql,
  type Statement,
  textColumn,
  textColumnOrNull,
} from '#contract/ports/sql.ts'
import { sizeMismatch, tooManySessions } from './errors.ts'
import { fileBytes, sessionsPerAccount, stepRows, touchMs } from './limits.ts'
import type { Announced } from './schema.ts'
import type { SessionSecret } from './token.ts'

/** The content of a file, as an account has it. */
export type StoredFile = {
  readonly hash: string
  readonly size: number
  readonly contentType: string | undefined
  readonly blob: BlobKey
}

/** An upload that was begun. */
export type Session = Owner & {
  readonly id: string
  /** Which files it is to bring: see `draft`. */
  readonly draft: BlobKey
  /** Milliseconds since the UNIX epoch. */
  readonly expiresAt: number
}

/** Files, uploads and manifests. A blob is written before its row and removed after it. */
export class AssetStore {
  readonly #ports: Ports

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /**
   * The same for somebody who is about to name them: until `graceMs` from now no sweep removes those
   * that are found, not one that is under way either.
   */
  async claim(
    account: AccountId,
    hashes: Iterable<string>,
  ): Promise<ReadonlyMap<string, StoredFile>> {
    const now = this.#ports.clock.now()
    const all = [...new Set(hashes)]
    const touches: Statement[] = []
    for (const step of stepsOf(all)) {
      touches.push(touchStatement(account, step, { now, before: now - touchMs }))
    }
    // Written before it is read: what is gone by then is not found.
    if (touches.length > 0) await this.#ports.sql.write(touches)
    return await this.files(account, all)
  }

  /** Of some contents those that the account has, by hash. */
  async files(
    account: AccountId,
    hashes: Iterable<string>,
  ): Promise<ReadonlyMap<string, StoredFile>> {
    const found = new Map<string, StoredFile>()
    for (const step of stepsOf([...new Set(hashes)])) {
      for (const row of await this.#ports.sql.read(filesStatement(account, step))) {
        const file = fileOf(row)
        found.set(file.hash, file)
      }
    }
    return found
  }

  /**
   * Stores a content, unless the account has it: then that stays. Resolves when it is durable. Throws
   * `sizeMismatch`, or a `BlobTooLargeError`, and stores nothing.
   */
  async addFile(
    account: AccountId,
    { hash, size: expected, contentType }: Omit<StoredFile, 'blob'>,
    source: BlobSource,
  ): Promise<void> {
    const { sql: database, blob, clock } = this.#ports
    const key = this.#newKey()
    try {
      const size = await blob.put(key, source, fileBytes)
      if (size !== expected) throw sizeMismatch(hash, size, expected)
      const [inserted] = await database.write([
        sql`INSERT INTO file (account, hash, size, content_type, blob, created_at)
            VALUES (${account}, ${hash}, ${size}, ${contentType ?? null}, ${key}, ${clock.now()})
            ON CONFLICT DO NOTHING`,
      ])
      if (inserted?.changes !== 1) await blob.delete(key)
    } catch (error) {
      await blob.delete(key)
      throw error
    }
  }

  /** Begins an upload. Throws `tooManySessions`. */
  async addSession(
    owner: Owner,
    { id, secretHash }: SessionSecret,
    upload: { readonly announced: Announced; readonly expiresAt: number },
  ): Promise<Session> {
    const { sql: database, blob, clock } = this.#ports
    const { account, worker } = owner
    const { announced, expiresAt } = upload
    const draft = await this.#putNew(new TextEncoder().encode(JSON.stringify(announced)))
    const [inserted] = await database.write([
      sql`INSERT INTO session (id, secret_hash, account, worker, draft, expires_at)
          SELECT ${id}, ${secretHash}, ${account}, ${worker}, ${draft}, ${expiresAt}
          WHERE (SELECT count(*) FROM session
                 WHERE account = ${account} AND expires_at > ${clock.now()}) < ${sessionsPerAccount}`,
    ])
    if (inserted?.changes === 1) return { ...owner, id, draft, expiresAt }
    await blob.delete(draft)
    throw tooManySessions()
  }

  /** The upload that a token is of; nothing if the secret is not its own, or its time is over. */
  async session({ id, secretHash }: SessionSecret): Promise<Session | undefined> {
    const [row] = await this.#ports.sql.read(sql`SELECT * FROM session WHERE id = ${id}`)
    if (!row || !timingSafeEqual(bytesColumn(row, 'secret_hash'), secretHash)) return undefined
    const session = sessionOf(row)
    return session.expiresAt > this.#ports.clock.now() ? session : undefined
  }

  /** Which files an upload is to bring. */
  async draft({ draft }: Pick<Session, 'draft'>): Promise<Announced> {
    await using reader = await this.#ports.blob.get(draft)
    if (!reader) throw new Error(`the draft ${draft} of an upload is gone`)
    return draftSchema.parse(JSON.parse(new TextDecoder().decode(await reader.bytes())))
  }

  /** Stores a manifest, durably, under a name of its own. */
  addManifest(bytes: Uint8Array): Promise<BlobKey> {
    return this.#putNew(bytes)
  }

  /** Throws if there is none. */
  async manifest(key: BlobKey): Promise<Uint8Array> {
    await using reader = await this.#ports.blob.get(key)
    if (!reader) throw new Error(`the manifest ${key} is gone`)
    return await reader.bytes()
  }

  /** Uploads whose time is not over, of all accounts. */
  async openSessions(): Promise<readonly Session[]> {
    const now = this.#ports.clock.now()
    const rows = await this.#ports.sql.read(sql`SELECT * FROM session WHERE expires_at > ${now}`)
    return rows.map(sessionOf)
  }

  async removeEndedSessions(): Promise<void> {
    const now = this.#ports.clock.now()
    await this.#ports.sql.write([sql`DELETE FROM session WHERE expires_at <= ${now}`])
  }

  /** Every content that was stored, and asked for last, before a time, in steps. */
  async *filesBefore(
    before: number,
  ): AsyncGenerator<readonly (StoredFile & { readonly account: AccountId })[]> {
    let [account, hash] = ['', '']
    for (;;) {
      const rows = await this.#ports.sql.read(
        sql`SELECT * FROM file WHERE (account, hash) > (${account}, ${hash})
              AND created_at < ${before} ORDER BY account, hash LIMIT ${stepRows}`,
      )
      const last = rows.at(-1)
      if (!last) return
      ;[account, hash] = [textColumn(last, 'account'), textColumn(last, 'hash')]
      yield rows.map((row) => ({
        ...fileOf(row),
        account: accountId.parse(textColumn(row, 'account')),
      }))
    }
  }

  /** Removes files, but those that were asked for since that time. */
  async removeFiles(
    files: readonly { readonly account: AccountId; readonly hash: string }[],
    before: number,
  ): Promise<void> {
    if (files.length === 0) return
    await this.#ports.sql.write(
      files.map(
        ({ account, hash }): Statement =>
          sql`DELETE FROM file WHERE account = ${account} AND hash = ${hash}
                AND created_at < ${before}`,
      ),
    )
  }

  #newKey(): BlobKey {
    return blobKey.parse(this.#ports.random.hex(16))
  }

  async #putNew(bytes: Uint8Array): Promise<BlobKey> {
    const key = this.#newKey()
    await this.#ports.blob.put(key, bytes)
    return key
  }
}

// It was read with all its rules when it came.
const draftSchema = z.record(z.string(), z.object({ hash: z.string(), size: z.number() }))

function* stepsOf<Item>(all: readonly Item[]): Generator<readonly Item[]> {
  for (let at = 0; at < all.length; at += stepRows) yield all.slice(at, at + stepRows)
}

function filesStatement(account: AccountId, hashes: readonly string[]): Statement {
  return {
    strings: stringsFor(['SELECT * FROM file WHERE account = '], hashes.length),
    values: [account, ...hashes],
  }
}

/** `created_at` is moved for those alone where it makes a difference: a deploy touches every file. */
function touchStatement(
  account: AccountId,
  hashes: readonly string[],
  { now, before }: { readonly now: number; readonly before: number },
): Statement {
  const beginning = ['UPDATE file SET created_at = ', ' WHERE created_at < ', ' AND account = ']
  return {
    strings: stringsFor(beginning, hashes.length),
    values: [now, before, account, ...hashes],
  }
}

const texts = new Map<string, readonly string[]>()

/** The text of a statement for so many hashes: the same each time. */
function stringsFor(beginning: readonly string[], count: number): readonly string[] {
  const known = texts.get(`${beginning[0]}${count}`)
  if (known) return known
  const between = Array<string>(count - 1).fill(', ')
  const made = [...beginning, ' AND hash IN (', ...between, ')']
  texts.set(`${beginning[0]}${count}`, made)
  return made
}

function fileOf(row: Row): StoredFile {
  return {
    hash: textColumn(row, 'hash'),
    size: integerColumn(row, 'size'),
    contentType: textColumnOrNull(row, 'content_type') ?? undefined,
    blob: blobKey.parse(textColumn(row, 'blob')),
  }
}

function sessionOf(row: Row): Session {
  return {
    id: textColumn(row, 'id'),
    account: accountId.parse(textColumn(row, 'account')),
    worker: workerName.parse(textColumn(row, 'worker')),
    draft: blobKey.parse(textColumn(row, 'draft')),
    expiresAt: integerColumn(row, 'expires_at'),
  }
}
