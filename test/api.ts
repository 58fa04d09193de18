import assert from 'node:assert/strict'
import { z } from 'zod'
import type { Caller, LiveBinding } from '#contract/binding.ts'
import { ApiError } from '#contract/errors.ts'
import { caller } from '#test/backend.ts'

export type Sent = {
  readonly body?: string | Uint8Array<ArrayBuffer> | FormData
  readonly headers?: Record<string, string>
  readonly as?: Caller
}

type Send = (method: string, path: string, sent?: Sent) => Promise<Response>

/** What `result` and `result_info` are is for each test to know. */
const envelope = z.object({
  success: z.literal(true),
  result: z.any().optional(),
  result_info: z.any().optional(),
})

/**
 * Calls the REST resources of a binding as control does: those that begin with `under`, or its first.
 * `path` follows the binding's own.
 */
export function apiOf(live: LiveBinding, under?: string) {
  const mounts = live.api ?? []
  const found = under === undefined ? mounts[0] : mounts.find(({ path }) => path === under)
  const api = found ?? assert.fail('the binding has no such API')
  const send: Send = async (method, path, { body, headers, as = caller } = {}) => {
    const init = { method, ...(body !== undefined && { body }), ...(headers && { headers }) }
    return api.handle(new Request(`http://x${api.path}${path}`, init), as)
  }
  return {
    send,
    /** The parts of the envelope, of an answer or of the error that control would render. */
    ask: async (...args: Parameters<Send>) => {
      try {
        const reply = await send(...args)
        const { result, result_info: info } = envelope.parse(await reply.json())
        return { status: reply.status, result, info, code: 0, message: '' }
      } catch (error) {
        if (!(error instanceof ApiError)) throw error
        const { status, code, message } = error
        return { status, code, message, result: undefined, info: undefined }
      }
    },
  }
}

export function json(value: unknown): { readonly body: string } {
  return { body: JSON.stringify(value) }
}
