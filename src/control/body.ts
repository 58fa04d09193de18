import type { z } from 'zod'
import { uploadUnreadable, scriptTooLarge } from '#deploy/errors.ts'
import { parseJson } from '#deploy/json-text.ts'
import { uploadBytes } from '#deploy/limits.ts'
import { reasonOf } from '#deploy/metadata.ts'
import type { Part } from '#deploy/upload.ts'
import { bodyInvalid, bodyTooLarge } from './errors.ts'
import { jsonBytes } from './limits.ts'

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
  } catch {
    throw bodyInvalid('it is not valid JSON')
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
  const type = formTypeOf(request, bytes)
  if (type === undefined) return bareScript(bytes)
  let form: FormData
  try {
    form = await new Response(bytes, { headers: { 'content-type': type } }).formData()
  } catch {
    throw uploadUnreadable('it is not a valid multipart form')
  }
  const parts: Part[] = []
  for (const [name, value] of form) {
    parts.push(
      typeof value === 'string'
        ? { name, type: '', bytes: new TextEncoder().encode(value) }
        : {
            name,
            filename: value.name,
            type: value.type,
            bytes: new Uint8Array(await value.arrayBuffer()),
          },
    )
  }
  return parts
}

/** The content type to read a body as; nothing if it is no form. */
function formTypeOf(request: Request, bytes: Uint8Array): string | undefined {
  const declared = request.headers.get('content-type') ?? ''
  if (/^multipart\/form-data\b/i.test(declared)) return declared
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 300))
  const boundary = /^--([^\r\n]{1,70})\r\ncontent-disposition: form-data/i.exec(head)?.[1]
  if (boundary !== undefined) return `multipart/form-data; boundary="${boundary}"`
  if (/^(application|text)\/javascript\b/i.test(declared)) return undefined
  throw uploadUnreadable('it is neither a multipart form nor JavaScript')
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
): Promise<Uint8Array<ArrayBuffer>> {
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge()
  const chunks: Uint8Array[] = []
  let size = 0
  if (request.body) {
    for await (const chunk of request.body) {
      size += chunk.byteLength
      if (size > limit) throw tooLarge()
      chunks.push(chunk)
    }
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}
