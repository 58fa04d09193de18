import { mkdir } from 'node:fs/promises'
import type { AccountId } from '#contract/ids.ts'
import type { Timeline } from '#contract/ports/history.ts'
import { WorkerdProcess } from '#runtime/process.ts'
import { cellFolder, socketPath } from '#runtime/slots.ts'
import { writeEngineConfig } from './config.ts'
import type { DatabaseContext } from './host-options.ts'
import { streamEndMs } from './limits.ts'
import { Line, type Post } from './line.ts'
import { diskOf, folderOf, giveToOwner, type PlacedFile } from './paths.ts'

/** Why a process ended. `crowded`: it kept calls of other files waiting for too long. */
export type EndReason = 'timeout' | 'crowded' | 'memory' | 'crash' | 'stopped'

/** The process that a call was sent to has ended. */
export class EndedError extends Error {
  override readonly name = 'EndedError'
  readonly reason: EndReason
  /** The object that it ended because of, as far as that is known. */
  readonly culprit: string | undefined
  constructor(reason: EndReason, culprit: string | undefined) {
    super(`the process ended: ${reason}`)
    this.reason = reason
    this.culprit = culprit
  }
}

const lookMs = 50

/** One process of a database cell, and the histories of the files that it has open. */
export class Incarnation {
  readonly #context: DatabaseContext
  readonly #process: WorkerdProcess
  readonly #line: Line
  readonly #timelines = new Map<string, Promise<Timeline>>()
  readonly #watch: Disposable
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
      shared: [folderOf(path, account, product)],
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

  /** Why it ended, if it has. */
  get reason(): EndReason {
    return this.#end?.reason ?? 'crash'
  }

  get isIdle(): boolean {
    return this.#line.isIdle
  }

  get openFiles(): number {
    return this.#timelines.size
  }

  get pid(): number {
    return this.#process.pid
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
      return await this.#reached(this.#line.post(object, body))
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
      return await this.#reached(this.#line.stream(object, watched(), () => extend(callMs)))
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

  /** Ends it, once the histories of its files are on disk. The caller sends nothing more. */
  async stop(graceMs: number): Promise<void> {
    this.#end ??= { reason: 'stopped', culprit: undefined }
    await this.#syncAll()
    await this.#process.stop(graceMs)
    await this.closed
  }

  /** A connection that breaks is a process that ends: says why once that is known. */
  async #reached(answer: Promise<Uint8Array>): Promise<Uint8Array> {
    try {
      return await answer
    } catch (error) {
      const isBroken = error instanceof Error && error.name === 'BrokenError'
      if (isBroken && !this.isGone) throw error
      // It may be gone a moment later than its connections.
      const wasKilled = await Promise.race([this.#process.exited.then(() => true), soon()])
      if (!wasKilled) this.kill('crash')
      await this.closed
      const { reason, culprit } = this.#end ?? { reason: 'crash', culprit: undefined }
      throw new EndedError(reason, culprit)
    }
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

  async #syncAll(): Promise<void> {
    for (const opened of this.#timelines.values())
      await (await opened.catch(() => undefined))?.sync()
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

function soon(): Promise<false> {
  return new Promise((resolve) => void setTimeout(() => resolve(false), 500))
}
