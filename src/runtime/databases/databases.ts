import { readFileSync } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { messageOf } from '#contract/errors.ts'
import type { AccountId } from '#contract/ids.ts'
import {
  DatabaseError,
  type DatabaseCellStatus,
  type DatabaseFile,
  type DatabaseFiles,
  type DatabaseReply,
  type Databases,
} from '#contract/ports/databases.ts'
import { Watchdog } from '#runtime/watchdog.ts'
import { AccountCells } from './account.ts'
import { OpenFile } from './file.ts'
import type { DatabaseContext, DatabaseLimits, DatabaseOptions } from './host-options.ts'
import * as limits from './limits.ts'
import { folderOf, giveToOwner, objectIdOf } from './paths.ts'

/** Databases in cells of their own. Owned by `main.ts`, which closes it after those who call it. */
export function openDatabases(options: DatabaseOptions): Databases & AsyncDisposable {
  return new Products(options)
}

class Products implements Databases, AsyncDisposable {
  readonly #options: DatabaseOptions
  readonly #closing = new AbortController()
  readonly #closed = abortOf(this.#closing.signal)
  readonly #products: Product[] = []
  readonly #watchdog = new Watchdog()
  #tidying: Disposable | undefined
  #tidied: Promise<void> = Promise.resolve()

  constructor(options: DatabaseOptions) {
    this.#options = options
    this.#closed.catch(() => undefined)
    this.#tidyLater()
  }

  open({ name, engine }: { readonly name: string; readonly engine: URL }): DatabaseFiles {
    const product = new Product({
      ...this.#options,
      limits: { ...usualLimits, ...this.#options.limits },
      product: name,
      engine: stripTypeScriptTypes(readFileSync(engine, 'utf8'), { mode: 'strip' }),
      watchdog: this.#watchdog,
      closing: this.#closing.signal,
      // A server that does not come up never says.
      jail: () => Promise.race([this.#options.jail(), this.#closed]),
    })
    this.#products.push(product)
    return product
  }

  status(account: AccountId): readonly DatabaseCellStatus[] {
    return this.#products.flatMap((product) => product.status(account))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const product of this.#products) product.refuse()
    this.#tidying?.[Symbol.dispose]()
    const idle = Promise.all(this.#products.map((product) => product.idle()))
    const late = AbortSignal.timeout(limits.finishMs)
    await Promise.race([idle, aborted(late)])
    this.#closing.abort()
    await Promise.all(this.#products.map((product) => product.stop()))
    await this.#tidied
  }

  /** Has histories end when they are old, now and then. */
  #tidyLater(): void {
    const { clock, history, log } = this.#options
    this.#tidying = clock.after(limits.tidyMs, () => {
      const tidyAll = async (): Promise<void> => {
        while (!this.#closing.signal.aborted && (await history.tidy()));
      }
      this.#tidied = tidyAll()
        .catch((error: unknown) =>
          log.error('histories are not tidied', { error: messageOf(error) }),
        )
        .finally(() => {
          if (!this.#closing.signal.aborted) this.#tidyLater()
        })
    })
  }
}

const usualLimits: DatabaseLimits = {
  callMs: limits.callMs,
  crowdedMs: limits.crowdedMs,
  queueMs: limits.queueMs,
  queuedCalls: limits.queuedCalls,
  processBytes: limits.processBytes,
  openFiles: limits.openFiles,
  fileBytes: limits.fileBytes,
}

class Product implements DatabaseFiles {
  readonly #context: DatabaseContext
  readonly #accounts = new Map<AccountId, AccountCells>()
  readonly #files = new Map<string, OpenFile>()
  #isRefusing = false

  constructor(context: DatabaseContext) {
    this.#context = context
  }

  async call(file: DatabaseFile, call: Uint8Array): Promise<DatabaseReply> {
    return this.#open(file).call(call)
  }

  async stream(file: DatabaseFile, source: AsyncIterable<Uint8Array>): Promise<DatabaseReply> {
    return this.#open(file).stream(source)
  }

  async bookmark(file: DatabaseFile): Promise<string> {
    return this.#open(file).bookmark()
  }

  bookmarkAt(file: DatabaseFile, time: number): Promise<string> {
    return this.#context.history.bookmarkAt(file, time)
  }

  async restore(bookmark: string, to: DatabaseFile): Promise<void> {
    const folder = this.#folderOf(to)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = this.#pathOf(to)
    await this.#context.history.restore(to, bookmark, { generation: to.generation, path })
    await giveToOwner(folder, path)
  }

  async verify(file: DatabaseFile): Promise<string | undefined> {
    return this.#open(file).verify()
  }

  async sizeOf(file: DatabaseFile): Promise<{ fileBytes: number; historyBytes: number }> {
    const { size } = await stat(this.#pathOf(file)).catch(() => ({ size: 0 }))
    return { fileBytes: size, historyBytes: await this.#context.history.sizeOf(file) }
  }

  async delete(file: DatabaseFile, what: 'file' | 'copy' | 'all'): Promise<void> {
    const key = keyOf(file)
    const open = this.#files.get(key)
    this.#files.delete(key)
    await open?.close()
    await this.#remove(this.#pathOf(file))
    if (what === 'all') await this.#context.history.delete(file)
    if (what === 'copy') await this.#context.history.forget(file)
  }

  async sweep(known: readonly DatabaseFile[]): Promise<void> {
    const { history, path, product } = this.#context
    const current = new Map(known.map(({ database, generation }) => [database, generation]))
    for (const kept of await history.list()) {
      const generation = current.get(kept.database)
      if (generation === undefined) await history.delete(kept)
      else if (kept.generation > generation) await history.forget(kept)
    }
    const names = new Set(known.map((file) => objectIdOf(product, file)))
    for (const account of await readdir(path).catch(() => [])) {
      const folder = join(path, account, product)
      for (const name of await readdir(folder).catch(() => [])) {
        const [, id, end = ''] = /^([0-9a-f]{64})\.sqlite(.*)$/.exec(name) ?? []
        if (id === undefined) continue
        if (!names.has(id)) await this.#remove(join(folder, `${id}.sqlite`))
        // What was on its way to be a file.
        if (!ends.includes(end)) await rm(join(folder, name), { force: true })
      }
    }
  }

  status(account: AccountId): readonly DatabaseCellStatus[] {
    return this.#accounts.get(account)?.status() ?? []
  }

  /** From now on nothing more is called. */
  refuse(): void {
    this.#isRefusing = true
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    await Promise.all([...this.#files.values()].map((file) => file.idle()))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#accounts.values()].map((cells) => cells.stop()))
  }

  #open(file: DatabaseFile): OpenFile {
    if (this.#isRefusing) throw new DatabaseError('unavailable', true)
    const key = keyOf(file)
    const known = this.#files.get(key)
    if (known) return known
    const cells = this.#accounts.get(file.account) ?? new AccountCells(this.#context, file.account)
    this.#accounts.set(file.account, cells)
    const object = objectIdOf(this.#context.product, file)
    const made = new OpenFile(this.#context, cells, { ...file, object })
    this.#files.set(key, made)
    return made
  }

  #folderOf({ account }: DatabaseFile): string {
    return folderOf(this.#context.path, account, this.#context.product)
  }

  #pathOf(file: DatabaseFile): string {
    return join(this.#folderOf(file), `${objectIdOf(this.#context.product, file)}.sqlite`)
  }

  async #remove(path: string): Promise<void> {
    // The log goes first: without its database it is nothing, and the other way round it is old.
    for (const end of ends) await rm(`${path}${end}`, { force: true })
  }
}

/** Of the names of a file of SQLite's. */
const ends: readonly string[] = ['-shm', '-wal', '']

function keyOf({ database, generation }: DatabaseFile): string {
  return `${database}/${generation}`
}

/** Rejects when a signal is aborted. */
async function abortOf(signal: AbortSignal): Promise<never> {
  await aborted(signal)
  throw new Error('the server stops')
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
