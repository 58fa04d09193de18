import type { Duplex } from 'node:stream'

/** Two connections that are one. */
export type Joint = {
  /** Resolves when one of them is closed, and so is the other, or when they were released. */
  readonly done: Promise<void>
  /** Parts them: from now on each is its holder's. */
  release(): void
}

/** Joins two connections, with backpressure; each direction ends by itself, as in TCP. */
export function splice(one: Duplex, other: Duplex): Joint {
  const { promise: done, resolve } = Promise.withResolvers<void>()
  const stops = [follow(one, other, resolve), follow(other, one, resolve)]
  one.pipe(other)
  other.pipe(one)
  return {
    done,
    release() {
      for (const stop of stops) stop()
      one.unpipe(other)
      other.unpipe(one)
      resolve()
    },
  }
}

/** Has `other` end as `end` did, until it is stopped. */
function follow(end: Duplex, other: Duplex, done: () => void): () => void {
  const closed = (): void => {
    // What was read to its end is still to be written: `pipe` has ended the other behind it.
    if (!end.readableEnded || !end.writableFinished) other.destroy()
    done()
  }
  const failed = (): void => void other.destroy()
  end.once('close', closed).on('error', failed)
  if (end.destroyed) closed()
  return () => void end.off('close', closed).off('error', failed)
}
