import { parseArgs } from 'node:util'
import { z } from 'zod'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { parse, table } from './terminal.ts'

export const schedulesHelp = `bindery cron events WORKER      what its cron triggers did lately
bindery cron run WORKER [--cron "* * * * *"]       calls its scheduled handler now  (each with --data DIR, --account ID)`

const tickRow = z.object({
  cron: z.string(),
  scheduled_time: z.string(),
  started_on: z.string(),
  ended_on: z.string().nullable(),
  outcome: z.string().nullable(),
  detail: z.string().nullable(),
  attempts: z.number().nullable(),
})
const ranRow = z.object({ cron: z.string(), outcome: z.string() })

/** `bindery cron events | run`. */
export async function schedules(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: 'string' },
        account: { type: 'string' },
        cron: { type: 'string' },
      },
    }),
  )
  const [action, worker, ...more] = positionals
  if (worker === undefined || more.length > 0) throw new OperatorError(`Usage:\n${schedulesHelp}`)
  const { client, path } = await ApiClient.ofAccount(values, process.env)
  const at = `${path}/workers/scripts/${encodeURIComponent(worker)}/schedules`
  if (action === 'events') return listEvents(client, at)
  if (action === 'run') return run(client, at, values.cron)
  throw new OperatorError(`Usage:\n${schedulesHelp}`)
}

async function listEvents(client: ApiClient, at: string): Promise<void> {
  const rows = z.array(tickRow).parse(await client.get(`${at}/events`))
  const cells = rows.map((row) => [
    row.scheduled_time,
    row.cron,
    `${row.outcome ?? 'runs'}${row.detail ? ` (${row.detail})` : ''}`,
    String(row.attempts ?? ''),
    row.ended_on === null ? '' : `${Date.parse(row.ended_on) - Date.parse(row.started_on)} ms`,
  ])
  process.stdout.write(table(['TIME', 'CRON', 'OUTCOME', 'ATTEMPTS', 'TOOK'], cells))
}

async function run(client: ApiClient, at: string, cron: string | undefined): Promise<void> {
  const body = cron === undefined ? {} : { cron }
  const { cron: ran, outcome } = ranRow.parse(await client.call('POST', `${at}/run`, body))
  process.stdout.write(`${ran}: ${outcome}\n`)
  if (outcome !== 'ok') process.exitCode = 1
}
