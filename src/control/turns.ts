import { tooManyCalls } from './errors.ts'
import { callsWaiting } from './limits.ts'

/** Runs tasks with the same key one after the other, and others side by side. */
export class Turns {
  readonly #queues = new Map<string, { last: Promise<unknown>; length: number }>()

  /** Waits for those before it. Throws `tooManyCalls` where too many wait. */
  async take<Value>(key: string, task: () => Promise<Value>): Promise<Value> {
    const queue = this.#queues.get(key) ?? { last: Promise.resolve(), length: 0 }
    if (queue.length >= callsWaiting) throw tooManyCalls()
    this.#queues.set(key, queue)
    queue.length += 1
    const mine = queue.last.then(task)
    queue.last = mine.catch(() => undefined)
    try {
      return await mine
    } finally {
      queue.length -= 1
      if (queue.length === 0) this.#queues.delete(key)
    }
  }

  /** Resolves when nothing is running or waiting. */
  async idle(): Promise<void> {
    await Promise.all([...this.#queues.values()].map(({ last }) => last))
  }
}
