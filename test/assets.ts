import assert from 'node:assert/strict'
import { join } from 'node:path'
import { z } from 'zod'
import { assets, openAssets } from '#bindings/assets/binding.ts'
import type { LiveBinding } from '#contract/binding.ts'
import { ApiError } from '#contract/errors.ts'
import { workerName } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { account, caller } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { temporaryFolder } from '#test/temporary.ts'

// What the tests of this folder share: the binding on a database of its own, and a client of it.

export const worker = workerName.parse('site')

/** An upload as its Worker's names it. */
export const upload = {
  owner: { account, worker },
  compatibilityDate: '2026-11-01',
  compatibilityFlags: [],
} as const

export type OpenAssets = AsyncDisposable & {
  readonly ports: Ports
  readonly clock: ReturnType<typeof movableClock>
  readonly live: LiveBinding
  /** The same again on the same files, as after a restart. */
  again(): LiveBinding
}

export async function openFixture(): Promise<OpenAssets> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await temporaryFolder())
  const clock = movableClock(Date.now())
  const migrations = assets.migrations ?? assert.fail()
  const ports = stack.use(await openPorts({ path: join(path, 'assets'), migrations, clock }))
  const live = stack.use(openAssets(ports))
  const owned = stack.move()
  return {
    ports,
    clock,
    live,
    again: () => owned.use(openAssets(ports)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

export type Announced = Readonly<Record<string, { readonly hash: string; readonly size: number }>>

/** A hash as a client would make one. */
export function hashOf(number: number): string {
  return number.toString(16).padStart(32, '0')
}

const envelope = z.object({ success: z.literal(true), result: z.unknown() })
const ended = z.object({ jwt: z.string().exactOptional() })
const opened = z.object({ jwt: z.string(), buckets: z.array(z.array(z.string())) })

/** What a call is answered, or, with a code, refused with. */
export type Answer = {
  readonly status: number
  readonly result: unknown
  readonly code: number
  readonly message: string
}

export type Sent = {
  readonly account?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | FormData
}

/** A client of the binding's resources. */
export class Client {
  readonly #live: LiveBinding

  constructor(live: LiveBinding) {
    this.#live = live
  }

  /** Announces files. A text is sent as it is. */
  announce(body: unknown, as = account): Promise<Answer> {
    const mount = this.#live.api?.[0] ?? assert.fail('the binding has no API')
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const path = mount.path.replace(':worker', worker)
    const request = new Request(`http://x${path}`, { method: 'POST', body: text })
    return attempt(() => mount.handle(request, { ...caller, account: as }))
  }

  /** The same, of files; fails the test if that is refused. */
  async begin(manifest: Announced, as = account): Promise<z.output<typeof opened>> {
    const { result, message } = await this.announce({ manifest }, as)
    assert.equal(message, '')
    return opened.parse(result)
  }

  /** Sends to the upload resource, below its path. */
  async send(
    token: string,
    below: string,
    sent: Sent = {},
  ): Promise<Omit<Answer, 'result'> & { readonly jwt: string | undefined }> {
    const mount = this.#live.guardedApi?.[0] ?? assert.fail('the binding takes no uploads')
    const { body, headers = {} } = sent
    const authorization = token === '' ? {} : { authorization: `Bearer ${token}` }
    const request = new Request(`http://x${mount.path}${below}`, {
      method: 'POST',
      headers: { ...headers, ...authorization },
      ...(body !== undefined && { body }),
    })
    const { result, ...rest } = await attempt(() => mount.handle(request, sent.account ?? account))
    return { ...rest, jwt: ended.safeParse(result).data?.jwt }
  }
}

async function attempt(run: () => Promise<Response>): Promise<Answer> {
  try {
    const response = await run()
    const { result } = envelope.parse(await response.json())
    return { status: response.status, result, code: 0, message: '' }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    const { status, code, message } = error
    return { status, result: undefined, code, message }
  }
}
