import { Buffer } from 'node:buffer'
import type { ApiMount, Caller, GuardedMount } from '#contract/binding.ts'
import { succeed } from '#contract/envelope.ts'
import { messageOf } from '#contract/errors.ts'
import { Gate, GateFullError } from '#contract/gate.ts'
import { gather } from '#contract/gather.ts'
import { workerName } from '#contract/ids.ts'
import { parseJson } from '#contract/json-text.ts'
import { boundaryOf, type Part, readMultipart } from '#contract/multipart.ts'
import * as errors from './errors.ts'
import {
  bucketFiles,
  contentTypeLength,
  formBytes,
  formsAtOnce,
  formsWaiting,
  manifestJsonBytes,
} from './limits.ts'
import { type Announced, contentHash, sessionBody } from './schema.ts'
import type { Session } from './store.ts'
import type { SentFile, Uploads } from './uploads.ts'

// control-api.md §3.3. Two dialects: which one a client of the first speaks is in its token.
//   POST …/workers/assets/upload/HASH            the content itself, as it is
//   POST …/workers/assets/upload?base64=true     a form of several, as Base64

const sessionPath = '/workers/scripts/:worker/assets-upload-session'
const uploadPath = '/workers/assets/upload'

/** What is sent as the content type of a file that is to have none. */
const noContentType = 'application/null'

/** `POST …/assets-upload-session`: says which files there are to be, learns which to send. */
export function sessionApi(uploads: Uploads): ApiMount {
  return {
    path: sessionPath,
    async handle(request, caller) {
      const { pathname } = new URL(request.url)
      const name = workerName.safeParse(pathname.split('/')[3])
      if (request.method !== 'POST' || !name.success) throw errors.uploadRouteNotFound(pathname)
      const { account }: Caller = caller
      const { token, buckets } = await uploads.open(
        { account, worker: name.data },
        await readAnnounced(request),
      )
      return succeed({ jwt: token, buckets })
    },
  }
}

/** `POST …/workers/assets/upload`: takes files of an upload, whose token is all that it asks for. */
export function uploadApi(uploads: Uploads): GuardedMount {
  const forms = new Gate(formsAtOnce, formsWaiting)
  return {
    path: uploadPath,
    async handle(request, account) {
      const { pathname } = new URL(request.url)
      if (request.method !== 'POST') throw errors.uploadRouteNotFound(pathname)
      const token = tokenOf(request)
      const session = await uploads.sessionOf(token, account)
      const hash = pathname.slice(uploadPath.length + 1)
      const isLast =
        hash === ''
          ? await forms.pass(() => receiveForm(uploads, session, request)).catch(orBusy)
          : await receiveOne(uploads, session, { request, hash })
      const reply = succeed(isLast ? { jwt: token } : {})
      return new Response(reply.body, { status: isLast ? 201 : 202, headers: reply.headers })
    },
  }
}

function orBusy(error: unknown): never {
  throw error instanceof GateFullError ? errors.uploadBusy() : error
}

function tokenOf(request: Request): string | undefined {
  return /^bearer +(\S+)$/i.exec(request.headers.get('authorization') ?? '')?.[1]
}

async function receiveOne(
  uploads: Uploads,
  session: Session,
  { request, hash }: { readonly request: Request; readonly hash: string },
): Promise<boolean> {
  if (!contentHash.safeParse(hash).success) throw errors.notInManifest(hash.slice(0, 100))
  const contentType = contentTypeOf(request.headers.get('content-type') ?? '')
  const content: SentFile['content'] = request.body ?? new Uint8Array()
  return uploads.receive(session, { hash, contentType, content })
}

async function receiveForm(uploads: Uploads, session: Session, request: Request): Promise<boolean> {
  const boundary = boundaryOf(request.headers.get('content-type') ?? '')
  const bytes = await readBounded(request, formBytes)
  const parts = boundary === undefined ? undefined : readMultipart(bytes, boundary, bucketFiles)
  if (!parts || parts.length > bucketFiles) {
    throw errors.contentUnreadable(`it is no form of at most ${bucketFiles} files`)
  }
  const isBase64 = new URL(request.url).searchParams.get('base64') === 'true'
  let isLast = false
  for (const part of parts) {
    if (await uploads.receive(session, sentFile(part, isBase64))) isLast = true
  }
  return isLast
}

function sentFile({ name, type, bytes }: Part, isBase64: boolean): SentFile {
  if (!contentHash.safeParse(name).success) throw errors.notInManifest(name.slice(0, 100))
  return {
    hash: name,
    contentType: contentTypeOf(type),
    content: isBase64 ? decoded(name, bytes) : bytes,
  }
}

function decoded(name: string, bytes: Uint8Array): Uint8Array {
  const text = new TextDecoder('latin1').decode(bytes).replaceAll(/[\r\n]/g, '')
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw errors.contentUnreadable(`"${name}" is not Base64`)
  }
  return Buffer.from(text, 'base64')
}

/** What a file is served as: nothing that could not be a header, and nothing for nothing. */
function contentTypeOf(type: string): string | undefined {
  const isUsable = /^[!-~][ -~]*$/.test(type) && type.length <= contentTypeLength
  return isUsable && type !== noContentType ? type : undefined
}

async function readAnnounced(request: Request): Promise<Announced> {
  const bytes = await readBounded(request, manifestJsonBytes)
  let value: unknown
  try {
    value = parseJson(new TextDecoder().decode(bytes))
  } catch (error) {
    throw errors.manifestInvalid(`it is not valid JSON (${messageOf(error)})`)
  }
  const parsed = sessionBody.safeParse(value)
  if (parsed.success) return parsed.data.manifest
  const [issue] = parsed.error.issues
  const path = issue?.path.join('.').slice(0, 200)
  const [why = issue] = issue?.code === 'invalid_key' ? issue.issues : []
  throw errors.manifestInvalid(path ? `${path}: ${why?.message}` : 'it must be an object')
}

async function readBounded(request: Request, limit: number): Promise<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw errors.bodyTooLarge(limit)
  const { bytes } = await gather(request.body ?? [], limit).catch(() => {
    throw errors.contentUnreadable('the body ended early')
  })
  if (!bytes) throw errors.bodyTooLarge(limit)
  return bytes
}
