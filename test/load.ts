import { Agent, request } from 'node:http'

export type LoadResult = {
  readonly sent: number
  /** What was not answered 200, in a few words each. */
  readonly failures: readonly string[]
  /** Every different body, and how often it came. */
  readonly bodies: ReadonlyMap<string, number>
  /** How long the slowest took, from when it was due. */
  readonly longestMs: number
}

/**
 * A steady stream of requests on kept connections, until told to stop: each is sent at its time,
 * whether or not those before it were answered. Bounded by `most`.
 */
export function startLoad(options: {
  readonly port: number
  readonly host: string
  readonly path?: string
  readonly perSecond: number
  /** How many requests there are to one that has a body, and must not be repeated; 0: none has. */
  readonly postEvery?: number
  readonly most?: number
}): { stop(): Promise<LoadResult> } {
  const { port, host, path = '/', perSecond, postEvery = 3, most = 20_000 } = options
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const failures: string[] = []
  const bodies = new Map<string, number>()
  const inFlight = new Set<Promise<void>>()
  const started = performance.now()
  let sent = 0
  let longestMs = 0
  const timer = setInterval(() => {
    const due = Math.min(Math.floor(((performance.now() - started) * perSecond) / 1_000), most)
    for (; sent < due; sent++) {
      const method = postEvery > 0 && sent % postEvery === 0 ? 'POST' : 'GET'
      const dueAt = performance.now()
      const answered = get({ port, path, method, agent, headers: { host } }).then(
        (body) => void bodies.set(body, (bodies.get(body) ?? 0) + 1),
        (error: unknown) => void failures.push(`${method} ${String(error)}`),
      )
      inFlight.add(answered)
      void answered.finally(() => {
        inFlight.delete(answered)
        longestMs = Math.max(longestMs, performance.now() - dueAt)
      })
    }
  }, 5)
  return {
    async stop() {
      clearInterval(timer)
      await Promise.all(inFlight)
      agent.destroy()
      return { sent, failures, bodies, longestMs }
    },
  }
}

function get(options: {
  readonly port: number
  readonly path: string
  readonly method: string
  readonly agent: Agent
  readonly headers: Readonly<Record<string, string>>
}): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', ...options }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => (body += text))
      response.on('error', reject).on('end', () => {
        if (response.statusCode === 200) resolve(body)
        else reject(new Error(`${response.statusCode} ${body.slice(0, 200)}`))
      })
    })
    sent.on('error', reject).setTimeout(30_000, () => sent.destroy(new Error('no answer')))
    sent.end(options.method === 'POST' ? 'body' : undefined)
  })
}
