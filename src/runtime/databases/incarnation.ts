import { mkdir } from 'node:fs/promises'
import type { AccountId } from '#contract/ids.ts'
import type { Timeline } from '#contract/ports/history.ts'
import { WorkerdProcess } from '#runtime/process.ts'
import { cellFolder, socketPath } from '#runtime/slots.ts'
import { writeEngineConfig } from './config.ts'
import type { DatabaseContext } from './host-options.ts'
import { streamEndMs } from './limits.ts'
import { BrokenError, Line, type Post } from './line.ts'
import { diskOf, folderOf, giveToOwner, type PlacedFile } from './paths.ts'

/**
 * Why a process ended. `crowded`: it kept calls of other files waiting for too long. `broken`: an object
 * of it broke, as one does whose statement threw away a transaction that is workerd's.
 */
export type EndReason = 'timeout' | 'crowded' | 'memory' | 'crash' | 'broken' | 'stopped'

/** The process that a call was sent to has ended. */
export class EndedError extends Error {
  override readonly name = 'EndedError'
  readonly reason: EndReason
  /** The object that it ended because of, as far as that is known. */
  readonly culprit: string | undefined
  constructor(reason: EndReason, culprit: string | undefined, cause?: unknown) {
    super(`the process ended: ${reason}`, { cause })
    this.reason = reason
    this.culprit = culprit
  }
}

/** A file in a process that may open it. For as long as it is not disposed of, the process is not idle. */
export type Seat = Disposable & { readonly incarnation: Incarnation; readonly timeline: Timeline }

const lookMs = 50

/** One process of a database cell, and the histories of the files that it has open. */
export class Incarnation {
  readonly #context: DatabaseContext
  readonly #process: WorkerdProcess
  readonly #line: Line
  readonly #timelines = new Map<string, Promise<Timeline>>()
  readonly #watch: Disposable
  #seats = 0
  #looking: NodeJS.Timeout | undefined
  #end: { readonly reason: EndReason; readonly culprit: string | undefined } | undefined
  /** Resolves when the process is gone, and nobody has its files open any more. */
  readonly closed: Promise<void>

  private constructor(context: DatabaseContext, started: WorkerdProcess, socket: string) {
    this.#context = context
    this.#process = started
    this.#line = new Line(socket)
    this.#watch = context.watchdog.watch({
      usage: () => started.usage(),
      ping: () => started.ping(),
      answered: () => this.#line.answered,
      cpuLimitMs: () => Infinity,
      memoryLimitBytes: context.limits.processBytes,
      exceeded: () => this.kill('memory', this.#busyWith()?.object),
    })
    this.closed = this.#close()
  }

  /** Starts a process. Throws a `StartError`. */
  static async start(context: DatabaseContext, account: AccountId): Promise<Incarnation> {
    const { random, product, path } = context
    const id = random.hex(6)
    const folder = cellFolder(context.runDirectory, id)
    const socket = socketPath(folder, 'a')
    const diskPath = diskOf(path, account)
    const files = folderOf(path, account, product)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const started = await WorkerdProcess.start({
      ...context,
      config: writeEngineConfig({
        source: context.engine,
        product,
        diskPath,
        socketPath: socket,
        fileBytes: context.limits.fileBytes,
      }),
      agentSocket: socket,
      folder,
      sockets: [socket],
      jail: await context.jail(),
      account,
      objects: [],
      shared: [files],
      // Where large sorts and new indexes are prepared: a jail's own /tmp is small, and in memory.
      environment: { SQLITE_TMPDIR: files },
      experimental: true,
      limits: { memoryBytes: 2 * context.limits.processBytes, atLimit: 'pause' },
      signal: context.closing,
      log: context.log.child({ cell: id, account }),
    })
    return new Incarnation(context, started, socket)
  }

  get isGone(): boolean {
    return this.#end !== undefined || this.#process.isGone
  }

  /** Whether nothing is in flight, nor being taken into a history. */
  get isIdle(): boolean {
    return this.#seats === 0
  }

  /** Why it ended, if it did. */
  get reason(): EndReason {
    return this.#end?.reason ?? 'crash'
  }

  get openFiles(): number {
    return this.#timelines.size
  }

  get pid(): number {
    return this.#process.pid
  }

  /** What it uses, as far as the system says. */
  get usage(): { readonly memoryBytes?: number; readonly cpuMs?: number } {
    const usage = this.#process.usage()
    return usage ? { memoryBytes: usage.memoryBytes, cpuMs: Math.round(usage.cpuMs) } : {}
  }

  /** How many posts it has answered. */
  get answered(): number {
    return this.#line.answered
  }

  /** The history of a file that is this process' to open. The first to ask opens it. */
  timeline(file: PlacedFile): Promise<Timeline> {
    const { product, path, history } = this.#context
    const { object } = file
    const known = this.#timelines.get(object)
    if (known) return known
    const folder = folderOf(path, file.account, product)
    const place = `${folder}/${object}.sqlite`
    const opened = history.open({ ...file, path: place }).then(async (timeline) => {
      // It may have been put back from its history, by us.
      await giveToOwner(folder, place)
      return timeline
    })
    this.#timelines.set(object, opened)
    void opened.catch(() => this.#timelines.delete(object))
    return opened
  }

  /** Has somebody use a file of a process that is not gone. */
  seat(timeline: Timeline): Seat {
    this.#seats += 1
    return { incarnation: this, timeline, [Symbol.dispose]: () => void (this.#seats -= 1) }
  }

  /** Lets go of a file that is called no more. */
  async forget({ object }: PlacedFile): Promise<void> {
    const timeline = this.#timelines.get(object)
    this.#timelines.delete(object)
    await (await timeline)?.[Symbol.asyncDispose]()
  }

  /** Has the engine take calls, in the time that a call may take. Throws an `EndedError`. */
  async post({ object }: PlacedFile, body: Uint8Array): Promise<Uint8Array> {
    const limit = setTimeout(() => this.kill('timeout', object), this.#context.limits.callMs)
    this.#looking ??= setInterval(() => this.#look(), lookMs).unref()
    try {
      return await this.#reached(object, this.#line.post(object, body))
    } finally {
      clearTimeout(limit)
      this.#rest()
    }
  }

  /** Has the engine take a stream, which goes on for as long as pieces are taken. */
  async stream({ object }: PlacedFile, source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    const { callMs } = this.#context.limits
    const late = (): void => this.kill('timeout', object)
    let limit = setTimeout(late, callMs)
    const extend = (milliseconds: number): void => {
      clearTimeout(limit)
      limit = setTimeout(late, milliseconds)
    }
    async function* watched(): AsyncIterable<Uint8Array> {
      yield* source
      extend(Math.max(streamEndMs, callMs))
    }
    try {
      const moved = (): void => extend(callMs)
      return await this.#reached(object, this.#line.stream(object, watched(), moved))
    } finally {
      clearTimeout(limit)
      this.#rest()
    }
  }

  kill(reason: EndReason, culprit?: string): void {
    if (this.isGone) return
    this.#end = { reason, culprit }
    this.#process.kill()
  }

  /**
   * Ends it, once the histories of its files are on disk. One that closes a file removes its log, so
   * only what is idle may: a log that was not read, or whose history is not on disk, is needed.
   */
  async stop(graceMs: number): Promise<void> {
    const isIdle = this.isIdle
    this.#end ??= { reason: 'stopped', culprit: undefined }
    const isSynced = isIdle && (await this.#syncAll())
    if (isSynced) await this.#process.stop(graceMs)
    else this.#process.kill()
    await this.closed
  }

  /** Ends it because of what became of a file: it is opened anew. Throws an `EndedError`. */
  async abandon({ object }: PlacedFile, cause: unknown): Promise<never> {
    this.kill('crash', object)
    await this.closed
    throw this.#endedError(cause)
  }

  /** A connection that breaks is a process that ends: says why once that is known. */
  async #reached(object: string, answer: Promise<Uint8Array>): Promise<Uint8Array> {
    try {
      return await answer
    } catch (error) {
      // It may be gone a moment later than its connections.
      const isAlive = error instanceof BrokenError
      const hasEnded = !isAlive && (await Promise.race([this.#process.exited, soon()])) !== ''
      // An object that broke has closed its file, or will: what is there can be told once nobody has it.
      if (!hasEnded) this.kill('broken', object)
      await this.closed
      throw this.#endedError(error)
    }
  }

  #endedError(cause: unknown): EndedError {
    return new EndedError(this.reason, this.#end?.culprit, cause)
  }

  async #close(): Promise<void> {
    await this.#process.exited
    this.#watch[Symbol.dispose]()
    clearInterval(this.#looking)
    this.#line[Symbol.dispose]()
    const opened = [...this.#timelines.values()]
    this.#timelines.clear()
    // One that could not be opened, or can't be closed well, is made good when it is opened next.
    await Promise.allSettled(
      opened.map(async (timeline) => (await timeline)[Symbol.asyncDispose]()),
    )
  }

  /** Whether all of it is on disk. */
  async #syncAll(): Promise<boolean> {
    const synced = await Promise.allSettled(
      [...this.#timelines.values()].map(async (opened) => (await opened).sync()),
    )
    return synced.every(({ status }) => status === 'fulfilled')
  }

  #rest(): void {
    if (!this.#line.isIdle) return
    clearInterval(this.#looking)
    this.#looking = undefined
  }

  /** Whether calls of other files wait for one that goes on and on. */
  #look(): void {
    const busy = this.#busyWith()
    if (!busy) return
    const now = performance.now()
    const { crowdedMs } = this.#context.limits
    const since = Math.max(busy.sentAt, this.#line.answeredAt)
    if (now - since < crowdedMs) return
    for (const { object, sentAt } of this.#line.posts) {
      if (object !== busy.object && now - sentAt >= crowdedMs) {
        return this.kill('crowded', busy.object)
      }
    }
  }

  /**
   * What its thread is at: it takes what comes in turn. While a stream goes on that is not known, and
   * to end it would undo all of it.
   */
  #busyWith(): Post | undefined {
    for (const post of this.#line.posts) return post.isStream ? undefined : post
    return undefined
  }
}

function soon(): Promise<''> {
  return new Promise((resolve) => void setTimeout(() => resolve(''), 500))
}
