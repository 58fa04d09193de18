import type { BackendHandler, BackendReply, BackendRequest, Grant } from '#contract/backend.ts'
import { ApiError, messageOf } from '#contract/errors.ts'
import { DatabaseError } from '#contract/ports/databases.ts'
import type { Log } from '#contract/ports/log.ts'
import { callOfBytes, type Form, isRefused } from './call.ts'
import type { Calls } from './calls.ts'
import * as errors from './errors.ts'
import { callBytes, drainBytes } from './limits.ts'
import { d1Resource, isCommitToken } from './schema.ts'

export type ServiceOptions = { readonly calls: Calls; readonly log: Log }

/** Where a session is: sent with its calls, and back with what they read or wrote. */
const tokenHeader = 'x-cf-d1-session-commit-token'

const forms: Readonly<Record<string, Form>> = { '/query': 'q', '/execute': 'e' }

/** Answers the native client of one binding. The database is looked for at each call. */
export function serveD1({ calls, log }: ServiceOptions, grant: Grant): BackendHandler {
  const { account, worker } = grant
  const { database } = d1Resource.parse(grant.resource)
  return async (request) => {
    const [path = ''] = request.url.split('?', 1)
    const form = forms[path]
    const body = await gatherPieces(request.body)
    if (request.method !== 'POST') return { status: 405 }
    if (path === '/dump') return refusal(errors.dumpRefused, 400)
    if (!form) return { status: 404 }
    if (!hasValidToken(request)) return refusal(errors.sessionInvalid)
    if (!body) return refusal(errors.tooLargeToRun)
    if (isEmptyBatch(body)) return refusal(errors.noStatements)
    try {
      const call = callOfBytes(form, body.pieces, body.size)
      const { reply, bookmark } = await calls.call(account, database, call)
      return { status: 200, headers: headersOf(reply, bookmark), body: reply }
    } catch (error) {
      if (error instanceof DatabaseError) {
        const { reason } = error
        log.warn('D1 did not answer', { account, worker, database, reason })
        return refusal(errors.sentenceOf(reason))
      }
      if (error instanceof ApiError) return refusal(error.message)
      log.error('D1 failed', { account, worker, database, error: messageOf(error) })
      return refusal(errors.sentenceOf('damaged'))
    }
  }
}

const json = { 'content-type': 'application/json' }

/** A call that was refused has no place in a session. */
function headersOf(reply: Uint8Array, bookmark: string): Readonly<Record<string, string>> {
  return isRefused(reply) ? json : { ...json, [tokenHeader]: bookmark }
}

/** One object: of a list, the client looks at the first member alone. */
function refusal(error: string, status = 200): BackendReply {
  return { status, headers: json, body: JSON.stringify({ success: false, error }) }
}

function hasValidToken({ headers }: BackendRequest): boolean {
  const token = headers[tokenHeader]
  return token === undefined || (typeof token === 'string' && isCommitToken(token))
}

type Pieces = { readonly pieces: readonly Uint8Array[]; readonly size: number }

/** The client crashes at an empty list of results, so that is what is not sent. */
function isEmptyBatch({ pieces, size }: Pieces): boolean {
  const [first] = pieces
  return size === 2 && first?.[0] === 0x5b
}

/** A body as it came; `undefined` if it is too large. */
async function gatherPieces(body: AsyncIterable<Uint8Array>): Promise<Pieces | undefined> {
  let pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of body) {
    size += piece.byteLength
    if (size <= callBytes) pieces.push(piece)
    else pieces = []
    if (size > callBytes + drainBytes) break
  }
  return size > callBytes ? undefined : { pieces, size }
}
