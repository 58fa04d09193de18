import { parseArgs } from 'node:util'
import { z } from 'zod'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { bytesText, parse } from './terminal.ts'

export const d1Help = `bindery d1 verify NAME|ID [--data DIR] [--account ID]    does the archive of Time Travel make the very database?`

const database = z.object({ uuid: z.string() })
const verdict = z.object({
  is_same: z.boolean(),
  difference: z.string().nullable(),
  bookmark: z.string(),
  file_size: z.number(),
  history_size: z.number(),
})

/** `bindery d1 verify`. */
export async function d1(args: readonly string[]): Promise<void> {
  const options = { data: { type: 'string' }, account: { type: 'string' } } as const
  const { values, positionals } = parse(() =>
    parseArgs({ args: [...args], allowPositionals: true, options }),
  )
  const [action, name] = positionals
  if (action !== 'verify' || name === undefined) throw new OperatorError(`Usage:\n${d1Help}`)
  const { client, path } = await ApiClient.ofAccount(values, process.env)
  const at = `${path}/d1/database`
  const { uuid } = database.parse(
    await client.get(`${at}/${encodeURIComponent(name)}?fields=uuid,name`),
  )
  // A large database takes its time.
  const found = verdict.parse(await client.upload(`${at}/${uuid}/verify`, nothing()))
  if (!found.is_same) {
    throw new OperatorError(`${name} is not what its archive makes of it: ${found.difference}`)
  }
  const sizes = `${bytesText(found.file_size)}, and ${bytesText(found.history_size)} of archive`
  process.stdout.write(
    `${name} is what its archive makes of it, at ${found.bookmark} (${sizes}).\n`,
  )
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
