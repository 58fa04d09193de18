import { WorkerEntrypoint } from 'cloudflare:workers'
import type { Shares } from './assignment.ts'

// Stands between a caller and a Worker that has several versions in the cell: each call goes to one
// of them, by their shares. It is there only while a deployment is split. What it passes on is
// workerd's own: requests, calls, properties and whatever they return.

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
    override fetch(request: Request): Promise<Response> {
      return pick(this.env, number).fetch(request)
    }
  }
  // Which methods there are is known to the versions alone. What this gives back is a property of a
  // stub: workerd calls it, or awaits its value, as the caller asked.
  const any = new Proxy(Object.create(WorkerEntrypoint.prototype), {
    get(target, name, receiver: { readonly env: Env }) {
      if (typeof name !== 'string' || name in target) return Reflect.get(target, name, receiver)
      return pick(receiver.env, number)[name]
    },
  })
  Object.setPrototypeOf(Entrypoint.prototype, any)
  return Entrypoint
}

function pick(env: Env, number: string): Callee {
  const ways = (shares ?? env.shares)[number] ?? []
  let left = Math.random() * ways.reduce((sum, [, percentage]) => sum + percentage, 0)
  const [chosen] = ways.find(([, percentage]) => (left -= percentage) < 0) ?? ways.at(-1) ?? ['']
  return env[chosen] as Callee
}
