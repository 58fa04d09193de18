// Runs the scenarios of `worker.test.ts` in workerd and says how each came out.

type Secret = { get(...given: readonly unknown[]): Promise<unknown> }
type Scenario = (secret: Secret) => unknown

const scenarios: Record<string, Scenario> = {
  get: (secret) => secret.get(),
  'get with arguments': (secret) => secret.get('other', { store: 'other' }),
  'twice at once': (secret) => Promise.all([secret.get(), secret.get()]),
  'a promise, whatever it comes to': (secret) => {
    const promise = secret.get()
    promise.catch(() => undefined)
    return promise instanceof Promise
  },
  surface: (secret) => [
    typeof secret,
    ''.concat(secret as never),
    Object.keys(secret),
    'fetcher' in secret,
    'fetch' in secret,
    typeof secret.get,
    secret.get.length,
  ],
}

export default {
  async fetch(request: Request, { B }: { B: Secret }): Promise<Response> {
    const run = scenarios[decodeURIComponent(new URL(request.url).pathname.slice(1))]
    if (!run) return Response.json(Object.keys(scenarios))
    try {
      return Response.json({ result: await run(B) })
    } catch (error) {
      return Response.json({ rejected: String(error) })
    }
  },
}
