import { compressedFrom, conditionLength } from './limits.ts'

/** In the order in which they are preferred. */
export const encodings = ['br', 'zstd', 'gzip'] as const
export type Encoding = (typeof encodings)[number]

/**
 * The encoding that `Accept-Encoding` asks for: the one with the highest weight, of equals the one
 * that we prefer. `undefined`: as it is, which is never refused (RFC 9110 §12.5.3 lets us).
 */
export function chooseEncoding(header: string): Encoding | undefined {
  if (header.length > conditionLength) return undefined
  const weights = new Map<string, number>()
  for (const item of header.toLowerCase().split(',')) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim())
    if (coding === '') continue
    const name = coding === 'x-gzip' ? 'gzip' : coding
    const weight = weightOf(parameters)
    // Of a coding that is named twice, the better one.
    weights.set(name, Math.max(weights.get(name) ?? 0, weight))
  }
  const others = weights.get('*') ?? 0
  const identity = weights.get('identity') ?? 0
  let chosen: Encoding | undefined
  let best = 0
  for (const encoding of encodings) {
    const weight = weights.get(encoding) ?? others
    if (weight > best && weight >= identity) [chosen, best] = [encoding, weight]
  }
  return chosen
}

function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const [, digits] = /^q\s*=\s*([\d.]+)$/.exec(parameter) ?? []
    if (digits !== undefined) return Math.min(Number(digits) || 0, 1)
  }
  return 1
}

/** Whether a file gets smaller by compressing it. What is compressed by its nature does not. */
export function isWorthCompressing(contentType: string | undefined, size: number): boolean {
  if (contentType === undefined || size < compressedFrom) return false
  const [type = ''] = contentType.toLowerCase().split(';')
  return compressible.test(type.trim())
}

const compressible =
  /^(?:text\/(?!event-stream).+|.+\+(?:json|xml|text)|application\/(?:json|javascript|ecmascript|x-javascript|xml|wasm|graphql|rtf|sql|toml|yaml|x-yaml|x-sh|x-ndjson|x-httpd-php|vnd\.ms-fontobject|x-font-ttf|x-font-otf|x-font-truetype|x-font-opentype|font-sfnt|vnd\.api\+json)|font\/(?:ttf|otf|sfnt|collection)|image\/(?:bmp|x-ms-bmp|x-icon|vnd\.microsoft\.icon)|model\/(?:obj|stl|gltf\+json))$/
