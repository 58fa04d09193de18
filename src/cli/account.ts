import { parseArgs } from 'node:util'
import { z } from 'zod'
import { readDataDirectory } from '#config'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { parse, table } from './terminal.ts'

export const accountHelp = `bindery account create NAME
bindery account list             (each with --data DIR of a running server)`

const accountRow = z.object({ id: z.string(), name: z.string(), subdomain: z.string() })

/** `bindery account create | list`. */
export async function account(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(() =>
    parseArgs({ args: [...args], allowPositionals: true, options: { data: { type: 'string' } } }),
  )
  const client = await ApiClient.of(readDataDirectory(values.data, process.env))
  const [action, name] = positionals
  if (action === 'create' && name !== undefined) {
    const made = accountRow.parse(await client.call('POST', '/accounts', { name }))
    process.stdout.write(
      `${made.id}\nIts Workers answer below the subdomain "${made.subdomain}". Make a token for it with:\n  bindery token create --account ${made.id}\n`,
    )
  } else if (action === 'list') {
    const rows = z.array(accountRow).parse(await client.get('/accounts?per_page=1000'))
    process.stdout.write(
      table(
        ['ID', 'NAME', 'SUBDOMAIN'],
        rows.map((row) => [row.id, row.name, row.subdomain]),
      ),
    )
  } else {
    throw new OperatorError(`Usage:\n${accountHelp}`)
  }
}
