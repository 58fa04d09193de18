import type { Caller } from '#contract/binding.ts'
import type { AccountId } from '#contract/ids.ts'
import { workerName } from '#contract/ids.ts'
import { workerNotFound } from './errors.ts'
import type { Author, Permission, Token } from './records.ts'
import type { WorkerKey } from './worker-store.ts'

/** A call of the API by somebody who may make it: checked before a route sees it. */
export type Call = {
  readonly request: Request
  readonly url: URL
  readonly token: Token
  readonly author: Author
  /** A part of the path, decoded; `""` if the route has none of that name. */
  readonly param: (name: string) => string
}

/** A call below `/accounts/:account`, of an account that exists and that the token is good for. */
export type AccountCall = Call & { readonly account: AccountId }

/** One thing that the API can do. The path follows `/client/v4`, or the account's path. */
export type Route<Of extends Call = Call> = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  /** What a token must allow at least. */
  readonly permission: Permission
  readonly run: (call: Of) => Promise<Response>
}

/** The Worker that the path names. Throws `workerNotFound` for what can't be a Worker's name. */
export function keyOf(call: AccountCall): WorkerKey {
  const name = workerName.safeParse(call.param('worker'))
  if (!name.success) throw workerNotFound()
  return { account: call.account, worker: name.data }
}

/** The caller as bindings see one. */
export function callerOf({ account, author }: AccountCall): Caller {
  return { account, email: author.authorEmail }
}
