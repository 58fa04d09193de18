import type { z } from 'zod'
import { messageOf } from '#contract/errors.ts'
import { gather } from '#contract/gather.ts'
import { parseJson } from '#contract/json-text.ts'
import { boundaryOf, type Part, readMultipart } from '#contract/multipart.ts'
import { uploadUnreadable, scriptTooLarge } from '#deploy/errors.ts'
import { uploadBytes, uploadParts } from '#deploy/limits.ts'
import { reasonOf } from '#deploy/metadata.ts'
import { bodyInvalid, bodyTooLarge } from './errors.ts'
import { discardedBytes, jsonBytes } from './limits.ts'

// Bodies of requests. Each is read up to its limit and not a byte further.

/** Reads a JSON body, whatever its content type says. An empty one is `{}`. */
export async function readJson<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  limit = jsonBytes,
): Promise<z.output<Schema>> {
  const bytes = await readBounded(request, limit, () => bodyTooLarge(limit))
  const text = new TextDecoder().decode(bytes)
  return parseBody(text.trim() === '' ? '{}' : text, schema)
}

/** Reads JSON that came as text. */
export function parseBody<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
): z.output<Schema> {
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    throw bodyInvalid(`it is not valid JSON (${messageOf(error)})`)
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw bodyInvalid(reasonOf(parsed.error))
  return parsed.data
}

/**
 * Reads an upload form. Version 7 of the SDK sends one under another content type, so the body is
 * looked at as well. A bare script is the oldest form of all: a service worker without metadata.
 */
export async function readForm(request: Request): Promise<readonly Part[]> {
  const bytes = await readBounded(request, uploadBytes, scriptTooLarge)
  const type = request.headers.get('content-type') ?? ''
  const isForm = /^multipart\/form-data\b/i.test(type)
  const boundary = isForm ? boundaryOf(type) : boundaryIn(bytes)
  if (!isForm && boundary === undefined) {
    if (/^(application|text)\/javascript\b/i.test(type)) return bareScript(bytes)
    throw uploadUnreadable('it is neither a multipart form nor JavaScript')
  }
  if (boundary === undefined) throw uploadUnreadable('its content type names no boundary')
  const parts = readMultipart(bytes, boundary, uploadParts)
  if (!parts) throw uploadUnreadable('it is not a valid multipart form')
  return parts
}

/** The boundary of a form that does not say it is one. */
function boundaryIn(bytes: Uint8Array): string | undefined {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 300))
  return /^--([^\r\n]{1,70})\r\ncontent-disposition: form-data/i.exec(head)?.[1]
}

function bareScript(bytes: Uint8Array): readonly Part[] {
  const metadata = new TextEncoder().encode('{"body_part":"script"}')
  return [
    { name: 'metadata', type: 'application/json', bytes: metadata },
    { name: 'script', filename: 'script', type: 'application/javascript', bytes },
  ]
}

async function readBounded(
  request: Request,
  limit: number,
  tooLarge: () => Error,
): Promise<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge()
  const { bytes } = await gather(request.body ?? [], limit, discardedBytes).catch(() => {
    throw bodyInvalid('it ended early')
  })
  if (!bytes) throw tooLarge()
  return bytes
}
