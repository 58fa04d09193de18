// Runs the scenarios of `worker.test.ts` in workerd and says how each came out.
import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'

type Call = (...args: readonly unknown[]) => Promise<unknown>
type Entrypoint = Record<string, Call> & { fetch(url: string): Promise<Response> }
type Stub = {
  getEntrypoint(name?: string | null, options?: object): Entrypoint
  getDurableObjectClass(name?: string): unknown
}
type Loader = { get(...args: readonly unknown[]): Stub; load(...args: readonly unknown[]): Stub }
type Env = { readonly B: Loader; readonly OTHER?: unknown }
type Context = ExecutionContext & {
  readonly exports: Readonly<Record<string, (options: object) => unknown>>
}
type Scenario = (loader: Loader, context: Context, env: Env) => unknown

const kindOf = (value: unknown): string => Object.prototype.toString.call(value)
const date = '2026-11-01'
const url = 'http://guest/'
const ok = 'export default { fetch: (request, env) => Response.json(env) }'

const codeOf = (modules: string | object, more: object = {}): object => ({
  compatibilityDate: date,
  mainModule: 'main.js',
  modules: typeof modules === 'string' ? { 'main.js': modules } : modules,
  ...more,
})
const text = (stub: Stub): Promise<string> =>
  stub
    .getEntrypoint()
    .fetch(url)
    .then((response) => response.text())

/** What a Worker says, or what is said of it. */
const by = async (stub: () => Stub): Promise<string> => {
  try {
    return await text(stub())
  } catch (error) {
    return String(error)
  }
}

let names = 0
/** Loads code by both ways, which are to agree on what becomes of it. */
const loaded =
  (code: unknown): Scenario =>
  async (loader) => {
    return [
      await by(() => loader.load(code)),
      await by(() => loader.get(`name ${(names += 1)}`, async () => code)),
      await by(() => loader.get(null, async () => code)),
    ]
  }

const rpc = `import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'
class Counter extends RpcTarget {
  #count
  constructor(count) { super(); this.#count = count }
  get inner() { return new Counter(this.#count + 10) }
  add(more) { this.#count += more; return this.#count }
}
export default class extends WorkerEntrypoint {
  fetch() { return new Response('fetched') }
  greet(name) { return 'hello ' + name }
  counter(count) { return new Counter(count) }
  call(back) { return back('x') }
  fail() { throw new RangeError('no') }
  nothing() {}
  get field() { return 'a field' }
}
export class Named extends WorkerEntrypoint {
  props() { return this.ctx.props }
  exports() { return Object.keys(this.ctx.exports).sort() }
}`

const guest = (loader: Loader, name = 'rpc', options?: object): Entrypoint =>
  loader.get(name, async () => codeOf(rpc)).getEntrypoint(null, options)

/** What a Worker that is called can do, told by one of them. */
const calls =
  (options?: object): Scenario =>
  async (loader) => {
    const entrypoint = guest(loader, `calls ${(names += 1)}`, options)
    const counter: Reachable = await entrypoint['counter']?.(1)
    const pipelined: Reachable = entrypoint['counter']?.(5)
    const failed = await entrypoint['fail']?.().catch(String)
    return [
      await entrypoint['greet']?.('you'),
      await counter.add(2),
      await counter.inner.add(2),
      await pipelined.add(1),
      await pipelined.inner.add(1),
      await entrypoint['call']?.((word: string) => `${word}!`),
      failed,
      (await entrypoint['nothing']?.()) === undefined,
      await (entrypoint['field'] as unknown as Promise<unknown>),
      await (await entrypoint.fetch(url)).text(),
      await entrypoint['missing']?.().catch(String),
    ]
  }

// oxlint-disable-next-line typescript/no-explicit-any -- an object of another Worker's
type Reachable = any

class Target extends RpcTarget {}

/** How often each callback was called. */
const counts: Record<string, number> = {}
const counted = (name: string, code: unknown) => async (): Promise<unknown> => {
  counts[name] = (counts[name] ?? 0) + 1
  return code
}

const seen: unknown[] = []
export class Watcher extends WorkerEntrypoint<unknown, { readonly as: string }> {
  override tail(events: readonly TraceItem[]): void {
    const { as } = this.ctx.props
    for (const { scriptName, outcome, logs, event } of events) {
      seen.push({ as, scriptName, outcome, logs: logs.map(({ message }) => message), event })
    }
  }
}

const scenarios: Record<string, Scenario> = {
  'a module': loaded(codeOf(ok, { env: { a: 1, b: ['x'] } })),
  'typed modules': loaded(
    codeOf({
      'main.js': `import t from './t'; import j from './j'; import d from './d'; import c from './c'
        export default { fetch: () => Response.json([t, j, d.byteLength, c]) }`,
      t: { text: 'text' },
      j: { json: { j: 1 } },
      d: { data: new Uint8Array([1, 2]).buffer },
      c: { cjs: 'module.exports = "cjs"' },
    }),
  ),
  'a main module in a folder': loaded(
    codeOf(
      {
        'src/main.js': {
          js: 'import x from "./x.js"; export default { fetch: () => new Response(x) }',
        },
        'src/x.js': 'export default "in a folder"',
      },
      { mainModule: 'src/main.js' },
    ),
  ),
  'code of a class': loaded(
    new (class Code {
      readonly compatibilityDate = date
      get mainModule() {
        return 'main.js'
      }
      get modules() {
        return { 'main.js': ok }
      }
    })(),
  ),
  'no modules': loaded(codeOf({})),
  'no main module': loaded(codeOf({ 'other.js': ok })),
  'a main module of CommonJS': loaded(codeOf({ 'main.js': { cjs: 'module.exports = {}' } })),
  'a main module of JSON': loaded(codeOf({ 'main.js': { json: {} } })),
  'a name without an ending': loaded(codeOf({ 'main.js': ok, other: 'text' })),
  TypeScript: loaded(codeOf({ 'main.js': ok, 'other.ts': 'text' })),
  'a module of two kinds': loaded(codeOf({ 'main.js': ok, x: { js: '', text: '' } })),
  'a module of none': loaded(codeOf({ 'main.js': ok, x: {} })),
  'an import of nothing': loaded(codeOf(`import './nope.js'\n${ok}`)),
  'code that throws': loaded(codeOf('throw new Error("boom")')),
  'a syntax error': loaded(codeOf('export default { fetch() { return ) } }')),
  'no date': loaded({ ...codeOf(ok), compatibilityDate: undefined }),
  'a wrong date': loaded({ ...codeOf(ok), compatibilityDate: 'tomorrow' }),
  'a date to come': loaded({ ...codeOf(ok), compatibilityDate: '2099-01-01' }),
  'an unknown flag': loaded(codeOf(ok, { compatibilityFlags: ['nope'] })),
  'an experimental flag': loaded(codeOf(ok, { compatibilityFlags: ['experimental'] })),
  allowExperimental: loaded(codeOf(ok, { allowExperimental: true })),
  nothing: loaded(undefined),
  text: loaded('code'),
  'wrong limits': loaded(codeOf(ok, { limits: { cpuMs: 'much' } })),
  'negative limits': loaded(codeOf(ok, { limits: { cpuMs: -1 } })),
  limits: loaded(codeOf(ok, { limits: { cpuMs: 1000, subRequests: 5 }, env: 1 })),
  'large env': loaded(codeOf(ok, { env: { x: 'x'.repeat(1_048_577) } })),
  'large code': loaded(codeOf({ 'main.js': ok, x: { text: 'x'.repeat(67_108_864) } })),
  'no network': loaded(
    codeOf(
      `export default { fetch: () => fetch('http://example.com').then(String, (e) => new Response(e.message)) }`,
      { globalOutbound: null },
    ),
  ),
  'no sockets': loaded(
    codeOf(
      `import { connect } from 'cloudflare:sockets'
      export default { async fetch() {
        try { await connect('example.com:80').opened } catch (error) { return new Response(error.message) }
      } }`,
      { globalOutbound: null },
    ),
  ),
  'its own way out': async (loader, { exports }) =>
    loaded(
      codeOf(`export default { fetch: () => fetch('http://anywhere/path') }`, {
        globalOutbound: exports['Exit']?.({}),
      }),
    )(loader, {} as Context, {} as Env),
  'values in env': loaded(
    codeOf(
      `export default { fetch: (request, { date, map, bytes, error, headers }) =>
        Response.json([date.toISOString(), map.get('k'), bytes.byteLength, error.message, headers.get('a')]) }`,
      {
        env: {
          date: new Date(0),
          map: new Map([['k', 'v']]),
          bytes: new Uint8Array(3),
          error: new RangeError('e'),
          headers: new Headers({ a: 'b' }),
        },
      },
    ),
  ),
  'a function in env': loaded(codeOf(ok, { env: { f: () => 1 } })),
  'an RpcTarget in env': loaded(codeOf(ok, { env: { t: new Target() } })),
  'a stream in env': loaded(codeOf(ok, { env: { s: new ReadableStream() } })),
  'a loader in env': (loader) =>
    loaded(codeOf(ok, { env: { loader } }))(loader, {} as Context, {} as Env),
  'an entrypoint of another in env': (loader) =>
    loaded(codeOf(ok, { env: { e: guest(loader) } }))(loader, {} as Context, {} as Env),
  'an own entrypoint in env': (loader, { exports }) =>
    loaded(
      codeOf(
        `export default { fetch: async (request, { KEPT }) => new Response(await KEPT.get('k')) }`,
        { env: { KEPT: exports['Kept']?.({ props: { of: 'a' } }) } },
      ),
    )(loader, {} as Context, {} as Env),

  'get of nothing': (loader) => loader.get(),
  'get without a callback': (loader) => loader.get('a'),
  'load of nothing': (loader) => loader.load(),
  'a callback that throws': (loader) =>
    text(
      loader.get(`throws ${(names += 1)}`, async () => {
        throw new TypeError('not now')
      }),
    ),
  'a callback without a promise': (loader) => text(loader.get('sync', () => codeOf(ok))),
  'no name': (loader) => text(loader.get(undefined, async () => codeOf(ok))),
  'a name that is a number': (loader) => text(loader.get(5, async () => codeOf(ok))),
  'the same name twice': async (loader) => {
    const counting = 'let n = 0; export default { fetch: () => new Response(String(++n)) }'
    const again = (): Stub => loader.get('same', counted('same', codeOf(counting)))
    return [await text(again()), await text(again()), counts['same']]
  },
  'other code under a name': async (loader) => [
    await text(loader.get('first', async () => codeOf(ok, { env: { first: 1 } }))),
    await text(loader.get('first', async () => codeOf(ok, { env: { second: 2 } }))),
  ],
  'no such entrypoint': (loader) =>
    loader
      .get('rpc', async () => codeOf(rpc))
      .getEntrypoint('Nope')
      .fetch(url),
  'no default entrypoint': (loader) =>
    text(
      loader.get('no default', async () =>
        codeOf(
          `import { WorkerEntrypoint } from 'cloudflare:workers'
          export class A extends WorkerEntrypoint {}`,
          { globalOutbound: null },
        ),
      ),
    ),
  'a named one, by name and by the word default': async (loader) => {
    const stub = loader.get('rpc', async () => codeOf(rpc))
    const named = stub.getEntrypoint('Named', { props: { a: [1] } })
    return [await named['props']?.(), await stub.getEntrypoint('default')['greet']?.('x')]
  },
  exports: (loader) => {
    const named = loader.get('rpc', async () => codeOf(rpc)).getEntrypoint('Named')
    return named['exports']?.()
  },
  calls: calls(),
  'limited calls': calls({ limits: { cpuMs: 10_000 } }),
  'both limits': async (loader) => {
    const stub = loader.load(codeOf(rpc, { limits: { cpuMs: 300 } }))
    return [
      await stub.getEntrypoint()['greet']?.('you'),
      await (await stub.getEntrypoint(null, { limits: { cpuMs: 200 } }).fetch(url)).text(),
    ]
  },
  'wrong limits of an entrypoint': (loader) => guest(loader, 'rpc', { limits: { cpuMs: 'x' } }),
  kinds: (loader) => [
    kindOf(loader),
    kindOf(loader.load(codeOf(ok))),
    kindOf(guest(loader)),
    Object.keys(loader),
  ],
  watched: async (loader, { exports }) => {
    seen.length = 0
    const code = (as: string): object =>
      codeOf(
        `export default { fetch() { console.log('in ${as}', { a: 1 }); return new Response('x') } }`,
        {
          tails: [exports['Watcher']?.({ props: { as } })],
        },
      )
    await text(loader.get('watched by name', async () => code('named')))
    await text(loader.load(code('loaded')))
    for (let n = 0; n < 100 && seen.length < 2; n++) await scheduler.wait(20)
    return seen.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  },
}

export class Exit extends WorkerEntrypoint {
  override fetch(request: Request): Response {
    return new Response(`all goes here: ${request.url}`)
  }
}

export class Kept extends WorkerEntrypoint<unknown, { readonly of: string }> {
  get(key: string): string {
    return `${this.ctx.props.of}/${key}`
  }
}

/** Loads many Workers under names of their own, one request each; says what each said. */
async function many(loader: Loader, search: URLSearchParams): Promise<Response> {
  const name = search.get('name') ?? ''
  const stub = loader.get(
    name,
    counted(name, codeOf(`export default { fetch: () => new Response(${JSON.stringify(name)}) }`)),
  )
  return Response.json({ said: await text(stub), loaded: counts[name] })
}

/** A call that goes on while its Worker is let go of. */
async function slow(loader: Loader): Promise<Response> {
  const code = codeOf(
    `export default { async fetch() { await scheduler.wait(1500); return new Response('slow') } }`,
  )
  return new Response(await text(loader.get('slow', counted('slow', code))))
}

/** Ends its own isolate at every call, and has bent what it can so that nobody else ends it. */
async function hostile(loader: Loader): Promise<Response> {
  const code = `import { abortIsolate, exports, WorkerEntrypoint } from 'cloudflare:workers'
    const nothing = () => {}
    Object.defineProperty(WorkerEntrypoint.prototype, 'leave', { value: nothing })
    for (const key of Object.keys(exports)) if (key !== 'default') delete exports[key]
    Promise.prototype.then = undefined
    export default {
      fetch(request, env, ctx) {
        Object.getPrototypeOf(ctx).waitUntil = nothing
        if (request.url.endsWith('/end')) abortIsolate('by itself')
        return new Response('there')
      },
    }`
  const entrypoint = (): Entrypoint =>
    loader
      .get('hostile', counted('hostile', codeOf(code, { limits: { cpuMs: 5_000 } })))
      .getEntrypoint()
  await entrypoint().fetch(url)
  await entrypoint().fetch(`${url}end`).catch(String)
  const again = await (await entrypoint().fetch(url)).text()
  return Response.json({ again, loaded: counts['hostile'] })
}

/** Fails to start the first time. */
async function flaky(loader: Loader): Promise<Response> {
  const stub = loader.get('flaky', async () => {
    counts['flaky'] = (counts['flaky'] ?? 0) + 1
    return codeOf(counts['flaky'] === 1 ? 'throw new Error("boom")' : ok)
  })
  return new Response(await text(stub).catch(String))
}

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    if (pathname === '/') return Response.json(Object.keys(scenarios))
    if (pathname === '/many') return many(env.B, searchParams)
    if (pathname === '/slow') return slow(env.B)
    if (pathname === '/flaky') return flaky(env.B)
    if (pathname === '/hostile') return hostile(env.B)
    try {
      const result = await scenarios[decodeURIComponent(pathname.slice(1))]?.(env.B, context, env)
      return Response.json({ result })
    } catch (error) {
      return Response.json({ thrown: String(error) })
    }
  },
}
