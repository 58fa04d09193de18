import { joinFrames, splitFrames } from '#contract/engine.ts'
import { messageOf } from '#contract/errors.ts'
import {
  DatabaseError,
  type DatabaseFailure,
  type DatabaseReply,
} from '#contract/ports/databases.ts'
import { HistoryError } from '#contract/ports/history.ts'
import type { AccountCells } from './account.ts'
import type { DatabaseCell, Seat } from './cell.ts'
import type { DatabaseContext } from './host-options.ts'
import { EndedError, type EndReason, type Incarnation } from './incarnation.ts'
import { groupBytes, groupCalls, queuedBytes, repeats } from './limits.ts'
import { BrokenError } from './line.ts'
import type { PlacedFile } from './paths.ts'

/** A call that waits. */
type Call = {
  readonly type: 'call'
  readonly bytes: Uint8Array
  readonly since: number
  readonly resolve: (reply: DatabaseReply) => void
  readonly reject: (error: unknown) => void
  /** How often a process ended that had it, and could not do it. */
  deaths: number
}

/** Something that is done while nothing else is. */
type Turn = {
  readonly type: 'turn'
  readonly run: (seat: Seat) => Promise<void>
  readonly reject: (error: unknown) => void
}

const nothing = new Uint8Array()

/**
 * One file as it is called: one thing after the other, and calls that wait together. What a process
 * did that died is told by the file's history: where no commit was added, nothing of it was done.
 */
export class OpenFile {
  readonly #context: DatabaseContext
  readonly #cells: AccountCells
  readonly #file: PlacedFile
  #queue: (Call | Turn)[] = []
  #queuedBytes = 0
  #running: Promise<void> | undefined
  #lastSeat: { readonly cell: DatabaseCell; readonly incarnation: Incarnation } | undefined

  constructor(context: DatabaseContext, cells: AccountCells, file: PlacedFile) {
    this.#context = context
    this.#cells = cells
    this.#file = file
  }

  call(bytes: Uint8Array): Promise<DatabaseReply> {
    const { queuedCalls } = this.#context.limits
    const isFull = this.#queuedBytes + bytes.byteLength > queuedBytes && this.#queue.length > 0
    if (this.#queue.length >= queuedCalls || isFull) {
      return Promise.reject(new DatabaseError('queue-full', true))
    }
    return new Promise((resolve, reject) => {
      const since = performance.now()
      this.#queue.push({ type: 'call', bytes, since, resolve, reject, deaths: 0 })
      this.#queuedBytes += bytes.byteLength
      this.#run()
    })
  }

  async stream(source: AsyncIterable<Uint8Array>): Promise<DatabaseReply> {
    return this.#turn(async ({ incarnation, timeline }) => {
      const reply = await incarnation.stream(this.#file, source)
      return { reply, bookmark: await timeline.catchUp() }
    })
  }

  bookmark(): Promise<string> {
    return this.#turn(({ incarnation, timeline }) => this.#touch(incarnation, timeline))
  }

  verify(): Promise<string | undefined> {
    return this.#turn(async ({ incarnation, timeline }) => {
      await this.#touch(incarnation, timeline)
      return timeline.verify()
    })
  }

  /** Resolves when nothing of it is open for us, and nothing waits. Nothing is called meanwhile or after. */
  async close(): Promise<void> {
    await this.idle()
    const seat = this.#lastSeat
    if (seat && !seat.incarnation.isGone) await seat.incarnation.forget(this.#file)
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
  }

  /** Sees to it that the file is there, and that its history is up to date. */
  async #touch(incarnation: Incarnation, timeline: Seat['timeline']): Promise<string> {
    await incarnation.post(this.#file, nothing)
    return timeline.catchUp()
  }

  #turn<Result>(run: (seat: Seat) => Promise<Result>): Promise<Result> {
    const { queuedCalls } = this.#context.limits
    if (this.#queue.length >= queuedCalls) {
      return Promise.reject(new DatabaseError('queue-full', true))
    }
    return new Promise((resolve, reject) => {
      const once = async (seat: Seat): Promise<void> => resolve(await run(seat))
      this.#queue.push({ type: 'turn', run: once, reject })
      this.#run()
    })
  }

  #run(): void {
    this.#running ??= this.#runAll()
  }

  async #runAll(): Promise<void> {
    for (;;) {
      const first = this.#queue[0]
      if (!first) {
        // In this very turn: who comes later begins anew.
        this.#running = undefined
        return
      }
      if (first.type === 'turn') await this.#runTurn(first)
      else await this.#runGroup(this.#takeGroup())
    }
  }

  async #runTurn(turn: Turn): Promise<void> {
    this.#queue.shift()
    try {
      await turn.run(await this.#seat())
    } catch (error) {
      turn.reject(this.#failure(error))
    }
  }

  async #runGroup(group: readonly Call[]): Promise<void> {
    if (group.length === 0) return
    let seat: Seat | undefined
    let before = ''
    try {
      seat = await this.#seat()
      before = await seat.timeline.catchUp()
      const body = joinFrames(group.map(({ bytes }) => bytes))
      const replies = splitFrames(await seat.incarnation.post(this.#file, body))
      const bookmark = await seat.timeline.catchUp()
      if (replies.length === 0) throw new BrokenError('the engine took nothing')
      group.forEach((call, index) => {
        const reply = replies[index]
        if (reply) call.resolve({ reply, bookmark })
      })
      this.#putBack(group.slice(replies.length))
    } catch (error) {
      const isUndone = error instanceof EndedError || error instanceof BrokenError
      if (seat && isUndone) await this.#afterDeath(group, before, error)
      else for (const { reject } of group) reject(this.#failure(error))
    }
  }

  /** Calls from the front of the line that may travel together. Those that nobody waits for are gone. */
  #takeGroup(): readonly Call[] {
    const group: Call[] = []
    let size = 0
    for (;;) {
      const next = this.#queue[0]
      if (next?.type !== 'call') break
      const isSuspect = next.deaths > 0
      const isFull = size + next.bytes.byteLength > groupBytes || group.length >= groupCalls
      if (group.length > 0 && (isFull || isSuspect)) break
      this.#queue.shift()
      this.#queuedBytes -= next.bytes.byteLength
      if (performance.now() - next.since > this.#context.limits.queueMs && next.deaths === 0) {
        next.reject(new DatabaseError('queued-too-long', true))
        continue
      }
      group.push(next)
      size += next.bytes.byteLength
      if (isSuspect) break
    }
    return group
  }

  #putBack(calls: readonly Call[]): void {
    this.#queue.unshift(...calls)
    for (const { bytes } of calls) this.#queuedBytes += bytes.byteLength
  }

  /**
   * The process ended, or the object broke, before it answered. Whether the commit was made is on disk;
   * if not, each call is made again by itself: the one that did it will do it again, and is told so.
   */
  async #afterDeath(
    group: readonly Call[],
    before: string,
    error: EndedError | BrokenError,
  ): Promise<void> {
    const reason = error instanceof EndedError ? error.reason : 'broken'
    const isCulprit =
      error instanceof BrokenError ||
      error.culprit === undefined ||
      error.culprit === this.#file.object
    if (isCulprit && reason === 'crowded') this.#cells.setApart(this.#file)
    const isDone = await this.#hasMoved(before)
    const again: Call[] = []
    for (const call of group) {
      if (isDone === undefined) call.reject(new DatabaseError('unavailable', false))
      else if (isDone) call.reject(new DatabaseError('lost', false))
      else if (isCulprit && group.length === 1 && isFinal(reason)) call.reject(failureOf(reason))
      else if (call.deaths >= repeats) call.reject(failureOf(reason))
      else again.push(call)
    }
    for (const call of again) if (isCulprit) call.deaths += 1
    this.#putBack(again)
  }

  /** Whether a commit was made since; `undefined` if that can't be found out. */
  async #hasMoved(before: string): Promise<boolean | undefined> {
    try {
      const { timeline } = await this.#seat()
      return (await timeline.catchUp()) !== before
    } catch (error) {
      this.#context.log.error('a database can not be opened again', {
        ...this.#file,
        error: messageOf(error),
      })
      return undefined
    }
  }

  /** Where it is now. It leaves one cell for another only once the process of the first is gone. */
  async #seat(): Promise<Seat> {
    const cell = this.#cells.cellOf(this.#file)
    const last = this.#lastSeat
    if (last && (last.cell !== cell || last.incarnation.isGone)) await last.incarnation.closed
    const seat = await cell.seat(this.#file)
    this.#lastSeat = { cell, incarnation: seat.incarnation }
    return seat
  }

  #failure(error: unknown): Error {
    if (error instanceof DatabaseError) return error
    if (error instanceof HistoryError && error.reason === 'damaged') {
      this.#context.log.error('a database is damaged', { ...this.#file, error: error.message })
      return new DatabaseError('damaged', false)
    }
    if (error instanceof EndedError) {
      return error.reason === 'crash' ? new DatabaseError('lost', false) : failureOf(error.reason)
    }
    if (error instanceof BrokenError) return new DatabaseError('lost', false)
    this.#context.log.error('a database can not be called', {
      ...this.#file,
      error: messageOf(error),
    })
    return new DatabaseError('unavailable', true)
  }
}

/** Whether a call that ended a process so, alone in it, would only do it again. */
function isFinal(reason: EndReason | 'broken'): boolean {
  return reason === 'timeout' || reason === 'memory' || reason === 'broken'
}

function failureOf(reason: EndReason | 'broken'): DatabaseError {
  const failures: Readonly<Record<typeof reason, DatabaseFailure>> = {
    timeout: 'timeout',
    memory: 'memory',
    crowded: 'timeout',
    crash: 'lost',
    broken: 'lost',
    stopped: 'unavailable',
  }
  return new DatabaseError(failures[reason], reason === 'stopped')
}
