import { joinFrames, splitFrames } from '#contract/engine.ts'
import { messageOf } from '#contract/errors.ts'
import {
  DatabaseError,
  type DatabaseFailure,
  type DatabaseReply,
} from '#contract/ports/databases.ts'
import { HistoryError } from '#contract/ports/history.ts'
import type { AccountCells } from './account.ts'
import type { DatabaseCell } from './cell.ts'
import type { DatabaseContext } from './host-options.ts'
import { EndedError, type EndReason, type Incarnation, type Seat } from './incarnation.ts'
import { groupBytes, groupCalls, queuedBytes, repeats } from './limits.ts'
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
  readonly since: number
  readonly run: (seat: Seat) => Promise<void>
  readonly reject: (error: unknown) => void
  /** How often a process ended under it. */
  deaths: number
  /** How often that may be: never, where it may have written something. */
  readonly mostDeaths: number
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
  #expiry: NodeJS.Timeout | undefined
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

  /** As a turn, for as long as it takes; if it dies, what became of it is not known here. */
  async stream(source: AsyncIterable<Uint8Array>): Promise<DatabaseReply> {
    return this.#turn(0, async (seat) => {
      const reply = await seat.incarnation.stream(this.#file, source)
      return { reply, bookmark: await this.#caughtUp(seat) }
    })
  }

  bookmark(): Promise<string> {
    return this.#turn(repeats, (seat) => this.#touch(seat))
  }

  verify(): Promise<string | undefined> {
    return this.#turn(repeats, async (seat) => {
      await this.#touch(seat)
      return seat.timeline.verify()
    })
  }

  /** Resolves when nothing of it is open for us, and nothing waits. Nothing is called meanwhile or after. */
  async close(): Promise<void> {
    await this.idle()
    clearTimeout(this.#expiry)
    const seat = this.#lastSeat
    if (seat && !seat.incarnation.isGone) await seat.incarnation.forget(this.#file)
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
  }

  /** Sees to it that the file is there, and that its history is up to date. */
  async #touch(seat: Seat): Promise<string> {
    await seat.incarnation.post(this.#file, nothing)
    return this.#caughtUp(seat)
  }

  #turn<Result>(mostDeaths: number, run: (seat: Seat) => Promise<Result>): Promise<Result> {
    const { queuedCalls } = this.#context.limits
    if (this.#queue.length >= queuedCalls) {
      return Promise.reject(new DatabaseError('queue-full', true))
    }
    return new Promise((resolve, reject) => {
      const once = async (seat: Seat): Promise<void> => resolve(await run(seat))
      const since = performance.now()
      this.#queue.push({ type: 'turn', since, run: once, reject, deaths: 0, mostDeaths })
      this.#run()
    })
  }

  #run(): void {
    this.#expiry ??= setTimeout(() => this.#expire(), this.#context.limits.queueMs).unref()
    this.#running ??= this.#runAll()
  }

  async #runAll(): Promise<void> {
    for (;;) {
      if (this.#queue.length === 0) {
        // In this very turn: who comes later begins anew.
        this.#running = undefined
        return
      }
      try {
        using seat = await this.#seat()
        const first = this.#queue[0]
        if (first?.type === 'turn') await this.#runTurn(first, seat)
        else await this.#runGroup(this.#takeGroup(), seat)
      } catch (error) {
        this.#refuseFirst(error)
      }
    }
  }

  /** There is no process, or no file: those who would have been next are told. */
  #refuseFirst(error: unknown): void {
    const [first] = this.#queue
    const refused = first?.type === 'turn' ? this.#queue.splice(0, 1) : this.#takeGroup()
    for (const { reject } of refused) reject(this.#failure(error))
  }

  async #runTurn(turn: Turn, seat: Seat): Promise<void> {
    this.#queue.shift()
    try {
      await turn.run(seat)
    } catch (error) {
      turn.deaths += 1
      if (error instanceof EndedError && turn.deaths <= turn.mostDeaths) this.#queue.unshift(turn)
      else turn.reject(this.#failure(error))
    }
  }

  async #runGroup(group: readonly Call[], seat: Seat): Promise<void> {
    if (group.length === 0) return
    let before = ''
    try {
      before = await this.#caughtUp(seat)
      const body = joinFrames(group.map(({ bytes }) => bytes))
      const replies = await this.#post(seat, body)
      const bookmark = await this.#caughtUp(seat)
      group.forEach((call, index) => {
        const reply = replies[index]
        if (reply) call.resolve({ reply, bookmark })
      })
      this.#putBack(group.slice(replies.length))
    } catch (error) {
      if (before !== '' && error instanceof EndedError) await this.#afterDeath(group, before, error)
      else for (const { reject } of group) reject(this.#failure(error, before === ''))
    }
  }

  async #post({ incarnation }: Seat, body: Uint8Array): Promise<readonly Uint8Array[]> {
    const answer = await incarnation.post(this.#file, body)
    try {
      const replies = splitFrames(answer)
      if (replies.length > 0) return replies
    } catch (error) {
      return incarnation.abandon(this.#file, error)
    }
    return incarnation.abandon(this.#file, new Error('the engine took nothing'))
  }

  /**
   * Takes in what was committed. If that fails (there may be no room), nothing more is written to the
   * file until it is opened anew, with a history that has all of it.
   */
  async #caughtUp({ incarnation, timeline }: Seat): Promise<string> {
    try {
      return await timeline.catchUp()
    } catch (error) {
      this.#context.log.error('a history can not go on', {
        ...this.#file,
        error: messageOf(error),
      })
      return incarnation.abandon(this.#file, error)
    }
  }

  /** Calls from the front of the line that may travel together. */
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
      group.push(next)
      size += next.bytes.byteLength
      if (isSuspect) break
    }
    return group
  }

  /** Tells those who have waited for too long. What was begun before goes on. */
  #expire(): void {
    const { queueMs } = this.#context.limits
    const since = performance.now() - queueMs
    const isLate = (one: Call | Turn): boolean => one.deaths === 0 && one.since <= since
    const late = this.#queue.filter(isLate)
    this.#queue = this.#queue.filter((one) => !isLate(one))
    for (const one of late) {
      if (one.type === 'call') this.#queuedBytes -= one.bytes.byteLength
      one.reject(new DatabaseError('queued-too-long', true))
    }
    const next = this.#queue.find(({ deaths }) => deaths === 0)
    this.#expiry = next && setTimeout(() => this.#expire(), Math.max(next.since - since, 1)).unref()
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
    { reason, culprit }: EndedError,
  ): Promise<void> {
    const isCulprit = culprit === undefined || culprit === this.#file.object
    if (culprit !== undefined && isCulprit && isMean(reason)) this.#cells.setApart(this.#file)
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
      using seat = await this.#seat()
      return (await this.#caughtUp(seat)) !== before
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

  #failure(error: unknown, isUndone = false): Error {
    if (error instanceof DatabaseError) return error
    if (error instanceof HistoryError && error.reason === 'damaged') {
      this.#context.log.error('a database is damaged', { ...this.#file, error: error.message })
      return new DatabaseError('damaged', false)
    }
    if (error instanceof EndedError) {
      return isUndone ? new DatabaseError('unavailable', true) : failureOf(error.reason, false)
    }
    this.#context.log.error('a database can not be called', {
      ...this.#file,
      error: messageOf(error),
    })
    return new DatabaseError('unavailable', true)
  }
}

/** Whether others in the process suffered from a call that ended it so. */
function isMean(reason: EndReason): boolean {
  return reason === 'crowded' || reason === 'memory' || reason === 'broken'
}

/** Whether a call that ended a process so, alone in it, would only do it again. */
function isFinal(reason: EndReason): boolean {
  return reason === 'timeout' || reason === 'memory' || reason === 'broken'
}

function failureOf(reason: EndReason, isUndone = true): DatabaseError {
  const failures: Readonly<Record<typeof reason, DatabaseFailure>> = {
    timeout: 'timeout',
    memory: 'memory',
    crowded: 'timeout',
    crash: 'lost',
    broken: 'lost',
    stopped: 'unavailable',
  }
  return new DatabaseError(failures[reason], isUndone && reason === 'stopped')
}
