import { WorkerEntrypoint } from 'cloudflare:workers'
import type { Shares } from './assignment.ts'

// Stands between a caller and a Worker that has several versions in the cell, or files of its own:
// each call goes to one version, by their shares, and each request to its files first. It is there
// only while one of both is so. What it passes on is workerd's own: requests, calls, properties and
// whatever they return.

type Env = { readonly shares: Shares; readonly [way: string]: unknown }
type Callee = Fetcher & Readonly<Record<string, unknown>>

let shares: Shares | undefined

/** What the agent changes the shares by. Nobody else is bound to it. */
export class Control extends WorkerEntrypoint {
  assign(next: Shares): void {
    shares = next
  }
}

/** Makes what callers are bound to. */
export function entrypoint(number: string): typeof WorkerEntrypoint<Env> {
  class Entrypoint extends WorkerEntrypoint<Env> {
    override async fetch(request: Request): Promise<Response> {
      const way = pick(this.env, number)
      return (await fromFiles(this.env, way, request)) ?? calleeOf(this.env, way).fetch(request)
    }
  }
  // Which methods there are is known to the versions alone. What this gives back is a property of a
  // stub: workerd calls it, or awaits its value, as the caller asked.
  const any = new Proxy(Object.create(WorkerEntrypoint.prototype), {
    get(target, name, receiver: { readonly env: Env }) {
      if (typeof name !== 'string' || name in target) return Reflect.get(target, name, receiver)
      return calleeOf(receiver.env, pick(receiver.env, number))[name]
    },
  })
  Object.setPrototypeOf(Entrypoint.prototype, any)
  return Entrypoint
}

/** Where a call goes: the name of a version. */
function pick(env: Env, number: string): string {
  const ways = (shares ?? env.shares)[number] ?? []
  let left = Math.random() * ways.reduce((sum, [, percentage]) => sum + percentage, 0)
  const [chosen] = ways.find(([, percentage]) => (left -= percentage) < 0) ?? ways.at(-1) ?? ['']
  return chosen
}

function calleeOf(env: Env, way: string): Callee {
  return env[way] as Callee
}

/** What follows the name of a version to name its files: see `splits.ts`. */
const siteSuffix = '/site'

/** What the server says where the Worker is to answer: see `bindings/assets/service.ts`. */
const notMine = 421

/** The answer of a version's files, if it has any and they have one. They are not told the body. */
async function fromFiles(env: Env, way: string, request: Request): Promise<Response | undefined> {
  const site = env[way + siteSuffix] as Fetcher | undefined
  if (site === undefined || request.headers.has('upgrade')) return undefined
  const headers = new Headers(request.headers)
  headers.delete('content-length')
  headers.delete('transfer-encoding')
  const { method, url } = request
  const response = await site.fetch(url, { method, headers, redirect: 'manual' })
  return response.status === notMine ? undefined : response
}
