import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Watch } from './watchdog.ts'

// One look every 100 ms at a process of which each look finds that it has used so much CPU time since
// the one before, and whether it has answered a visitor, or the ping that it was sent.

type Look = {
  readonly cpuMs: number
  readonly memoryBytes?: number
  readonly does?: 'answer' | 'pong'
}
type Case = { readonly looks: readonly Look[]; readonly limitMs?: number }

const many = (count: number, ...looks: readonly Look[]): readonly Look[] =>
  Array.from({ length: count }, () => looks).flat()

/** What was exceeded, and at which look. */
async function verdict({ looks, limitMs = 1_000 }: Case): Promise<string> {
  let now = 0
  let usage = { cpuMs: 0, memoryBytes: 0 }
  let answered = 0
  let pong: (() => void) | undefined
  const watch = new Watch(
    {
      usage: () => usage,
      answered: () => answered,
      ping: () => new Promise((resolve) => (pong = resolve)),
      cpuLimitMs: () => limitMs,
      memoryLimitBytes: 100,
      exceeded: () => undefined,
    },
    now,
  )
  for (const [index, { cpuMs, memoryBytes = 0, does }] of looks.entries()) {
    now += 100
    usage = { cpuMs: usage.cpuMs + cpuMs, memoryBytes }
    if (does === 'answer') answered += 1
    if (does === 'pong') pong?.()
    await new Promise((resolve) => setImmediate(resolve))
    const exceeded = watch.look(now)
    if (exceeded) return `${exceeded} ${index + 1}`
  }
  return 'nothing'
}

suite('a process is found to exceed', () => {
  const stuck: Look = { cpuMs: 100 }
  const cases: Readonly<Record<string, Case & { readonly is: string }>> = {
    'nothing while it rests': { looks: many(100, { cpuMs: 0 }), is: 'nothing' },
    'its CPU time when it spins': { looks: many(20, stuck), is: 'cpu 12' },
    'its CPU time on a machine on which it gets a twentieth': {
      looks: many(300, { cpuMs: 5 }),
      is: 'cpu 202',
    },
    'nothing if it answers pings': {
      looks: many(50, stuck, stuck, { ...stuck, does: 'pong' }),
      is: 'nothing',
    },
    'nothing if it answers visitors': {
      looks: many(50, stuck, stuck, { ...stuck, does: 'answer' }),
      is: 'nothing',
    },
    'its CPU time if it spins behind an answer': {
      looks: [...many(5, stuck), { ...stuck, does: 'answer' }, ...many(20, stuck)],
      is: 'cpu 18',
    },
    'its CPU time if it spins, and stops, and spins': {
      looks: many(10, stuck, stuck, stuck, { cpuMs: 0 }),
      is: 'cpu 15',
    },
    'not at once what is small: its answers may not have been read yet': {
      limitMs: 10,
      looks: [{ cpuMs: 100 }, { cpuMs: 400 }, { cpuMs: 400, does: 'pong' }, { cpuMs: 0 }],
      is: 'nothing',
    },
    'a small limit, in half a second': { limitMs: 10, looks: many(20, stuck), is: 'cpu 7' },
    'its memory, at once': { looks: [{ cpuMs: 0, memoryBytes: 101 }], is: 'memory 1' },
    'no memory that it may have': { looks: [{ cpuMs: 0, memoryBytes: 100 }], is: 'nothing' },
    'its memory even if it answers': {
      looks: [stuck, { cpuMs: 9, memoryBytes: 101, does: 'answer' }],
      is: 'memory 2',
    },
  }
  for (const [name, { is, ...rest }] of Object.entries(cases)) {
    test(name, async () => assert.equal(await verdict(rest), is))
  }
})
