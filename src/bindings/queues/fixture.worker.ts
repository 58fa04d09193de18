// Runs the scenarios of `worker.test.ts` in workerd and says how each came out. What was stored the
// test looks at itself.

type Scenario = (queue: Queue) => Promise<unknown>

const bytes = (length: number): Uint8Array => new Uint8Array(length)
const raw = { contentType: 'bytes' } as const

const scenarios: Record<string, Scenario> = {
  metrics: async (queue) => shape(await queue.metrics()),
  json: async (queue) => shape((await queue.send({ a: [1, null] })).metadata.metrics),
  text: (queue) => queue.send('grüße', { contentType: 'text' }),
  bytes: (queue) => queue.send(Uint8Array.of(0, 255), raw),
  v8: (queue) => queue.send(new Map([['a', 1]]), { contentType: 'v8' }),
  delayed: (queue) => queue.send('d', { contentType: 'text', delaySeconds: 60 }),
  'at once': (queue) => queue.send('n', { contentType: 'text', delaySeconds: 0 }),
  'not quite JSON': (queue) => queue.send(() => 1),
  batch: async (queue) => {
    const sent = await queue.sendBatch(
      [
        { body: { b: 1 } },
        { body: 'b2', contentType: 'text', delaySeconds: 5 },
        { body: Uint8Array.of(1), contentType: 'bytes', delaySeconds: 0 },
      ],
      { delaySeconds: 20 },
    )
    return shape(sent.metadata.metrics)
  },
  'no body': (queue) => queue.send(undefined),
  'text of a number': (queue) => queue.send(5, { contentType: 'text' }),
  'unknown format': (queue) => queue.send('x', { contentType: 'zz' as never }),
  'empty batch': (queue) => queue.sendBatch([]),
  'as long as may be': (queue) => queue.send(bytes(128_000), raw).then(() => 'sent'),
  'too long': (queue) => queue.send(bytes(128_001), raw),
  'much too long': (queue) => queue.send(bytes(20_000_000), raw),
  'as many as may be': (queue) =>
    queue.sendBatch(Array.from({ length: 100 }, () => ({ body: 1 }))).then(() => 'sent'),
  'too many': (queue) => queue.sendBatch(Array.from({ length: 101 }, () => ({ body: 1 }))),
  'one too long': (queue) => queue.sendBatch([{ body: bytes(128_001), ...raw }, { body: 1 }]),
  'as much as may be': (queue) =>
    queue
      .sendBatch([
        { body: bytes(128_000), ...raw },
        { body: bytes(128_000), ...raw },
      ])
      .then(() => 'sent'),
  'too much': (queue) =>
    queue.sendBatch([
      { body: bytes(128_000), ...raw },
      { body: bytes(128_000), ...raw },
      { body: bytes(1), ...raw },
    ]),
  'much too much': (queue) =>
    queue.sendBatch(Array.from({ length: 90 }, () => ({ body: bytes(120_000), ...raw }))),
  'negative delay': (queue) => queue.send(1, { delaySeconds: -1 }),
  'a day of delay': (queue) => queue.send(1, { delaySeconds: 86_400 }).then(() => 'sent'),
  'more than a day of delay': (queue) => queue.send(1, { delaySeconds: 86_401 }),
  'more than a day of delay, for a batch': (queue) =>
    queue.sendBatch([{ body: 1 }], { delaySeconds: 86_401 }),
  'more than a day of delay, in a batch': (queue) =>
    queue.sendBatch([{ body: 1, delaySeconds: 86_401 }]),
  'after errors': (queue) => queue.send(1).then(() => 'sent'),
}

/** What there is of it, and of which type. */
function shape({ backlogCount, backlogBytes, oldestMessageTimestamp }: QueueMetrics): unknown {
  const oldest = oldestMessageTimestamp instanceof Date ? 'Date' : typeof oldestMessageTimestamp
  return [backlogCount, backlogBytes, oldest]
}

export default {
  async fetch(request: Request, env: { readonly B: Queue }): Promise<Response> {
    const scenario = scenarios[decodeURIComponent(new URL(request.url).pathname.slice(1))]
    if (!scenario) return Response.json(Object.keys(scenarios))
    try {
      return Response.json({ result: (await scenario(env.B)) ?? null })
    } catch (error) {
      return Response.json({ error: String(error) })
    }
  },
}
