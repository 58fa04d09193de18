// Runs the scenarios of `worker.test.ts` in workerd and says how each came out.

type Limiter = { limit(options?: unknown): Promise<unknown> }
type Scenario = (limiter: Limiter) => Promise<unknown>

const asked =
  (options?: unknown): Scenario =>
  (limiter) =>
    limiter.limit(options)

/** What throws is told apart from a promise that is rejected. */
const scenarios: Record<string, Scenario> = {
  'no options': asked(),
  null: asked(null),
  text: asked('key'),
  number: asked(5),
  'unknown keys': asked({ key: 'k', a: 1, b: 2 }),
  'an array': asked(['k']),
  'key number': asked({ key: 5 }),
  'key null': asked({ key: null }),
  'key symbol': asked({ key: Symbol('k') }),
  'limit text': asked({ key: 'k', limit: '5' }),
  'limit null': asked({ key: 'k', limit: null }),
  'period text': asked({ key: 'k', period: '10' }),
  'period 30': asked({ key: 'k', period: 30 }),
  'period NaN': asked({ key: 'k', period: Number.NaN }),
  'key and limit': asked({ key: 5, limit: 'x', period: 1 }),
  'delta text': asked({ key: 'k', delta: 'x' }),
  'delta below 0': asked({ key: 'k', delta: -1 }),
  'delta 0': asked({ key: 'k', delta: 0.5 }),
  'delta large': asked({ key: 'k', delta: 2 ** 32 }),
  'key long': asked({ key: 'k'.repeat(1025) }),
  'no key': asked({}),
  'undefined key': asked({ key: undefined }),
  plain: asked({ key: 'plain' }),
  odd: asked({ key: 'a b+c%20&d=é€😀#?/\u0000\n\'"\\' }),
  surrogate: asked({ key: '\ud800' }),
  'other surrogate': asked({ key: '\udc00' }),
  'replacement character': asked({ key: '\ufffd' }),
  'JSON of a surrogate': asked({ key: '"\\ud800"' }),
  'as long as may be': asked({ key: '€'.repeat(1024) }),
  'as long as may be, of surrogates': asked({ key: '\ud800'.repeat(1024) }),
  all: asked({ key: 'k', limit: 7, period: 60, delta: '3.9' }),
  busy: asked({ key: 'busy' }),
  forbidden: asked({ key: 'forbidden' }),
  broken: asked({ key: 'broken' }),
  'too many': asked({ key: 'too many' }),
  surface: async (limiter) => [typeof limiter, Object.keys(limiter), 'fetcher' in limiter],
}

export default {
  async fetch(request: Request, { B }: { B: Limiter }): Promise<Response> {
    const name = decodeURIComponent(new URL(request.url).pathname.slice(1))
    const run = scenarios[name]
    if (!run) return Response.json(Object.keys(scenarios))
    try {
      const promise = run(B)
      return Response.json(await promise.then((result) => ({ result }), rejected))
    } catch (error) {
      return Response.json({ thrown: String(error) })
    }
  },
}

function rejected(error: unknown): { rejected: string } {
  return { rejected: String(error) }
}
