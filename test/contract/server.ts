import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { z } from 'zod'
import { readConfig } from '#config'
import { startServer } from '#main'
import { temporaryFolder } from '#test/temporary.ts'

/** A whole server in the process of the test, on a folder of its own. */
export interface Served extends AsyncDisposable {
  readonly dataDirectory: string
  readonly apiUrl: string
  readonly account: string
  readonly token: string
  /** Sends a request below `/client/v4`, as the administrator unless it says otherwise. */
  call(method: string, path: string, sent?: Sent): Promise<Answer>
  /** A visitor's request to a Worker of the first account. */
  visit(worker: string, path?: string): Promise<{ readonly status: number; readonly body: string }>
  /** The same, to any host. */
  visitHost: Served['visit']
}

export type Sent = {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array<ArrayBuffer> | FormData
  /** Sent as JSON, with its content type. */
  readonly json?: unknown
}

const envelope = z.looseObject({
  success: z.boolean(),
  errors: z.array(z.looseObject({ code: z.number(), message: z.string() })),
  messages: z.array(z.unknown()).optional(),
  result: z.unknown(),
  result_info: z.unknown().optional(),
})

export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
  readonly text: string
  /** `undefined` if it is none. */
  readonly envelope: z.output<typeof envelope> | undefined
  readonly codes: readonly number[]
  readonly message: string
}

export async function serveInProcess(): Promise<Served> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await temporaryFolder())
  const dataDirectory = join(path, 'data')
  const local = ['--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--log-level', 'error']
  const server = await startServer(readConfig(['--data', dataDirectory, ...local], {}))
  stack.defer(() => server.stop())
  const admin = parseEnv(await readFile(join(dataDirectory, 'admin.env'), 'utf8'))
  const token = admin['CLOUDFLARE_API_TOKEN'] ?? ''
  const port = Number(new URL(server.visitorUrl('any')).port)
  const owned = stack.move()
  return {
    dataDirectory,
    apiUrl: server.apiUrl,
    account: admin['CLOUDFLARE_ACCOUNT_ID'] ?? '',
    token,
    call: (method, to, { headers, body, json } = {}) =>
      send(server.apiUrl + to, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          connection: 'close',
          ...(json !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(json !== undefined && { body: JSON.stringify(json) }),
        ...(body !== undefined && { body }),
      }),
    visit: (worker, to = '/') => visit(port, `${worker}.localhost`, to),
    visitHost: (host, to = '/') => visit(port, host, to),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function send(url: string, init: RequestInit): Promise<Answer> {
  return answerOf(await fetch(url, init))
}

export async function answerOf(response: Response): Promise<Answer> {
  const bytes = new Uint8Array(await response.arrayBuffer())
  const text = new TextDecoder().decode(bytes)
  const parsed = envelope.safeParse(jsonOf(text))
  const errors = parsed.data?.errors ?? []
  return {
    status: response.status,
    headers: response.headers,
    bytes,
    text,
    envelope: parsed.data,
    codes: errors.map(({ code }) => code),
    message: errors.map(({ message }) => message).join(' '),
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `fetch` does not let its callers choose the host. */
function visit(port: number, host: string, path: string) {
  return new Promise<{ readonly status: number; readonly body: string }>((resolve, reject) => {
    const signal = AbortSignal.timeout(15_000)
    const sent = request(
      { host: '127.0.0.1', port, path, headers: { host }, agent: false, signal },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        response.on('error', reject)
      },
    )
    sent.on('error', reject).end()
  })
}
