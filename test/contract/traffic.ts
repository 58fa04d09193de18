import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { isObject, pairs } from './shape.ts'

// Calls of real clients, as they were recorded. `traffic.jsonl` has those of what is served here, in
// their order, with the answers of the server that the clients were content with. Cut out of
// them are tokens (and what was sent with those of asset uploads), bindings of types that are not
// served yet, and migrations. `note` says
// where an answer is not the recorded one, and why: § is of the contract of the control API.

const part = z.union([
  z.strictObject({ name: z.string(), value: z.string() }),
  z.strictObject({
    name: z.string(),
    filename: z.string(),
    type: z.string(),
    /** Absent: code that the recorder cut off, which is `standIn`. */
    text: z.string().optional(),
  }),
])
type Part = z.output<typeof part>

const call = z.strictObject({
  label: z.string(),
  method: z.string(),
  path: z.string(),
  headers: z.record(z.string(), z.string()).default({}),
  json: z.unknown().optional(),
  text: z.string().optional(),
  form: z.array(part).optional(),
})
export type Recorded = z.output<typeof call>

const exchange = call.extend({
  status: z.number(),
  /** How many bytes were answered, if it was no envelope. */
  raw: z.number().optional(),
  answer: z
    .looseObject({ success: z.boolean(), errors: z.array(z.looseObject({ code: z.number() })) })
    .optional(),
  note: z.string().optional(),
})
export type Exchange = z.output<typeof exchange>

export const served: readonly Exchange[] = readLines('traffic.jsonl').map((each) =>
  exchange.parse(each),
)

/** One call for each route of products that are not here yet. */
export const unserved: readonly Recorded[] = readLines('unserved.jsonl').map((each) =>
  call.parse(each),
)

function readLines(name: string): readonly unknown[] {
  const text = readFileSync(new URL(name, import.meta.url), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line))
}

const standIn = `import { WorkerEntrypoint } from 'cloudflare:workers'
export class Named extends WorkerEntrypoint {}
export default { fetch(request, env) { return Response.json(Object.keys(env)) } }`

/** Ids that were recorded, and the ones that stand for them now. */
export class Ids {
  readonly #known = new Map<string, string>()

  constructor(account: string) {
    this.#known.set('ACCOUNT', account)
  }

  /** A text with ids of now in the place of recorded ones. */
  translate(text: string): string {
    return text.replaceAll(
      /ACCOUNT|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{32}\b/g,
      (id) => this.#known.get(id) ?? id,
    )
  }

  /** Learns ids from an answer. Says where one differs from what was learnt before. */
  learn(recorded: unknown, actual: unknown, path = 'result'): readonly string[] {
    if (Array.isArray(recorded) && Array.isArray(actual)) {
      if (recorded.length !== actual.length) {
        // There may be more of them here; the newest is the first.
        return path.endsWith('.deployments') ? this.learn(recorded[0], actual[0], path) : []
      }
      return pairs(recorded, actual).flatMap(([one, other]) => this.learn(one, other, `${path}.*`))
    }
    if (!isObject(recorded) || !isObject(actual)) return []
    return Object.entries(recorded).flatMap(([key, value]) =>
      idKeys.has(key)
        ? this.#learnOne(value, actual[key], `${path}.${key}`)
        : this.learn(value, actual[key], `${path}.${key}`),
    )
  }

  #learnOne(recorded: unknown, actual: unknown, path: string): readonly string[] {
    if (typeof recorded !== 'string' || typeof actual !== 'string') return []
    if (!/^[0-9a-f]{8}-?[0-9a-f-]{24,27}$/.test(recorded)) return []
    const known = this.#known.get(recorded)
    if (known !== undefined) {
      return undashed(known) === undashed(actual) ? [] : [`${path} is ${actual}, not ${known}`]
    }
    this.#known.set(recorded, actual)
    // A deployment's id is its version's, written without dashes.
    if (path.endsWith('.deployment_id')) this.#known.set(dashed(recorded), actual)
    return []
  }
}

const idKeys = new Set(['id', 'tag', 'deployment_id', 'version_id', 'namespace_id'])

function undashed(id: string): string {
  return id.replaceAll('-', '')
}

function dashed(id: string): string {
  return undashed(id).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** The request as it was sent, to somebody else. */
export function requestOf(recorded: Recorded, ids: Ids) {
  const { method, path, headers, json, text, form } = recorded
  const boundary = '----formdata-recorded-0123456789'
  const type = headers['content-type'] === 'multipart/form-data'
  return {
    method,
    path: ids.translate(path),
    headers: {
      ...headers,
      ...(type && { 'content-type': `multipart/form-data; boundary=${boundary}` }),
    },
    // Bytes, because a text would be given a content type.
    ...(text !== undefined && { body: bytesOf(text) }),
    ...(json !== undefined && { body: bytesOf(ids.translate(JSON.stringify(json))) }),
    ...(form && { body: bytesOf(multipart(form, { boundary, ids })) }),
  }
}

function multipart(
  form: readonly Part[],
  { boundary, ids }: { readonly boundary: string; readonly ids: Ids },
): string {
  const parts = form.map((each) => {
    const isFile = 'filename' in each
    const file = isFile ? `; filename="${each.filename}"\r\nContent-Type: ${each.type}` : ''
    const content = isFile ? (each.text ?? standIn) : each.value
    const head = `Content-Disposition: form-data; name="${each.name}"${file}`
    return `--${boundary}\r\n${head}\r\n\r\n${ids.translate(content)}\r\n`
  })
  return `${parts.join('')}--${boundary}--\r\n`
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}
