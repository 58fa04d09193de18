import { Worker } from 'node:worker_threads'
import type { AlarmMessage, AnswerMessage, TaskMessage } from './messages.ts'

type Waiting = {
  readonly resolve: (alarms: readonly AlarmMessage[]) => void
  readonly reject: (error: Error) => void
}

/** The thread that works on databases: one after the other. Started when it is needed. */
export class Databases implements AsyncDisposable {
  #thread: Worker | undefined
  #waiting: Waiting[] = []

  /** Does a task. Rejects with SQLite's words. */
  run(task: TaskMessage): Promise<readonly AlarmMessage[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      const thread = (this.#thread ??= this.#start())
      // Who waits for a task keeps the process; a thread that idles does not.
      thread.ref()
      thread.postMessage(task)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread?.terminate()
  }

  #start(): Worker {
    const thread = new Worker(new URL('./thread.ts', import.meta.url), {
      // Flags that were meant for the main script (`--eval`, `--test`) would stop a thread.
      execArgv: [],
    })
    thread.on('message', (answer: AnswerMessage) => {
      const next = this.#waiting.shift()
      if (answer.ok) next?.resolve(answer.alarms)
      else next?.reject(new Error(answer.message))
      if (this.#waiting.length === 0) thread.unref()
    })
    thread.on('error', (error) => this.#lose(thread, error))
    thread.on('exit', () => this.#lose(thread, new Error('the thread for databases ended')))
    return thread
  }

  #lose(thread: Worker, reason: unknown): void {
    if (this.#thread !== thread) return
    this.#thread = undefined
    const error = reason instanceof Error ? reason : new Error(String(reason))
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
