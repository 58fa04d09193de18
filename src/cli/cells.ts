import { parseArgs } from 'node:util'
import { z } from 'zod'
import { ApiClient } from './api-client.ts'
import { bytesText, parse, table } from './terminal.ts'

export const cellsHelp = `bindery cells [--account ID]     how the processes of Workers and databases are`

const cellRow = z.object({
  workers: z.array(z.string()),
  databases: z.object({ product: z.string(), open: z.number() }).nullable(),
  preview: z.boolean(),
  state: z.string(),
  memory_bytes: z.number().nullable(),
  cpu_ms: z.number().nullable(),
  deaths: z.number(),
  last_death: z.object({ died_on: z.string(), reason: z.string(), detail: z.string() }).nullable(),
  next_start_on: z.string().nullable(),
})
type CellRow = z.output<typeof cellRow>

/** `bindery cells`. */
export async function cells(args: readonly string[]): Promise<void> {
  const options = { data: { type: 'string' }, account: { type: 'string' } } as const
  const { values } = parse(() => parseArgs({ args: [...args], options }))
  const { client, path } = await ApiClient.ofAccount(values, process.env)
  const rows = z.array(cellRow).parse(await client.get(`${path}/cells`))
  process.stdout.write(
    table(
      ['CONTENT', 'STATE', 'MEMORY', 'CPU', 'DEATHS', 'LAST DEATH'],
      rows.map((row) => [
        contentOf(row),
        row.next_start_on === null ? row.state : `${row.state} until ${row.next_start_on}`,
        row.memory_bytes === null ? '' : bytesText(row.memory_bytes),
        row.cpu_ms === null ? '' : `${(row.cpu_ms / 1_000).toFixed(1)} s`,
        String(row.deaths),
        lastDeathOf(row),
      ]),
    ),
  )
}

function contentOf({ workers, databases, preview }: CellRow): string {
  if (databases) {
    const { product, open } = databases
    return `${open} ${open === 1 ? 'database' : 'databases'} (${product})`
  }
  return `${workers.join(', ')}${preview ? ' (preview)' : ''}`
}

/** The first line is enough here: a stack is in the API. */
function lastDeathOf({ last_death: death }: CellRow): string {
  if (!death) return ''
  return `${death.died_on} ${death.reason}: ${death.detail.split('\n')[0]?.slice(0, 100)}`
}
