import assert from 'node:assert/strict'
import type { BackendHandler, BackendReply, Grant } from '#contract/backend.ts'
import type { LiveBinding } from '#contract/binding.ts'
import type { GuestPort } from '#contract/guests.ts'
import { accountId, workerName } from '#contract/ids.ts'
import type { Usage } from '#contract/usage.ts'

export const account = accountId.parse('a'.repeat(32))
export const otherAccount = accountId.parse('b'.repeat(32))
/** Where nothing is deployed. */
export const unused: Usage = {
  usersOf: async () => [],
  async unlessUsed(_account, _isMeant, run) {
    await run()
    return []
  },
}

/** No Worker has loaded another. */
const guests: GuestPort = {
  limitCpu: () => assert.fail('nobody loads'),
  fullness: () => undefined,
}

/** Where a house is that has no address. */
export const nowhere = {
  guests,
  domain: 'localhost',
  urlOf: (host: string): string => `http://${host}`,
  ownerOf: (): undefined => undefined,
  usage: unused,
}

export const caller = { account, email: 'me@example.com' }

export type Answer = {
  readonly status: number
  readonly reason: string | undefined
  readonly body: Uint8Array
  readonly reply: BackendReply
}

export type Call = (
  method: string,
  url: string,
  more?: {
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
  },
) => Promise<Answer>

/** Calls a binding as the backplane does, without a socket. */
export function callOf(
  live: LiveBinding,
  grant: Pick<Grant, 'type' | 'resource'>,
  owner = account,
): Call {
  const handle: BackendHandler =
    live.serve?.({
      capability: 'c',
      cell: 'cell',
      account: owner,
      worker: workerName.parse('w'),
      name: 'B',
      ...grant,
    }) ?? assert.fail('the binding serves nobody')
  return async (method, url, { headers = {}, body = [] } = {}) => {
    const stream = (async function* () {
      yield* body
    })()
    const reply = await handle({ method, url, headers, body: stream })
    return { status: reply.status, reason: reply.reason, body: await bytesOf(reply), reply }
  }
}

async function bytesOf({ body }: BackendReply): Promise<Uint8Array> {
  if (body === undefined) return new Uint8Array()
  if (typeof body === 'string') return bytes(body)
  if (body instanceof Uint8Array) return new Uint8Array(body)
  return new Uint8Array(Buffer.concat(await Array.fromAsync(body)))
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function textOf({ body }: Answer): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(body)
}
