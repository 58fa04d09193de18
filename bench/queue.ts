import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { queue as binding } from '#bindings/queues/binding.ts'
import { type MessageStore, openMessages } from '#bindings/queues/message-store.ts'
import type { QueueId } from '#bindings/queues/schema.ts'
import { openStore } from '#bindings/queues/store.ts'
import { accountId } from '#contract/ids.ts'
import { type Sql, sql } from '#contract/ports/sql.ts'
import { openPorts } from '#test/ports.ts'

// What a message costs the store of queues, with few messages waiting in the queue and with many, and
// how large the file is that they leave: `npm run bench -- queue --rows 10000000`.

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000,10000000' },
    messages: { type: 'string', default: '20000' },
  },
})
const messages = Number(values.messages)
const atOnce = 32
const batch = 100
const body = new Uint8Array(300).fill(120)

const folder = await mkdtemp(join(tmpdir(), 'bindery-bench-'))
try {
  for (const rows of values.rows.split(',')) await measure(Number(rows))
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function measure(rows: number): Promise<void> {
  const path = join(folder, String(rows))
  const migrations = binding.migrations ?? new URL('.', import.meta.url)
  await using ports = await openPorts({ path, migrations })
  const store = await openStore(ports)
  const settings = { deliveryDelay: 0, isPaused: false, retention: 345_600 }
  const queue = await store.create(accountId.parse('a'.repeat(32)), 'bench', settings)
  const [line = 0] = queue.lines
  await fill(ports.sql, { line, rows })
  const all = await openMessages(ports)
  print(`${rows} messages wait, ${await sizeOf(path)} MB\n`)
  for (const [title, run] of works(all, { queue: queue.id, line })) {
    const before = performance.now()
    await run()
    const us = ((performance.now() - before) * 1000) / messages
    print(`  ${title.padEnd(44)} ${us.toFixed(1).padStart(7)} µs a message\n`)
  }
  print(`  the file has ${await sizeOf(path)} MB after ${2 * messages} were delivered\n`)
}

type Place = { readonly queue: QueueId; readonly line: number }

function works(
  all: MessageStore,
  { queue, line }: Place,
): readonly (readonly [string, () => Promise<void>])[] {
  const send = async (count: number): Promise<void> => {
    const now = Date.now()
    const drafts = Array.from({ length: count }, () => {
      return { format: 'text', body, visibleAt: now } as const
    })
    await all.send(queue, drafts, { now, source: 'worker' })
  }
  const take = async (count: number): Promise<void> => {
    const now = Date.now()
    const leased = await all.lease(line, { count, bytes: 256_000, now, until: now + 960_000 })
    if (!leased) throw new Error('nothing to lease')
    const settlements = leased.messages.map(({ seq }) => {
      return { seq, verdict: { type: 'done' } } as const
    })
    await all.settle(settlements, { line, lease: leased.lease, now, grave: 'nowhere' })
  }
  return [
    ['sent one by one, 32 at a time', () => repeat(messages, () => send(1))],
    [`sent ${batch} by ${batch}, 32 at a time`, () => repeat(messages / batch, () => send(batch))],
    ['leased and acknowledged one by one', () => repeat(messages, () => take(1))],
    [
      `leased and acknowledged ${batch} by ${batch}`,
      () => repeat(messages / batch, () => take(batch)),
    ],
  ]
}

/** Messages as `send` leaves them, a million at a time. */
async function fill(database: Sql, { line, rows }: { line: number; rows: number }): Promise<void> {
  const step = 1_000_000
  for (let from = 0; from < rows; from += step) {
    const count = Math.min(step, rows - from)
    const now = Date.now()
    await database.write([
      sql`INSERT INTO message (seq, id, sent_at, format, source, body)
          WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
          SELECT ${from} + i, lower(hex(randomblob(16))), ${now}, 'text', 'worker', ${body} FROM n`,
      sql`INSERT INTO delivery (line, seq, entered_at, visible_at, attempts, size)
          SELECT ${line}, seq, sent_at, sent_at, 0, length(body) FROM message WHERE seq > ${from}`,
    ])
  }
}

async function repeat(count: number, run: () => Promise<void>): Promise<void> {
  let left = count
  const worker = async (): Promise<void> => {
    while (left-- > 0) await run()
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** Megabytes of the database, with what is still in its log. */
async function sizeOf(path: string): Promise<number> {
  const sizes = ['main.db', 'main.db-wal'].map(async (name) => (await stat(join(path, name))).size)
  return Math.round((await Promise.all(sizes)).reduce((sum, size) => sum + size, 0) / 1e6)
}

function print(text: string): void {
  process.stdout.write(text)
}
