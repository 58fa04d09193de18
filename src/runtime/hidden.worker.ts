import { DurableObject, exports, WorkerEntrypoint, WorkflowEntrypoint } from 'cloudflare:workers'
import type { Assignment } from './assignment.ts'

// Runs inside the isolate of a user's Worker, as an entrypoint that only the agent of the cell is
// bound to. It is taken out of `ctx.exports` and `exports` at the agent's first call, before any traffic; until
// then `exports` is empty, so user code never sees it. That this module can be found and imported
// (`/bundle` of node:fs lists it) gives user code nothing: an entrypoint is called through a
// binding, and the class by itself does to `env` what user code may do to it anyway.
//
// It is evaluated before the user's module, so that what it takes hold of here is the platform's.
const { defineProperty, deleteProperty, getOwnPropertyDescriptor, ownKeys } = Reflect
const { parse } = JSON

const eventHandlers = [
  'fetch',
  'connect',
  'scheduled',
  'queue',
  'tail',
  'tailStream',
  'trace',
  'email',
  'test',
  'alarm',
  'webSocketMessage',
  'webSocketClose',
  'webSocketError',
]

type Exports = Readonly<Record<string, unknown>>

/**
 * Makes the hidden entrypoint of a Worker whose module is `user`. `name` is what it is exported as,
 * `secureFetcher` that of `sockets.worker.ts`.
 */
export function hiddenEntrypoint(
  user: Exports,
  name: string,
  secureFetcher: (fetcher: unknown) => void,
): typeof WorkerEntrypoint<unknown> {
  return class extends WorkerEntrypoint<unknown> {
    /**
     * Takes itself out of what user code can see. Called before any traffic. `exits` are names in
     * `env` of ways out.
     */
    hide(exits: readonly string[]): void {
      const [exit] = exits
      // All have one prototype. Code that has put something else there already is left alone.
      if (exit !== undefined) {
        secureFetcher(getOwnPropertyDescriptor(this.env as object, exit)?.value)
      }
      const own = this.ctx as unknown as { exports?: object }
      for (const visible of [own.exports, importedExports()]) {
        if (visible !== undefined) deleteProperty(visible, name)
      }
    }

    /** Says what the Worker exports. Called in checks only: it runs getters of the user's. */
    describe(): unknown {
      return describe(user)
    }

    /**
     * Changes `env` in place: every road to it leads to this one object. Throws where user code has
     * frozen it: then the isolate is to be replaced.
     */
    assign(assignment: Assignment): void {
      const env = this.env as object
      const copy = assignment.processEnv ? processEnv() : undefined
      for (const removed of assignment.removed) {
        unset(env, removed)
        if (copy !== undefined) unset(copy, removed)
      }
      for (const value of assignment.values) {
        const text = 'text' in value ? value.text : value.json
        set(env, value.name, 'text' in value ? text : parse(text))
        if (copy !== undefined) set(copy, value.name, text)
      }
    }
  }
}

/**
 * The object behind the `exports` of cloudflare:workers, which is there even where compatibility
 * flags leave `ctx.exports` out. What is exported is a proxy that only reads, by the methods of
 * `Reflect`. Where user code has frozen `Reflect` the entrypoint stays visible.
 */
function importedExports(): object | undefined {
  let found: object | undefined
  try {
    Reflect.ownKeys = (target: object) => {
      found = target
      return ownKeys(target)
    }
    ownKeys(exports)
    Reflect.ownKeys = ownKeys
  } catch {
    return undefined
  }
  return found
}

/** Defines, because a setter that user code put there must not stop or see the value. */
function set(target: object, name: string, value: unknown): void {
  const property = { value, writable: true, enumerable: true, configurable: true }
  if (!defineProperty(target, name, property)) throw new Error('env is frozen')
}

function unset(target: object, name: string): void {
  if (!deleteProperty(target, name)) throw new Error('env is frozen')
}

function processEnv(): object | undefined {
  const { process } = globalThis as { process?: { env?: object } }
  return process?.env
}

function describe(user: Exports): unknown {
  const named = Object.keys(user).filter((key) => key !== 'default')
  return {
    hasDefault: 'default' in user,
    handlers: handlersOf(user['default']),
    named: named.map((key) => ({
      name: key,
      type: typeOf(user[key]),
      handlers: handlersOf(user[key]),
    })),
  }
}

function typeOf(value: unknown): string {
  if (typeof value === 'function') {
    const { prototype } = value as { prototype?: unknown }
    if (prototype instanceof WorkerEntrypoint) return 'entrypoint'
    if (prototype instanceof DurableObject) return 'durable-object'
    if (prototype instanceof WorkflowEntrypoint) return 'workflow'
    // A class without a base may be a Durable Object in the oldest style.
    return /^class\b/.test(Function.prototype.toString.call(value)) ? 'durable-object' : 'other'
  }
  return handlersOf(value).length > 0 ? 'handler' : 'other'
}

function handlersOf(value: unknown): string[] {
  const owner = typeof value === 'function' ? (value as { prototype?: unknown }).prototype : value
  if (typeof owner !== 'object' || owner === null) return []
  return eventHandlers.filter((name) => typeof (owner as Exports)[name] === 'function')
}
