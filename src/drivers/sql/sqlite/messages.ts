import type { SqlValue } from '#contract/ports/sql.ts'

// What the driver and its writer thread say to each other.

/** One statement: the id of its text, its values, and how many rows it must change. */
export type StatementMessage = readonly [
  textId: number,
  values: readonly SqlValue[],
  expect?: number,
]

export type GroupMessage = {
  /** Texts that the thread has not seen yet, by id. */
  readonly texts: readonly (readonly [id: number, text: string])[]
  /** One entry for each `write`. */
  readonly writes: readonly (readonly StatementMessage[])[]
}

export type RowMessage = Record<string, string | number | null | Uint8Array>

export type WriteMessage =
  | { readonly ok: true; readonly results: readonly { changes: number; rows: RowMessage[] }[] }
  | { readonly ok: false; readonly type: 'expectation'; readonly index: number }
  | { readonly ok: false; readonly type: 'constraint' | 'engine'; readonly message: string }

export type ReplyMessage = readonly WriteMessage[]
