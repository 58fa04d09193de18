import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { pageBytes, recordPages } from './limits.ts'
import { type Commit, type HistoryRecord, RecordBuilder, sumOf } from './record.ts'
import type { PageSums } from './sums.ts'
import { WalFile } from './wal-file.ts'
import { frameBytes, FrameBuffer, isSamePosition, type WalPosition, walHeaderBytes } from './wal.ts'

const framePageOffset = 24

type WalScan = {
  /** Where a WAL that is valid begins. */
  readonly beginning: WalPosition | undefined
  /** Behind its last commit. */
  readonly end: WalPosition | undefined
  /** Pages of the database after that, and which frame has the newest of each page. */
  readonly pages: number | undefined
  readonly frames: ReadonlyMap<number, number>
  /** Whether the position that was asked for is on the way. */
  readonly passes: boolean
  /** Commits behind that position; all, if it is not there. */
  readonly commits: number
}

const noScan: WalScan = {
  beginning: undefined,
  end: undefined,
  pages: undefined,
  frames: new Map(),
  passes: false,
  commits: 0,
}

/** A database as SQLite would read it: its file, and over it what its WAL has. Nobody writes meanwhile. */
export class Snapshot implements AsyncDisposable {
  readonly wal: WalScan
  readonly pages: number
  readonly #file: FileHandle
  readonly #walFile: FileHandle | undefined

  private constructor(
    files: readonly [FileHandle, FileHandle | undefined],
    pages: number,
    wal: WalScan,
  ) {
    this.#file = files[0]
    this.#walFile = files[1]
    this.pages = pages
    this.wal = wal
  }

  /** `undefined` if there is no file, or nothing in it. `passing` is a position to look for in the WAL. */
  static async open(path: string, passing: WalPosition): Promise<Snapshot | undefined> {
    const file = await openOwn(path)
    if (!file) return undefined
    let walFile: FileHandle | undefined
    try {
      const wal = await scanWal(path, passing)
      walFile = wal.frames.size > 0 ? await openOwn(`${path}-wal`) : undefined
      const pages = wal.pages ?? (await pagesOf(file))
      if (pages > 0) return new Snapshot([file, walFile], pages, wal)
    } catch (error) {
      await walFile?.close()
      await file.close()
      throw error
    }
    await file.close()
    return undefined
  }

  /** The file alone. */
  static async openFile(path: string): Promise<Snapshot | undefined> {
    const file = await openOwn(path)
    const pages = file ? await pagesOf(file) : 0
    if (file && pages > 0) return new Snapshot([file, undefined], pages, noScan)
    await file?.close()
    return undefined
  }

  /** All pages in order, in blocks of up to `recordPages`; each is lent until the next is asked for. */
  async *blocks(): AsyncGenerator<{ readonly first: number; readonly bytes: Buffer }> {
    const block = Buffer.allocUnsafeSlow(recordPages * pageBytes)
    for (let first = 1; first <= this.pages; first += recordPages) {
      const count = Math.min(recordPages, this.pages - first + 1)
      const bytes = block.subarray(0, count * pageBytes)
      await readAll(this.#file, bytes, (first - 1) * pageBytes)
      for (let index = 0; index < count; index++) {
        const frame = this.wal.frames.get(first + index)
        if (frame === undefined || !this.#walFile) continue
        const at = walHeaderBytes + frame * frameBytes + framePageOffset
        await readAll(this.#walFile, bytes.subarray(index * pageBytes, (index + 1) * pageBytes), at)
      }
      yield { first, bytes }
    }
  }

  /** All of it, as records of one commit. */
  async *records(commit: Commit): AsyncGenerator<HistoryRecord> {
    const builder = new RecordBuilder()
    for await (const { first, bytes } of this.blocks()) {
      if (builder.count > 0) yield builder.finish('part', commit)
      for (let at = 0; at < bytes.byteLength; at += pageBytes) {
        builder.add(first + at / pageBytes, bytes.subarray(at, at + pageBytes))
      }
    }
    yield builder.finish('commit', commit)
  }

  /** The first page that is in the file alone, and is not as the sums say; all pages, or some. */
  async differs(sums: PageSums, isAsked: (number: number) => boolean): Promise<number | undefined> {
    const page = Buffer.alloc(recordPages * pageBytes)
    for (let first = 1; first <= sums.pages; first += recordPages) {
      const last = Math.min(first + recordPages - 1, sums.pages)
      const numbers = range(first, last).filter(
        (number) => isAsked(number) && sums.get(number) !== 0 && !this.wal.frames.has(number),
      )
      if (numbers.length === 0) continue
      page.fill(0)
      const { bytesRead } = await this.#file.read(
        page,
        0,
        (last - first + 1) * pageBytes,
        (first - 1) * pageBytes,
      )
      for (const number of numbers) {
        const at = (number - first) * pageBytes
        if (at + pageBytes > bytesRead) return number
        if (sumOf(page.subarray(at, at + pageBytes)) !== sums.get(number)) return number
      }
    }
    return undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
    await this.#walFile?.close()
  }
}

function range(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** Opens a file to read, if it is one: what workerd made may be a link that somebody put there. */
async function openOwn(path: string): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  })
}

async function scanWal(path: string, passing: WalPosition): Promise<WalScan> {
  using wal = new WalFile(path)
  const beginning = wal.next({ ...passing, salt1: 0, salt2: 0, frames: 0 })
  const frames = new Map<number, number>()
  if (!beginning) return noScan
  const reader = wal.read(beginning, new FrameBuffer(recordPages))
  let passes = isSamePosition(beginning, passing)
  let commits = 0
  let end: WalPosition | undefined
  let pages: number | undefined
  let uncommitted: [number, number][] = []
  for (let offset = reader.next(); offset !== undefined; offset = reader.next()) {
    const { frames: read } = reader.check
    uncommitted.push([reader.buffer.numberAt(offset), read - 1])
    const isThere = read === passing.frames && isSamePosition(reader.check.position(), passing)
    passes ||= isThere
    const committed = reader.buffer.pagesAt(offset)
    if (committed > 0) {
      commits = isThere ? 0 : commits + 1
      for (const [number, frame] of uncommitted) frames.set(number, frame)
      uncommitted = []
      end = reader.check.position()
      pages = committed
    }
    if (read % recordPages === 0) await setImmediate()
  }
  return { beginning, end, pages, frames, passes, commits }
}

/** As SQLite: what the header says, if the last who wrote it knew that field, else what there is. */
async function pagesOf(file: FileHandle): Promise<number> {
  const header = Buffer.alloc(100)
  await file.read(header, 0, 100, 0)
  const { size } = await file.stat()
  const isCurrent = header.readUInt32BE(24) === header.readUInt32BE(92)
  const pages = isCurrent ? header.readUInt32BE(28) : 0
  return pages || Math.floor(size / pageBytes)
}

/** Fills `bytes`; with zeros where the file ends before. */
async function readAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let at = 0
  while (at < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, at, bytes.byteLength - at, position + at)
    if (bytesRead === 0) {
      bytes.fill(0, at)
      return
    }
    at += bytesRead
  }
}
