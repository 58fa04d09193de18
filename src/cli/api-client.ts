import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readDataDirectory } from '#config'
import { type EnvironmentFile, parseEnvironmentFile } from '#contract/environment-file.ts'
import { OperatorError } from '#contract/errors.ts'

const envelope = z.object({
  success: z.boolean(),
  errors: z.array(z.object({ code: z.number(), message: z.string() })),
  result: z.unknown(),
  result_info: z.object({ cursor: z.string().optional() }).nullish(),
})
type Envelope = z.output<typeof envelope>

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

  /** A client for what belongs to an account, and where that is: `--data` and `--account` say. */
  static async ofAccount(
    flags: { readonly data?: string | undefined; readonly account?: string | undefined },
    environment: NodeJS.ProcessEnv,
  ): Promise<{ readonly client: ApiClient; readonly path: string }> {
    const client = await ApiClient.of(readDataDirectory(flags.data, environment))
    return { client, path: `/accounts/${encodeURIComponent(flags.account ?? client.account)}` }
  }

  get account(): string {
    return this.environment['CLOUDFLARE_ACCOUNT_ID'] ?? ''
  }

  get(path: string): Promise<unknown> {
    return this.call('GET', path)
  }

  /** Calls the API. Throws an `OperatorError` with the API's own words if it refuses. */
  async call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await this.#send(path, {
      method,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(callMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return (await answerOf(response)).result
  }

  /** The pages of a list that has cursors. `path` has a query already. */
  async *pages(path: string): AsyncGenerator {
    let cursor: string | undefined
    do {
      const at = cursor === undefined ? path : `${path}&cursor=${encodeURIComponent(cursor)}`
      const signal = AbortSignal.timeout(callMs)
      const answer = await answerOf(await this.#send(at, { method: 'GET', signal }))
      yield answer.result
      cursor = answer.result_info?.cursor
    } while (cursor !== undefined && cursor !== '')
  }

  /** What comes as bytes and may take long. Throws as `call` does. */
  async download(path: string): Promise<Response> {
    const response = await this.#send(path, { method: 'GET' })
    if (!response.ok) await answerOf(response)
    return response
  }

  /** Sends bytes, for as long as it takes. */
  async upload(path: string, chunks: AsyncIterable<Uint8Array>): Promise<unknown> {
    const body = ReadableStream.from(chunks)
    const response = await this.#send(path, { method: 'POST', body, duplex: 'half' })
    return (await answerOf(response)).result
  }

  async #send(path: string, init: RequestInit & { readonly duplex?: 'half' }): Promise<Response> {
    const base = this.environment['CLOUDFLARE_API_BASE_URL'] ?? ''
    const headers = new Headers(init.headers)
    headers.set('authorization', `Bearer ${this.environment['CLOUDFLARE_API_TOKEN']}`)
    try {
      return await fetch(`${base}${path}`, { ...init, headers })
    } catch (cause) {
      throw new OperatorError(`No server answers at ${base}. Start one with bindery serve.`, {
        cause,
      })
    }
  }
}

async function answerOf(response: Response): Promise<Envelope> {
  const answer = envelope.parse(await response.json())
  const [error] = answer.errors
  if (!answer.success) throw new OperatorError(error?.message ?? `HTTP ${response.status}`)
  return answer
}
