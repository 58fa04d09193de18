import { readFile, rename, writeFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import {
  type Commit,
  decodeRecord,
  headBytes,
  type HistoryRecord,
  numberAt,
  RecordBuilder,
  sumAt,
} from './record.ts'

/**
 * A checksum for each page of the newest state, by which a file is compared with its history without
 * reading it. 0 where nothing is known: SQLite does not write a page that a commit makes and frees,
 * so what such a page holds is nobody's concern, and differs.
 */
export class PageSums {
  #sums: Uint32Array<ArrayBuffer>
  #pages: number
  /** Numbers and sums of parts whose commit is still to come. */
  #waiting: number[] = []

  constructor(sums = new Uint32Array(), pages = sums.length) {
    this.#sums = sums
    this.#pages = pages
  }

  get pages(): number {
    return this.#pages
  }

  get(number: number): number {
    return this.#sums[number - 1] ?? 0
  }

  /** Takes in a record; parts count once their commit comes. */
  apply(record: HistoryRecord): void {
    if (record.kind === 'part') {
      for (let index = 0; index < record.count; index++) {
        this.#waiting.push(numberAt(record, index), sumAt(record, index))
      }
      return
    }
    for (let at = 0; at < this.#waiting.length; at += 2) {
      this.#set(this.#waiting[at] ?? 0, this.#waiting[at + 1] ?? 0)
    }
    this.dropParts()
    for (let index = 0; index < record.count; index++) {
      this.#set(numberAt(record, index), sumAt(record, index))
    }
    this.#resize(record.commit.pages)
  }

  /** Forgets parts whose commit did not come. */
  dropParts(): void {
    if (this.#waiting.length > 0) this.#waiting = []
  }

  #set(number: number, sum: number): void {
    if (number > this.#sums.length) this.#grow(number)
    if (number > this.#pages) this.#pages = number
    this.#sums[number - 1] = sum
  }

  /** What is beyond is forgotten. */
  #resize(pages: number): void {
    if (pages < this.#pages) this.#sums.fill(0, pages)
    if (pages > this.#sums.length) this.#grow(pages)
    this.#pages = pages
  }

  clone(): PageSums {
    return new PageSums(this.copy())
  }

  copy(): Uint32Array<ArrayBuffer> {
    return this.#sums.slice(0, this.#pages)
  }

  #grow(pages: number): void {
    const larger = new Uint32Array(Math.max(pages, this.#sums.length * 2, 16))
    larger.set(this.#sums.subarray(0, this.#pages))
    this.#sums = larger
  }
}

export type SumsOf = { readonly commit: Commit; readonly sums: PageSums }

/** Stores sums. Not synced: what is torn is noticed, and made anew from the history. */
export async function writeSums(path: string, commit: Commit, sums: Uint32Array): Promise<void> {
  const head = new RecordBuilder(0).finish('start', commit).bytes
  const body = Buffer.from(sums.buffer, sums.byteOffset, sums.byteLength)
  const check = Buffer.alloc(4)
  check.writeUInt32LE(crc32(body, crc32(head)))
  await writeFile(`${path}.new`, [head, body, check])
  await rename(`${path}.new`, path)
}

/** What was stored last, or `undefined` if there is none that is whole. */
export async function readSums(path: string): Promise<SumsOf | undefined> {
  const bytes = await readFile(path).catch(() => undefined)
  if (!bytes || bytes.byteLength < headBytes + 4) return undefined
  const end = bytes.byteLength - 4
  if (crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) return undefined
  const record = decodeRecord(bytes, 0)
  if (record?.commit.pages !== (end - headBytes) / 4) return undefined
  const sums = new Uint32Array(record.commit.pages)
  Buffer.from(sums.buffer).set(bytes.subarray(headBytes, end))
  return { commit: record.commit, sums: new PageSums(sums) }
}
