import type { BackendHandler, BackendReply, Grant } from '#contract/backend.ts'
import type { GuestPort } from '#contract/guests.ts'
import * as limits from './limits.ts'

/** 429 is the backplane's own, for who makes too many calls of any kind. */
const roomy: BackendReply = { status: 200 }
const full: BackendReply = { status: 507 }
const misspelt: BackendReply = { status: 400 }
const tooMany: BackendReply = { status: 503 }

/**
 * Answers `shim.worker.ts`. `/load`: whether the process has room for one more Worker (200), or some
 * are to go first (507). `/call?MS`: a Worker is about to be called that may use so much CPU time; the
 * limit holds from the head of the answer on, until whoever asked has let go of its body.
 */
export function serveWorkerLoader(guests: Promise<GuestPort>, { cell }: Grant): BackendHandler {
  let calls = 0
  return async ({ url }) => {
    const port = await guests
    if (url === '/load') return (port.fullness(cell) ?? 0) > limits.fullness ? full : roomy
    const [, digits] = /^\/call\?(\d{1,9})$/.exec(url) ?? []
    if (digits === undefined) return misspelt
    if (calls >= limits.limitedCalls) return tooMany
    calls += 1
    const limit = port.limitCpu(cell, Math.min(Number(digits), limits.longestCpuMs))
    return held(() => {
      calls -= 1
      limit[Symbol.dispose]()
    })
  }
}

/** An answer without an end: its caller goes away when the call is over, or dies in it. */
function held(over: () => void): BackendReply {
  const { promise: gone, resolve } = Promise.withResolvers<void>()
  async function* body(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array([0x0a])
    await gone
  }
  return {
    status: 200,
    body: body(),
    ended() {
      over()
      resolve()
    },
  }
}
