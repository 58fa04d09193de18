import { crc32 } from 'node:zlib'
import { pageBytes, recordPages } from './limits.ts'
import type { WalPosition } from './wal.ts'

// What a history is made of. A record is a head, pages, and a table of their numbers and checksums:
// each byte of it is under a checksum. A commit is a `commit` record, with `part` records before it if
// it has more pages than one may hold; of a page that is there twice, the later counts. `start` is
// the first of a journal: the commit before it, without pages.

export const headBytes = 64
const tableEntryBytes = 8
const magic = 0x31524842
const kinds = ['start', 'part', 'commit'] as const

/** A commit, and where the WAL was after it. */
export type Commit = {
  readonly sequence: number
  /** Milliseconds since 1970, never less than of the commit before. */
  readonly time: number
  /** The size of the database. */
  readonly pages: number
  readonly wal: WalPosition
}

export type RecordKind = (typeof kinds)[number]

export type HistoryRecord = {
  readonly kind: RecordKind
  readonly commit: Commit
  readonly count: number
  /** All of it, as it is stored. Lent: what gave it may overwrite it. */
  readonly bytes: Buffer
}

export function numberAt({ bytes, count }: HistoryRecord, index: number): number {
  return bytes.readUInt32LE(tableOffset(count) + index * tableEntryBytes)
}

export function sumAt({ bytes, count }: HistoryRecord, index: number): number {
  return bytes.readUInt32LE(tableOffset(count) + index * tableEntryBytes + 4)
}

export function pageAt({ bytes }: HistoryRecord, index: number): Buffer {
  const from = headBytes + index * pageBytes
  return bytes.subarray(from, from + pageBytes)
}

/** The checksum of a page. 0 stands for a page of which nothing is known. */
export function sumOf(page: Uint8Array): number {
  return crc32(page) || 1
}

/** The record at an offset; `undefined` if it is not all there, or damaged. */
export function decodeRecord(bytes: Buffer, offset: number): HistoryRecord | undefined {
  const length = recordLength(bytes, offset)
  if (length === undefined || offset + length > bytes.byteLength) return undefined
  const own = bytes.subarray(offset, offset + length)
  const kind = kinds[own.readUInt32LE(4)]
  const count = own.readUInt32LE(24)
  if (!kind || crc32(own.subarray(tableOffset(count))) !== own.readUInt32LE(52)) return undefined
  const record: HistoryRecord = { kind, commit: commitOf(own), count, bytes: own }
  for (let index = 0; index < count; index++) {
    if (sumOf(pageAt(record, index)) !== sumAt(record, index)) return undefined
  }
  return record
}

/** How long the record at an offset is; `undefined` if its head is not all there, or damaged. */
export function recordLength(bytes: Buffer, offset: number): number | undefined {
  if (offset + headBytes > bytes.byteLength || bytes.readUInt32LE(offset) !== magic) {
    return undefined
  }
  const count = bytes.readUInt32LE(offset + 24)
  const sum = crc32(bytes.subarray(offset, offset + headBytes - 4))
  if (count > recordPages || sum !== bytes.readUInt32LE(offset + headBytes - 4)) return undefined
  return lengthOf(count)
}

/** Where the first whole head is, from an offset on. */
export function headIn(bytes: Buffer, offset: number): number | undefined {
  const sign = Buffer.alloc(4)
  sign.writeUInt32LE(magic)
  for (let at = bytes.indexOf(sign, offset); at >= 0; at = bytes.indexOf(sign, at + 1)) {
    if (recordLength(bytes, at) !== undefined) return at
  }
  return undefined
}

/** The commit that a record's head is of, if the head is whole; `undefined` for parts of one too. */
export function commitNamed(bytes: Buffer, offset: number): number | undefined {
  if (recordLength(bytes, offset) === undefined) return undefined
  return kinds[bytes.readUInt32LE(offset + 4)] === 'commit'
    ? bytes.readUInt32LE(offset + 8)
    : undefined
}

/** The largest a record may be. */
export const longestRecord = lengthOf(recordPages)

/** Puts a record together, in memory that it has for good. */
export class RecordBuilder {
  readonly #capacity: number
  readonly #bytes: Buffer
  readonly #table: Buffer
  readonly #indexes = new Map<number, number>()

  constructor(capacity = recordPages) {
    this.#capacity = capacity
    this.#bytes = Buffer.allocUnsafeSlow(lengthOf(capacity))
    this.#table = Buffer.allocUnsafeSlow(capacity * tableEntryBytes)
  }

  get count(): number {
    return this.#indexes.size
  }

  hasRoomFor(number: number): boolean {
    return this.#indexes.size < this.#capacity || this.#indexes.has(number)
  }

  clear(): void {
    this.#indexes.clear()
  }

  /** Adds a page, or replaces it. There must be room. */
  add(number: number, page: Uint8Array): void {
    const index = this.#indexes.get(number) ?? this.#indexes.size
    this.#indexes.set(number, index)
    this.#bytes.set(page, headBytes + index * pageBytes)
    this.#table.writeUInt32LE(number, index * tableEntryBytes)
    this.#table.writeUInt32LE(sumOf(page), index * tableEntryBytes + 4)
  }

  /** The record; its memory is used again by the next. */
  finish(kind: RecordKind, commit: Commit): HistoryRecord {
    const count = this.#indexes.size
    const table = this.#table.subarray(0, count * tableEntryBytes)
    const bytes = this.#bytes.subarray(0, lengthOf(count))
    bytes.set(table, tableOffset(count))
    writeHead(bytes, { kind, commit, count, tableSum: crc32(table) })
    this.#indexes.clear()
    return { kind, commit, count, bytes }
  }
}

type Head = {
  readonly kind: RecordKind
  readonly commit: Commit
  readonly count: number
  readonly tableSum: number
}

function writeHead(bytes: Buffer, { kind, commit, count, tableSum }: Head): void {
  const { sequence, pages, time, wal } = commit
  bytes.writeUInt32LE(magic, 0)
  bytes.writeUInt32LE(kinds.indexOf(kind), 4)
  bytes.writeUInt32LE(sequence, 8)
  bytes.writeUInt32LE(pages, 12)
  bytes.writeDoubleLE(time, 16)
  bytes.writeUInt32LE(count, 24)
  bytes.writeUInt32LE(wal.salt1, 28)
  bytes.writeUInt32LE(wal.salt2, 32)
  bytes.writeUInt32LE(wal.frames, 36)
  bytes.writeUInt32LE(wal.sum1, 40)
  bytes.writeUInt32LE(wal.sum2, 44)
  bytes.writeUInt32LE(0, 48)
  bytes.writeUInt32LE(tableSum, 52)
  bytes.writeUInt32LE(0, 56)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, headBytes - 4)), headBytes - 4)
}

function commitOf(bytes: Buffer): Commit {
  return {
    sequence: bytes.readUInt32LE(8),
    pages: bytes.readUInt32LE(12),
    time: bytes.readDoubleLE(16),
    wal: {
      salt1: bytes.readUInt32LE(28),
      salt2: bytes.readUInt32LE(32),
      frames: bytes.readUInt32LE(36),
      sum1: bytes.readUInt32LE(40),
      sum2: bytes.readUInt32LE(44),
    },
  }
}

function tableOffset(count: number): number {
  return headBytes + count * pageBytes
}

function lengthOf(count: number): number {
  return headBytes + count * (pageBytes + tableEntryBytes)
}
