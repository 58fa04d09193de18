import { parseArgs } from 'node:util'
import { z } from 'zod'
import { readDataDirectory } from '#config'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { parse, table } from './terminal.ts'

export const tokenHelp = `bindery token create [--name NAME] [--account ID] [--permission write|read|admin] [--expires ISO-DATE]
bindery token list
bindery token revoke ID          (each with --data DIR of a running server)`

const tokens = z.array(
  z.object({
    id: z.string(),
    name: z.string(),
    status: z.string(),
    permission: z.string(),
    account_id: z.string().nullable(),
    expires_on: z.string().nullish(),
  }),
)
const created = z.object({ id: z.string(), value: z.string() })

/** `bindery token create | list | revoke`. */
export async function token(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: 'string' },
        name: { type: 'string' },
        account: { type: 'string' },
        permission: { type: 'string' },
        expires: { type: 'string' },
      },
    }),
  )
  const client = await ApiClient.of(readDataDirectory(values.data, process.env))
  const [action, id] = positionals
  if (action === 'create') {
    // The value is shown once: the server keeps no more than its hash.
    const result = await client.call('POST', '/user/tokens', {
      name: values.name ?? 'token',
      permission: values.permission ?? 'write',
      ...(values.permission !== 'admin' && { account_id: values.account ?? client.account }),
      ...(values.expires !== undefined && { expires_on: values.expires }),
    })
    process.stdout.write(`${created.parse(result).value}\n`)
  } else if (action === 'list') {
    const rows = tokens.parse(await client.get('/user/tokens?per_page=1000'))
    process.stdout.write(
      table(
        ['ID', 'NAME', 'STATUS', 'PERMISSION', 'ACCOUNT', 'EXPIRES'],
        rows.map((row) => [
          row.id,
          row.name,
          row.status,
          row.permission,
          row.account_id ?? 'all',
          row.expires_on ?? 'never',
        ]),
      ),
    )
  } else if (action === 'revoke' && id !== undefined) {
    await client.call('DELETE', `/user/tokens/${encodeURIComponent(id)}`)
    process.stdout.write(`${id} is revoked.\n`)
  } else {
    throw new OperatorError(`Usage:\n${tokenHelp}`)
  }
}
