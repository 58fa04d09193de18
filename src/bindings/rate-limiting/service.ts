import type { BackendHandler, BackendReply, Grant } from '#contract/backend.ts'
import type { Counters } from './counters.ts'
import * as limits from './limits.ts'
import { period, rateLimitResource } from './schema.ts'

/** 429 is the backplane's own, for who makes too many calls of any kind. */
const within: BackendReply = { status: 200 }
const beyond: BackendReply = { status: 409 }
const misspelt: BackendReply = { status: 400 }

/**
 * Answers `shim.worker.ts`: the query says the key (`k`, or `j` in JSON) and what differs from the
 * binding (`l` limit, `p` period, `d` delta); the status says whether the call is within the limit.
 */
export function serveRateLimit(counters: Counters, { account, resource }: Grant): BackendHandler {
  const own = rateLimitResource.parse(resource)
  return async ({ url }) => {
    const asked = readQuery(url)
    if (!asked) return misspelt
    const isWithin = counters.take({ account, delta: 1, ...own, ...asked })
    return isWithin ? within : beyond
  }
}

type Asked = {
  readonly key: string
  readonly limit?: number
  readonly period?: number
  readonly delta?: number
}

/** `undefined` for what the shim does not write. */
function readQuery(url: string): Asked | undefined {
  const [key, ...others] = url.slice(url.indexOf('?') + 1).split('&')
  try {
    return others.reduce<Asked>(withField, { key: readKey(key ?? '') })
  } catch {
    return undefined
  }
}

function withField(asked: Asked, field: string): Asked {
  const value = Number(field.slice(2))
  switch (field.slice(0, 2)) {
    case 'l=':
      return { ...asked, limit: value }
    case 'p=':
      return { ...asked, period: period.parse(value) }
    case 'd=':
      return { ...asked, delta: deltaOf(value) }
    default:
      throw new Error(`there is no field ${field}`)
  }
}

/** User code that bends the globals of its isolate may ask in the shim's place. */
function deltaOf(value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new Error('it is no delta')
}

/** Workers of early compatibility dates write a space as `+`. */
function readKey(field: string): string {
  const text = decodeURIComponent(field.slice(2).replaceAll('+', ' '))
  const key: unknown = field.startsWith('k=') ? text : JSON.parse(text)
  if (typeof key !== 'string' || key.length > limits.keyLength) throw new Error('it is no key')
  return key
}
