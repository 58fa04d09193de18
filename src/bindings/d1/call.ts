import { Buffer } from 'node:buffer'
import { z } from 'zod'
import { joinBytes } from '#contract/gather.ts'

// What is said to the engine, and what it answers. A call is a byte that says its form, then JSON as
// workerd's client sent it. A reply is the very body that this client wants: on the way to it nothing
// reads or copies it.

/** `q`: results as columns and rows; `e`: as objects. */
export type Form = 'q' | 'e'

const codes: Readonly<Record<Form | 'i', number>> = { q: 0x71, e: 0x65, i: 0x69 }

/** A call of JSON that came in pieces of `size` bytes together. */
export function callOfBytes(form: Form, pieces: readonly Uint8Array[], size: number): Uint8Array {
  return joinBytes([Uint8Array.of(codes[form]), ...pieces], size + 1)
}

/** One statement, or several as one transaction. */
export type CallStatement = { readonly sql: string; readonly params?: readonly unknown[] }

export function callOf(form: Form, told: CallStatement | readonly CallStatement[]): Uint8Array {
  const json = Buffer.from(JSON.stringify(told))
  return callOfBytes(form, [json], json.byteLength)
}

/** What `DatabaseFiles.stream` sends to import a file. */
export async function* importOf(sql: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(codes.i)
  yield* sql
}

/** Whether a call was refused: an error is one object, results are a list. */
export function isRefused(reply: Uint8Array): boolean {
  return reply[0] === 0x7b
}

const refusal = z.object({ success: z.literal(false), error: z.string() })

/** The words of a refused call. */
export function refusalOf(reply: Uint8Array): string {
  return refusal.parse(jsonOf(reply)).error
}

export const callMeta = z.looseObject({
  duration: z.number(),
  changes: z.number(),
  size_after: z.number(),
  rows_read: z.number(),
  rows_written: z.number(),
  changed_db: z.boolean(),
})
export type CallMeta = z.output<typeof callMeta>

const cell = z.union([z.string(), z.number(), z.null(), z.array(z.number())])
const rowsReply = z.array(
  z.object({
    results: z.object({ columns: z.array(z.string()), rows: z.array(z.array(cell)) }),
    meta: callMeta,
  }),
)
export type Cell = z.output<typeof cell>

export type Result = { readonly rows: readonly (readonly Cell[])[]; readonly meta: CallMeta }

/** What a call in the form `q` gave, by statement. */
export function resultsOf(reply: Uint8Array): readonly Result[] {
  return rowsReply.parse(jsonOf(reply)).map(({ results, meta }) => ({ rows: results.rows, meta }))
}

const importReply = z.union([
  z.object({ success: z.literal(true), count: z.number(), meta: callMeta }),
  refusal,
])
export type ImportReply = z.output<typeof importReply>

export function importReplyOf(reply: Uint8Array): ImportReply {
  return importReply.parse(jsonOf(reply))
}

/** What `meta` of each statement says. */
export const metaReply = z.array(z.object({ results: z.unknown(), meta: callMeta }))

/** A reply that says how often the call was tried. */
export function withAttempts(reply: Uint8Array, attempts: number): Uint8Array {
  const once = Buffer.from('"total_attempts":1')
  const told = Buffer.from(`"total_attempts":${attempts}`)
  const copy = Buffer.from(reply)
  // Digits for digits, from the end: in `meta` it is, and a text of a user's has its quotes escaped.
  for (
    let at = copy.lastIndexOf(once);
    at >= 0;
    at = at > 0 ? copy.lastIndexOf(once, at - 1) : -1
  ) {
    told.copy(copy, at)
  }
  return copy
}

function jsonOf(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes))
}
