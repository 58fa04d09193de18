import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { suite, test } from 'node:test'
import type { CellPlan, ObjectNamespace, WorkerPlan } from '#contract/cell.ts'
import { objectNamespaceId, type VersionId, versionId, workerName } from '#contract/ids.ts'
import { account } from '#test/backend.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { type Answer, type Fixture, pidsOf, type Source, startFixture } from './fixture.ts'

// Everything that can happen to cells, in an order of chance and while visitors come: deploys of code,
// of values and of shares, deploys that fail or can't be stored, kills, sleep, stops for copies of
// objects, and previews.

const lastsMs = 15_000
const visitorsAtOnce = 6
/** Visitors come to a few Workers for so long, while others fall asleep. */
const fashionMs = 600
const sleepMs = 100

const counters: ObjectNamespace = {
  id: objectNamespaceId.parse('0'.repeat(31) + '9'),
  className: 'Counter',
  storage: 'sqlite',
}
const versions = ['1', '2'].map((digit) => versionOf(digit))
const previewVersion = versionOf('3')

const plainCode = (code: number): string => `
  export default {
    async fetch(request, env) {
      if (new URL(request.url).pathname === '/slow') await scheduler.wait(100)
      return new Response('fine ${code} ' + env.V)
    },
  }`

// An object says at each count which instance it is, and signs its storage all the time: one that
// finds the name of another there is not alone.
const objectCode = (code: number): string => `
  import { DurableObject } from 'cloudflare:workers'
  const code = ${code}
  export class Counter extends DurableObject {
    id = crypto.randomUUID()
    constructor(ctx, env) {
      super(ctx, env)
      const { kv } = ctx.storage
      kv.put('owner', this.id)
      setInterval(() => {
        if (kv.get('owner') !== this.id) kv.put('strangers', (kv.get('strangers') ?? 0) + 1)
        kv.put('owner', this.id)
      }, 5)
    }
    async count() {
      const { kv } = this.ctx.storage
      const value = (kv.get('value') ?? 0) + 1
      kv.put('value', value)
      await this.ctx.storage.sync()
      return { value, id: this.id, code, strangers: kv.get('strangers') ?? 0 }
    }
  }
  export default {
    fetch: async (request, env) => Response.json(await env.C.getByName('a').count()),
  }`

const callerCode = `
  export default {
    fetch: async (request, env) => new Response(await (await env.SPLIT.fetch('http://split/')).text()),
  }`

/** What is deployed, by what each can become. */
type State = {
  readonly code: Readonly<Record<'plain' | 'other' | 'objects' | 'split', number>>
  readonly value: number
  /** Of the two versions of `split`: 0 is one version only. */
  readonly share: number
}

const names = ['plain', 'other', 'objects', 'caller', 'split', 'preview'] as const
type Visit = {
  readonly name: (typeof names)[number]
  readonly method: string
  readonly began: number
  /** The highest count of the object, and what was deployed by then. */
  readonly count: number
  readonly code: State['code']
}
type Count = {
  readonly value: number
  readonly id: string
  readonly code: number
  /** How often an instance has found another one beside it. */
  readonly strangers: number
}

class Stress {
  readonly #fixture: Fixture
  readonly #random = numbersFrom(seed)
  readonly #plans = new Map<string, WorkerPlan>()
  readonly #killed: number[] = []
  #state: State = { code: { plain: 1, other: 1, objects: 1, split: 1 }, value: 1, share: 50 }
  #isOver = false
  #highest = 0
  readonly counts: Count[] = []
  readonly seen = new Map<string, number>()
  readonly wrong: string[] = []

  constructor(fixture: Fixture) {
    this.#fixture = fixture
  }

  async run(): Promise<void> {
    await this.#fixture.apply(...(await this.#cells(this.#state)))
    const preview = { account, worker: workerName.parse('plain'), version: previewVersion }
    this.#fixture.routePreview('preview', preview)
    const visits = Array.from({ length: visitorsAtOnce }, () => this.#visitAgainAndAgain())
    const until = performance.now() + lastsMs
    try {
      while (performance.now() < until) {
        await this.#act()
        await this.#pause(150)
      }
    } finally {
      this.#isOver = true
      await Promise.all(visits)
    }
  }

  /** The one cell of a preview. */
  async preview(): Promise<CellPlan> {
    const source = { code: plainCode(900), bindings: text(9), version: previewVersion }
    return { account, workers: [await this.#plan('plain', source)] }
  }

  async #act(): Promise<void> {
    const { code, value, share } = this.#state
    const actions: Readonly<Record<string, () => Promise<void>>> = {
      code: () => this.#deploy({ code: this.#grown(code), value, share }),
      value: () => this.#deploy({ code, value: value + 1, share }),
      share: () => this.#deploy({ code, value, share: this.#oneOf([0, 10, 50, 90]) }),
      fail: async () => this.#fail(await this.#failing()),
      kill: () => this.#kill(),
      stop: () => this.#stop(),
      // Everything but what visitors keep awake falls asleep.
      rest: () => this.#pause(900),
      together: async () => {
        // A check must not be what is killed: without it there is no plan to fail with.
        const failing = await this.#failing()
        await Promise.all([this.#kill(), this.#stop(), this.#fail(failing)])
      },
    }
    const [name, act] = this.#oneOf(Object.entries(actions))
    this.#note(name)
    await act()
  }

  #grown(code: State['code']): State['code'] {
    const name = this.#oneOf(['plain', 'other', 'objects', 'split'] as const)
    return { ...code, [name]: code[name] + 1 }
  }

  async #deploy(state: State): Promise<void> {
    const cells = await this.#cells(state)
    await this.#fixture.host.apply(account, cells.map(cellOf))
    this.#state = state
  }

  /** Cells of which all that can change has changed. */
  async #failing(): Promise<(readonly WorkerPlan[])[]> {
    const { code, value } = this.#state
    const next = Object.fromEntries(Object.entries(code).map(([name, n]) => [name, n + 1_000]))
    const cells = await this.#cells({ code: { ...code, ...next }, value: -1, share: 20 })
    const broken = { code: `throw new Error('boom')`, bindings: text(value) }
    if (this.#random() < 0.5) cells.push([this.#fixture.plan('broken', broken)])
    return cells
  }

  /** A deploy that does not come up, or can't be stored. */
  async #fail(cells: readonly (readonly WorkerPlan[])[]): Promise<void> {
    const commit = (): Promise<void> => Promise.reject(new Error('disk full'))
    await assert.rejects(this.#fixture.host.apply(account, cells.map(cellOf), commit))
  }

  async #kill(): Promise<void> {
    const pids = await pidsOf(this.#fixture)
    if (pids.length === 0) return
    const pid = this.#oneOf(pids)
    this.#killed.push(performance.now())
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended meanwhile.
    }
    await this.#pause(20)
  }

  async #stop(): Promise<void> {
    const { host } = this.#fixture
    await host.whileStopped(account, [counters.id], async () => {
      // What was answered before has been read by then.
      await pause(50)
      const before = this.counts.length
      await this.#pause(100)
      if (this.counts.length !== before) this.wrong.push('counts while it is stopped')
    })
  }

  async #cells({ code, value, share }: State): Promise<(readonly WorkerPlan[])[]> {
    const bindings = text(value)
    const split = (n: number, percentage: number, version: string): Promise<WorkerPlan> =>
      this.#plan('split', { code: plainCode(n), bindings, version, percentage })
    const [first = '', second = ''] = versions
    const ways = [
      await split(code.split, 100 - share, first),
      ...(share > 0 ? [await split(code.split + 1, share, second)] : []),
    ]
    const caller = { SPLIT: { type: 'worker', worker: workerName.parse('split') } as const }
    return [
      [await this.#plan('plain', { code: plainCode(code.plain), bindings })],
      [await this.#plan('other', { code: plainCode(code.other), bindings })],
      [
        await this.#plan('objects', {
          code: objectCode(code.objects),
          bindings: { ...bindings, C: { type: 'objects', namespace: counters.id } },
          objects: [counters],
        }),
      ],
      [await this.#plan('caller', { code: callerCode, bindings: caller }), ...ways],
    ]
  }

  /** A plan with its exports, which are known from the code. */
  async #plan(worker: string, source: Source): Promise<WorkerPlan> {
    const key = `${worker} ${JSON.stringify(source.code)}`
    const known = this.#plans.get(key) ?? (await this.#fixture.ready(worker, source))
    this.#plans.set(key, known)
    return { ...this.#fixture.plan(worker, source), exports: known.exports }
  }

  async #visitAgainAndAgain(): Promise<void> {
    while (!this.#isOver) {
      const fashion = Math.floor(performance.now() / fashionMs)
      const name = names[(fashion + this.#oneOf([0, 0, 0, 2])) % names.length] ?? 'plain'
      const path = this.#random() < 0.2 ? '/slow' : '/'
      const method = this.#random() < 0.3 ? 'POST' : 'GET'
      const { code } = this.#state
      const visit = { name, method, began: performance.now(), count: this.#highest, code }
      const answer = await this.#fixture
        .visit(name, path, { method })
        .catch((error: unknown) => ({ status: 0, body: String(error) }))
      this.#note(`${name} ${answer.status}`)
      const wrong = this.#wrongIn(visit, answer)
      const tookMs = Math.round(performance.now() - visit.began)
      if (wrong) this.wrong.push(`${wrong}: ${method} ${name} ${tookMs} ms ${answer.body}`)
      await this.#pause(20)
    }
  }

  #wrongIn(visit: Visit, { status, body }: Answer): string | undefined {
    if (status !== 200) return this.#isExcused(visit, status) ? undefined : `status ${status}`
    if (visit.name === 'objects') return this.#wrongCount(visit, JSON.parse(body))
    const [, code] = /^fine (\d+) -?\d+$/.exec(body) ?? []
    if (code === undefined) return 'not its answer'
    if (Number(code) >= 1_000) return 'code that was not deployed'
    const least = visit.name === 'plain' || visit.name === 'other' ? visit.code[visit.name] : 0
    return Number(code) < least ? 'code of before' : undefined
  }

  #wrongCount(visit: Visit, count: Count): string | undefined {
    const { value, code, strangers } = count
    this.counts.push(count)
    this.#highest = Math.max(this.#highest, value)
    if (code >= 1_000) return 'code that was not deployed'
    if (strangers > 0) return 'two instances at once'
    return value <= visit.count ? 'a count of before' : undefined
  }

  /** Who was with a process that was killed, and may not ask twice; or with two that were. */
  #isExcused({ name, method, began }: Visit, status: number): boolean {
    const kills = this.#killed.filter((at) => at > began - 50).length
    const isEnough = kills >= (method === 'POST' || name === 'preview' ? 1 : 2)
    return isEnough && (status === 502 || status === 503)
  }

  #note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1)
  }

  #oneOf<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.#random() * items.length)]
    if (item === undefined) throw new Error('there is none')
    return item
  }

  #pause(mostMs: number): Promise<void> {
    return pause(this.#random() * mostMs)
  }
}

function versionOf(digit: string): VersionId {
  return versionId.parse(`${digit.repeat(8)}-1111-4111-8111-111111111111`)
}

function text(value: number): NonNullable<Source['bindings']> {
  return { V: { type: 'text', text: `${value}` } }
}

function cellOf(workers: readonly WorkerPlan[]): CellPlan {
  return { account, workers }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}

/** Ids of instances in the order of their counts, without repetitions in a row. */
function instancesOf(counts: readonly Count[]): readonly string[] {
  const ids = counts.toSorted((a, b) => a.value - b.value).map(({ id }) => id)
  return ids.filter((id, index) => id !== ids[index - 1])
}

suite(`cells under stress (BINDERY_TEST_SEED=${seed})`, () => {
  test('every visitor is answered, objects run once, and nothing stays behind', async () => {
    await using folder = await temporaryFolder()
    const runDirectory = folder.path
    let stress: Stress | undefined
    {
      await using fixture = await startFixture({
        runDirectory,
        sleepMs,
        lingerMs: 0,
        planPreview: async () => stress?.preview(),
      })
      stress = new Stress(fixture)
      await stress.run()
      assert.deepEqual(stress.wrong, [])
      const sleeps = fixture.log.filter(({ message }) => message === 'a cell falls asleep')
      assert.ok(sleeps.length > 10, `cells fell asleep ${sleeps.length} times`)
    }
    const values = stress.counts.map(({ value }) => value)
    assert.equal(new Set(values).size, values.length, 'no count is given twice')
    const instances = instancesOf(stress.counts)
    assert.equal(new Set(instances).size, instances.length, 'no instance counts after another')
    assert.ok(instances.length > 1 && values.length > 20, `${instances.length} ${values.length}`)
    for (const name of names) assert.ok((stress.seen.get(`${name} 200`) ?? 0) > 5, name)
    assert.deepEqual(await pidsOf({ runDirectory }), [])
    assert.deepEqual(await readdir(runDirectory), [])
  })
})
