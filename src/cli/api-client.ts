import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type EnvironmentFile, parseEnvironmentFile } from '#contract/environment-file.ts'
import { OperatorError } from '#contract/errors.ts'

const envelope = z.object({
  success: z.boolean(),
  errors: z.array(z.object({ code: z.number(), message: z.string() })),
  result: z.unknown(),
})

const callMs = 30_000

/** The REST API of the server that runs on a data directory, with its admin token. */
export class ApiClient {
  /** What `admin.env` says, for programs that are started with it. */
  readonly environment: EnvironmentFile

  constructor(environment: EnvironmentFile) {
    this.environment = environment
  }

  static async of(dataDirectory: string): Promise<ApiClient> {
    const path = join(dataDirectory, 'admin.env')
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new OperatorError(
        `There is no readable ${path}: name the data directory of a server with --data, or start one with bindery serve.`,
        { cause },
      )
    })
    return new ApiClient(parseEnvironmentFile(text))
  }

  get account(): string {
    return this.environment['CLOUDFLARE_ACCOUNT_ID'] ?? ''
  }

  get(path: string): Promise<unknown> {
    return this.call('GET', path)
  }

  /** Calls the API. Throws an `OperatorError` with the API's own words if it refuses. */
  async call(method: string, path: string, body?: unknown): Promise<unknown> {
    const base = this.environment['CLOUDFLARE_API_BASE_URL'] ?? ''
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.environment['CLOUDFLARE_API_TOKEN']}`,
        'content-type': 'application/json',
      },
      signal: AbortSignal.timeout(callMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      throw new OperatorError(`No server answers at ${base}. Start one with bindery serve.`, {
        cause,
      })
    })
    const answer = envelope.parse(await response.json())
    const [error] = answer.errors
    if (!answer.success) throw new OperatorError(error?.message ?? `HTTP ${response.status}`)
    return answer.result
  }
}
