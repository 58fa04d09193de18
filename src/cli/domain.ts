import { parseArgs } from 'node:util'
import { z } from 'zod'
import { readDataDirectory } from '#config'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { parse, table } from './terminal.ts'

export const domainHelp = `bindery domain add NAME [--account ID]
bindery domain list
bindery domain remove NAME       (each with --data DIR of a running server)`

const zoneRow = z.object({
  id: z.string(),
  name: z.string(),
  account: z.object({ id: z.string(), name: z.string() }),
})

/** `bindery domain add | list | remove`: the hosts that accounts may route to their Workers. */
export async function domain(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { data: { type: 'string' }, account: { type: 'string' } },
    }),
  )
  const client = await ApiClient.of(readDataDirectory(values.data, process.env))
  const [action, name] = positionals
  if (action === 'add' && name !== undefined) {
    const account = { id: values.account ?? client.account }
    const zone = zoneRow.parse(await client.call('POST', '/zones', { name, account }))
    process.stdout.write(
      `${zone.id}\nWorkers of the account "${zone.account.name}" may have routes and custom domains at ${zone.name} and below it, once its DNS leads here.\n`,
    )
  } else if (action === 'list') {
    const rows = await zones(client, '?per_page=1000')
    process.stdout.write(
      table(
        ['NAME', 'ACCOUNT', 'ACCOUNT ID', 'ID'],
        rows.map((row) => [row.name, row.account.name, row.account.id, row.id]),
      ),
    )
  } else if (action === 'remove' && name !== undefined) {
    const [zone] = await zones(client, `?name=${encodeURIComponent(name)}`)
    if (!zone) throw new OperatorError(`There is no domain ${name}. Try: bindery domain list`)
    const routes = await client.get(`/zones/${zone.id}/workers/routes`)
    await client.call('DELETE', `/zones/${zone.id}`)
    const count = Array.isArray(routes) ? routes.length : 0
    process.stdout.write(`${zone.name} is removed, with ${count} routes and its custom domains.\n`)
  } else {
    throw new OperatorError(`Usage:\n${domainHelp}`)
  }
}

async function zones(client: ApiClient, query: string): Promise<z.output<typeof zoneRow>[]> {
  return z.array(zoneRow).parse(await client.get(`/zones${query}`))
}
