import assert from 'node:assert/strict'
import { z } from 'zod'
import type { TestServer } from '#test/server.ts'

const envelope = z.object({
  success: z.boolean(),
  errors: z.array(z.object({ code: z.number(), message: z.string() })),
  result: z.unknown(),
})

/** The result of a call of the REST API, below the account. Fails the test if it is refused. */
export async function callApi(
  { apiUrl, environment }: TestServer,
  method: string,
  path: string,
): Promise<unknown> {
  const url = `${apiUrl}/accounts/${environment['CLOUDFLARE_ACCOUNT_ID']}${path}`
  const headers = { authorization: `Bearer ${environment['CLOUDFLARE_API_TOKEN']}` }
  const answer = envelope.parse(await (await fetch(url, { method, headers })).json())
  assert.ok(answer.success, `${method} ${path}: ${JSON.stringify(answer.errors)}`)
  return answer.result
}
