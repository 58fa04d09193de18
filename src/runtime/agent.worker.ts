// The agent of a cell: the only door for what HTTP to a Worker can't carry. It listens on a socket
// of its own, and is bound to the hidden entrypoint of every Worker, under the names of the slots.

type Hidden = Readonly<Record<string, ((argument: unknown) => Promise<unknown>) | undefined>>

type Call = {
  readonly slot: string
  readonly method: string
  readonly argument?: unknown
}

export default {
  /** Takes `Call[]`, answers with one result each, in order. A health check is an empty list. */
  async fetch(request: Request, env: Readonly<Record<string, Hidden>>): Promise<Response> {
    const calls: Call[] = await request.json()
    const results = await Promise.all(calls.map((call) => run(call, env)))
    return Response.json(results)
  },
}

async function run(call: Call, env: Readonly<Record<string, Hidden>>): Promise<unknown> {
  try {
    // A method of an RPC stub must be called on it: a property read alone is a call already.
    const hidden = env[call.slot]
    if (hidden === undefined) throw new Error(`no slot ${call.slot}`)
    return { ok: true, result: await hidden[call.method]?.(call.argument) }
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}
