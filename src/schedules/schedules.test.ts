import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { minuteMs, parseCron } from '#contract/cron.ts'
import type { EventPort, ScheduledEvent, ScheduledOutcome } from '#contract/events.ts'
import { workerName } from '#contract/ids.ts'
import type { Schedule } from '#contract/schedules.ts'
import { account } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { keptMs, stopMs } from './limits.ts'
import { scheduleMigrations, Schedules } from './schedules.ts'

// When handlers are called, and what is written down. How a call gets to a Worker is the runtime's:
// events.test.ts there.

const start = Date.parse('2026-11-24T03:17:30Z')
const minute = (n: number): number => Math.floor(start / minuteMs + n) * minuteMs
const worker = workerName.parse('w')
const ok: ScheduledOutcome = { type: 'ended', outcome: 'ok', noRetry: false }
const failed: ScheduledOutcome = { type: 'ended', outcome: 'exception', noRetry: false }

type Call = ScheduledEvent & {
  readonly end: (outcome: ScheduledOutcome) => void
  readonly stop: AbortSignal | undefined
}

/** Handlers that end when the test says so. */
function handlers() {
  const calls: Call[] = []
  const events: EventPort = {
    scheduled: (_to, { cron, scheduledTime }, stop) =>
      new Promise((end) => calls.push({ cron, scheduledTime, end, stop })),
    queue: () => assert.fail('nobody sends a batch'),
    handles: () => true,
    onDeployed: () => assert.fail('nobody waits for a deploy'),
  }
  return { calls, events }
}

function schedule(text: string, since = 0): Schedule {
  return { account, worker, cron: parseCron(text), since }
}

async function opened(path: string, at = start) {
  const clock = movableClock(at)
  const ports = await openPorts({ path, migrations: scheduleMigrations, clock })
  const { calls, events } = handlers()
  const schedules = await Schedules.open({ ...ports, events })
  let running: AsyncDisposable | undefined
  return {
    clock,
    calls,
    schedules,
    start: (...all: readonly Schedule[]) => {
      schedules.publish(all)
      running = schedules.start()
    },
    /** What is left of it waits for ever, as after `kill -9`: only the file counts. */
    kill: () => ports[Symbol.asyncDispose](),
    stop: () => running?.[Symbol.asyncDispose](),
    past: () => schedules.past({ account, worker }),
    /** Waits for so many calls, and for no more than that. */
    called: async (count: number): Promise<readonly Call[]> => {
      await eventually(() => calls.length >= count)
      // Whatever else was to begin has been claimed behind a write like this one.
      await schedules.forget({ account, worker: workerName.parse('nobody') })
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(calls.length, count)
      return calls
    },
    async [Symbol.asyncDispose]() {
      for (const { end } of calls) end(ok)
      await running?.[Symbol.asyncDispose]()
      await ports[Symbol.asyncDispose]()
    },
  }
}

async function withFolder(run: (path: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder()
  await run(join(folder.path, 'db'))
}

suite('schedules', () => {
  test('each is called in each of its minutes, once, and what became of it is kept', () =>
    withFolder(async (path) => {
      await using it = await opened(path)
      it.start(schedule('* * * * *'), schedule('18 * * * *'), schedule('19 3 * * 1'))
      const [first] = await it.called(1)
      assert.deepEqual([first?.cron, first?.scheduledTime], ['* * * * *', minute(0)])
      first?.end(ok)
      it.clock.moveBy(29_999)
      await it.called(1)
      it.clock.moveBy(1)
      const [, ...both] = await it.called(3)
      assert.deepEqual(both.map(({ cron }) => cron).toSorted(), ['* * * * *', '18 * * * *'])
      assert.ok(both.every(({ scheduledTime }) => scheduledTime === minute(1)))
      for (const { end, cron } of both)
        end(cron === '* * * * *' ? ok : { ...failed, noRetry: true })
      const past = await eventually(async () => {
        const ticks = await it.past()
        return ticks.length === 3 && ticks.every(({ ended }) => ended) && ticks
      })
      assert.deepEqual(
        past.map(({ cron, scheduledTime, ended }) => [cron, scheduledTime, ended?.outcome]),
        [
          ['* * * * *', minute(1), 'ok'],
          ['18 * * * *', minute(1), 'exception'],
          ['* * * * *', minute(0), 'ok'],
        ],
      )
      assert.deepEqual(past[0]?.ended, { at: minute(1), outcome: 'ok', detail: '', attempts: 1 })
    }))

  test('one that was made in a minute begins with the next', () =>
    withFolder(async (path) => {
      await using it = await opened(path)
      it.start(schedule('* * * * *', start - 1_000))
      await it.called(0)
      it.clock.moveBy(30_000)
      await it.called(1)
    }))

  test('a minute in which nobody looked is skipped', () =>
    withFolder(async (path) => {
      await using it = await opened(path)
      it.start(schedule('* * * * *'))
      it.clock.moveBy(10 * minuteMs)
      const calls = await it.called(2)
      assert.deepEqual(
        calls.map(({ scheduledTime }) => scheduledTime),
        [minute(0), minute(10)],
      )
    }))

  test('a clock that goes back calls nobody again', () =>
    withFolder(async (path) => {
      await using it = await opened(path)
      it.start(schedule('* * * * *'))
      it.clock.moveBy(minuteMs)
      await it.called(2)
      it.clock.moveBy(-minuteMs)
      it.clock.moveBy(minuteMs)
      await it.called(2)
      it.clock.moveBy(minuteMs)
      assert.equal((await it.called(3)).at(-1)?.scheduledTime, minute(2))
    }))

  test('an overlapping call is a call', () =>
    withFolder(async (path) => {
      await using it = await opened(path)
      it.start(schedule('* * * * *'))
      await it.called(1)
      it.clock.moveBy(minuteMs)
      await it.called(2)
    }))

  const outcomes: readonly (readonly [ScheduledOutcome, retried: boolean, ...ended: string[]])[] = [
    [ok, false, 'ok', ''],
    [failed, true, 'exception', ''],
    [{ ...failed, noRetry: true }, false, 'exception', ''],
    [{ type: 'unknown' }, false, 'scriptNotFound', 'it is not deployed'],
    [{ type: 'unhandled' }, false, 'exception', 'it has no scheduled handler'],
    [{ type: 'unreached' }, true, 'internalError', 'it has no process'],
    [{ type: 'lost', reason: 'crash' }, true, 'internalError', 'its process ended'],
    [{ type: 'lost', reason: 'cpu' }, false, 'exceededCpu', ''],
    [{ type: 'lost', reason: 'memory' }, false, 'exceededMemory', ''],
    [{ type: 'lost', reason: 'time' }, false, 'exceededWallTime', ''],
    [{ type: 'lost', reason: 'cut' }, false, 'canceled', 'the server ended'],
  ]
  for (const [outcome, isRetried, word, detail] of outcomes) {
    const [type, reason] = [outcome.type, 'reason' in outcome ? outcome.reason : word]
    const times = isRetried ? 'seven times' : 'once'
    test(`${type} (${reason}, ${'noRetry' in outcome && outcome.noRetry}): called ${times}`, () =>
      withFolder(async (path) => {
        await using it = await opened(path, minute(0))
        it.start(schedule('17 3 * * *'))
        for (let attempt = 1; attempt <= (isRetried ? 7 : 1); attempt += 1) {
          const call = (await it.called(attempt)).at(-1)
          assert.equal(call?.scheduledTime, minute(0))
          call.end(outcome)
          if (attempt === 7 || !isRetried) break
          // It pauses in a microtask or two.
          await new Promise((resolve) => setImmediate(resolve))
          it.clock.moveBy(2_000 * 2 ** (attempt - 1) - 1)
          await it.called(attempt)
          it.clock.moveBy(1)
        }
        const ended = await eventually(async () => (await it.past())[0]?.ended)
        const attempts = isRetried ? 7 : 1
        assert.deepEqual([ended.outcome, ended.detail, ended.attempts], [word, detail, attempts])
      }))
  }

  test('the next minute of a schedule ends the retries of the last', () =>
    withFolder(async (path) => {
      await using it = await opened(path, minute(1) - 1_000)
      it.start(schedule('* * * * *'))
      const [first] = await it.called(1)
      first?.end(failed)
      await new Promise((resolve) => setImmediate(resolve))
      it.clock.moveBy(1_000)
      await it.called(2)
      it.clock.moveBy(30_000)
      await it.called(2)
      assert.equal((await it.past()).at(-1)?.ended?.attempts, 1)
    }))

  test('after a crash no minute is called again, and what ran then is said to be lost', () =>
    withFolder(async (path) => {
      const killed = await opened(path)
      killed.start(schedule('* * * * *'))
      await killed.called(1)
      await killed.kill()
      await using it = await opened(path, start + 5_000)
      it.start(schedule('* * * * *'))
      await it.called(0)
      assert.deepEqual(
        (await it.past()).map(({ ended }) => [ended?.outcome, ended?.detail]),
        [['canceled', 'the server ended']],
      )
      it.clock.moveBy(minuteMs)
      assert.equal((await it.called(1))[0]?.scheduledTime, minute(1))
    }))

  test('what runs when the server stops has a while to end', () =>
    withFolder(async (path) => {
      await using it = await opened(path)
      it.start(schedule('* * * * *'))
      const [call] = await it.called(1)
      let isStopped = false
      const stopped = it.stop()?.then(() => (isStopped = true))
      it.clock.moveBy(stopMs - 1)
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(call?.stop?.aborted, false)
      assert.equal(isStopped, false)
      it.clock.moveBy(1)
      assert.equal(call.stop.aborted, true)
      call.end({ type: 'lost', reason: 'cut' })
      await stopped
      assert.equal((await it.past())[0]?.ended?.outcome, 'canceled')
      it.clock.moveBy(minuteMs)
      await it.called(1)
    }))

  test('a hundred are shown, and old ones are removed', () =>
    withFolder(async (path) => {
      await using it = await opened(path)
      it.start(schedule('* * * * *'))
      for (let n = 1; n <= 120; n += 1) {
        await eventually(() => it.calls.length === n)
        it.calls.at(-1)?.end(ok)
        await eventually(async () => (await it.past())[0]?.ended)
        it.clock.moveBy(minuteMs)
      }
      assert.equal((await it.past()).length, 100)
      await eventually(() => it.calls.length === 121)
      it.calls.at(-1)?.end(ok)
      await eventually(async () => (await it.past())[0]?.ended)
      it.clock.moveBy(keptMs + 120 * minuteMs)
      await eventually(async () => (await it.past()).length === 1)
    }))
})
