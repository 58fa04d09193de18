import { HistoryError } from '#contract/ports/history.ts'

export type Bookmark = {
  readonly generation: number
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly time: number
  readonly database: string
}

export function formatBookmark({ generation, sequence, time, database }: Bookmark): string {
  return `${hex(generation)}-${hex(sequence)}-${hex(Math.floor(time / 1000))}-${database}`
}

/** Throws a `HistoryError` if it is none. */
export function parseBookmark(text: string): Bookmark {
  const [, generation, sequence, second, database] =
    /^([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{32})$/.exec(text) ?? []
  if (!generation || !sequence || !second || !database) {
    throw new HistoryError('unknown-bookmark', 'this is not a bookmark')
  }
  return {
    generation: Number.parseInt(generation, 16),
    sequence: Number.parseInt(sequence, 16),
    time: Number.parseInt(second, 16) * 1000,
    database,
  }
}

export function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
