import { parseArgs } from 'node:util'
import { z } from 'zod'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { parse, table } from './terminal.ts'

export const s3KeyHelp = `bindery s3-key create [--name NAME] [--permission admin-read-write|admin-read-only|object-read-write|object-read-only]
                      [--bucket NAME]...             for S3 clients, whose endpoint is the address of the API
bindery s3-key list | delete ID  (each with --data DIR, --account ID)`

const keys = z.array(
  z.object({
    access_key_id: z.string(),
    name: z.string(),
    permission: z.string(),
    buckets: z.array(z.string()).nullable(),
    created_on: z.string(),
  }),
)
const created = z.object({ access_key_id: z.string(), secret_access_key: z.string() })

/** `bindery s3-key create | list | delete`. */
export async function s3Key(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: 'string' },
        account: { type: 'string' },
        name: { type: 'string' },
        permission: { type: 'string' },
        bucket: { type: 'string', multiple: true },
      },
    }),
  )
  const { client, path } = await ApiClient.ofAccount(values, process.env)
  const at = `${path}/r2/s3-keys`
  const [action, id] = positionals
  if (action === 'create') {
    const { name, permission, bucket: buckets } = values
    const key = created.parse(await client.call('POST', at, { name, permission, buckets }))
    // Shown once: the server never says the secret again.
    process.stdout.write(
      `AWS_ACCESS_KEY_ID=${key.access_key_id}\nAWS_SECRET_ACCESS_KEY=${key.secret_access_key}\n`,
    )
  } else if (action === 'list') {
    const rows = keys.parse(await client.get(at))
    process.stdout.write(
      table(
        ['ID', 'NAME', 'PERMISSION', 'BUCKETS', 'CREATED'],
        rows.map((row) => [
          row.access_key_id,
          row.name,
          row.permission,
          row.buckets?.join(', ') ?? 'all',
          row.created_on,
        ]),
      ),
    )
  } else if (action === 'delete' && id !== undefined) {
    await client.call('DELETE', `${at}/${encodeURIComponent(id)}`)
    process.stdout.write(`${id} is deleted.\n`)
  } else {
    throw new OperatorError(`Usage:\n${s3KeyHelp}`)
  }
}
