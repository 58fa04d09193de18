import type { CorsRule } from './settings.ts'

/** What a browser says of a request to another origin. */
export type CorsRequest = {
  readonly origin: string | undefined
  readonly method: string
  /** Of a preflight: the headers that are to be sent, with commas between. */
  readonly headers?: string | undefined
}

/** The headers that let the page at `origin` read an answer; none if no rule does. */
export function corsHeaders(
  rules: readonly CorsRule[],
  { origin, method }: CorsRequest,
): Record<string, string> {
  if (rules.length === 0) return {}
  // Caches must not give one origin's answer to another, whether or not a rule matched.
  const vary = { vary: 'Origin' }
  if (origin === undefined) return vary
  const rule = rules.find((each) => allows(each, origin, method))
  if (!rule) return vary
  const exposed = rule.exposeHeaders ?? []
  return {
    ...vary,
    'access-control-allow-origin': rule.allowed.origins.includes('*') ? '*' : origin,
    ...(exposed.length > 0 && { 'access-control-expose-headers': exposed.join(', ') }),
  }
}

/** The headers of the answer to a preflight; `undefined` if no rule allows what it asks for. */
export function preflightHeaders(
  rules: readonly CorsRule[],
  asked: CorsRequest,
): Record<string, string> | undefined {
  const { origin, method, headers = '' } = asked
  if (origin === undefined) return undefined
  const wanted = headers
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
  const rule = rules.find(
    (each) =>
      allows(each, origin, method) &&
      wanted.every((name) => each.allowed.headers?.some((allowed) => isLike(allowed, name))),
  )
  if (!rule) return undefined
  return {
    ...corsHeaders([rule], asked),
    vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
    'access-control-allow-methods': rule.allowed.methods.join(', '),
    ...(wanted.length > 0 && { 'access-control-allow-headers': wanted.join(', ') }),
    ...(rule.maxAgeSeconds !== undefined && { 'access-control-max-age': `${rule.maxAgeSeconds}` }),
  }
}

function allows({ allowed }: CorsRule, origin: string, method: string): boolean {
  return (
    allowed.methods.some((each) => each === method) &&
    allowed.origins.some((each) => isLike(each, origin))
  )
}

/** Whether a text is what a rule says, in which one `*` stands for anything. */
function isLike(pattern: string, text: string): boolean {
  const [start = '', end, ...more] = pattern.toLowerCase().split('*')
  const lower = text.toLowerCase()
  if (end === undefined || more.length > 0) return lower === pattern.toLowerCase()
  return lower.length >= start.length + end.length && lower.startsWith(start) && lower.endsWith(end)
}
