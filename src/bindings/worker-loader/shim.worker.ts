// What `env` has of a loader. workerd's own does the loading; this one keeps count of names, which
// workerd would keep for ever: each Worker that is loaded under one gets a way to end its isolate
// (`guestSource`), and those that nobody asked for lately go when others come. It also says outside
// when a Worker is called whose CPU time is limited. All in the isolate of whoever loads: what it bends
// harms itself.

type Inner = {
  readonly fetcher: Fetcher
  /** None in a check. */
  readonly loader?: NativeLoader
  /** Names what happens to loaded Workers, for who watches them. None in a check. */
  readonly tails?: { named(name: string, target: unknown): Promise<unknown> }
  /** What has TLS done where it can be done. None in a check. */
  readonly socketsSource?: string
  readonly keptWorkers: number
  readonly keptCodeBytes: number
  readonly movableCodeBytes: number
}

type NativeLoader = {
  get(...args: readonly unknown[]): NativeStub
  load(...args: readonly unknown[]): NativeStub
}

type NativeStub = {
  getEntrypoint(...args: readonly unknown[]): Reachable
  getDurableObjectClass(...args: readonly unknown[]): unknown
}

/** Something whose properties and methods are elsewhere. */
// oxlint-disable-next-line typescript/no-explicit-any -- what a Worker offers is known to its author alone
type Reachable = any

type Code = {
  readonly mainModule: string
  readonly modules: Readonly<Record<string, unknown>>
  readonly compatibilityDate?: unknown
  readonly compatibilityFlags?: unknown
  readonly globalOutbound?: unknown
}

/** A Worker that is loaded, or about to be. */
type Guest = {
  /** Its name for workerd: no two have the same. */
  readonly key: string
  codeBytes: number
  /** Whether its code has been seen: then `cpuMs` is what the code says of it. */
  isKnown: boolean
  cpuMs: number | undefined
  /** Whether it can be made to go: it can't if nothing of ours fits in. */
  isMovable: boolean
  /** To be called when it has started, which its limit holds for too. */
  started: () => void
}

/** workerd's internal module of entrypoints: see `Shim.loads`. */
declare const runtime: { waitUntil(work: Promise<unknown>): void }

/**
 * What a loaded Worker is given, beside its own main module. Nobody but the loader can call it, or find
 * it among `exports`; a Worker may end its own isolate anyway, and is not to keep itself from ending. That
 * is done behind an answer, because workerd logs a call that ends so as an error of its own.
 */
const guestSource = `import { abortIsolate, waitUntil, WorkerEntrypoint } from 'cloudflare:workers'
export class Guest extends WorkerEntrypoint {
  hide(name) {
    if (this.ctx.exports) delete this.ctx.exports[name]
  }
  leave() {
    waitUntil((async () => { await null; abortIsolate('recycled') })())
  }
}
Object.freeze(Guest.prototype)
`

/** How long a new Worker waits for those that go. */
const longestLeaveMs = 1_000

const sockets = 'cloudflare:sockets'
const socketsModule = `const builtin = process.getBuiltinModule('cloudflare:sockets')
const sockets = { connect: builtin.connect }
export const connect = (address, options) => sockets.connect(address, options)
export const { internalNewHttpClient } = builtin
secureSockets(sockets)
`

export default function workerLoader(inner: Inner): object {
  return new WorkerLoader(inner)
}

class WorkerLoader {
  readonly [Symbol.toStringTag] = 'WorkerLoader'
  readonly #inner: Inner
  /** By their names, those that were asked for last at the end. */
  readonly #guests = new Map<string, Guest>()
  #count = 0
  #mark = ''

  constructor(inner: Inner) {
    this.#inner = inner
  }

  get(...args: readonly unknown[]): object {
    const [name, getCode] = args
    const native = this.#native
    // Its own words on what is wrong with the arguments.
    if (args.length < 2 || typeof getCode !== 'function') return native.get(...args)
    if (name === null || name === undefined) return this.#anonymous(getCode)
    return this.#named(textOfName(name), getCode)
  }

  load(...args: readonly unknown[]): object {
    const native = this.#native
    const [code] = args
    const guest = this.#newGuest()
    if (!isObject(code)) return native.load(...args)
    note(guest, code)
    // Names for those who watch, and limits, are asked for: that takes a moment.
    if (!hasTails(code) && guest.cpuMs === undefined) {
      return this.#stub(native.load(this.#connected(withPlainEnv(code), guest)), guest)
    }
    return this.#anonymous(async () => code, guest)
  }

  #anonymous(getCode: Function, guest = this.#newGuest()): WorkerStub {
    const stub = this.#native.get(null, this.#codeOf(guest, getCode))
    const started = (): void => guest.started()
    runtime.waitUntil(this.#settled(stub).then(started))
    return this.#stub(stub, guest)
  }

  #named(name: string, getCode: Function): object {
    const native = this.#native
    const known = this.#guests.get(name)
    const guest = known ?? this.#newGuest()
    const stub = native.get(guest.key, this.#codeOf(guest, getCode, name))
    // Behind all that were asked for before.
    this.#guests.delete(name)
    this.#guests.set(name, guest)
    if (!known) this.#settle(stub, name, guest)
    return this.#stub(stub, guest)
  }

  get #native(): NativeLoader {
    if (this.#inner.loader) return this.#inner.loader
    throw new Error('Bindings can not be called while a Worker is checked.')
  }

  #newGuest(): Guest {
    const key = String((this.#count += 1))
    return {
      key,
      codeBytes: 0,
      isKnown: false,
      cpuMs: undefined,
      isMovable: false,
      started: ignore,
    }
  }

  #stub(stub: NativeStub, guest: Guest): WorkerStub {
    const settled = (): Promise<void> => this.#settled(stub)
    return new WorkerStub(stub, { guest, settled, fetcher: this.#inner.fetcher })
  }

  /** Hides what is ours in a new Worker. One that does not start is loaded anew when it is asked for. */
  #settle(stub: NativeStub, name: string, guest: Guest): void {
    const forget = (error: unknown): void => {
      guest.started()
      const isThere = error instanceof Error && error.message === noSuch(this.#hidden)
      if (!isThere && this.#guests.get(name) === guest) this.#guests.delete(name)
    }
    const hidden: Promise<void> = stub.getEntrypoint(this.#hidden).hide(this.#hidden)
    runtime.waitUntil(hidden.then(() => guest.started(), forget))
  }

  /** Resolves when a Worker has started, or has failed to: its code has been seen then. */
  async #settled(stub: NativeStub): Promise<void> {
    await stub.getEntrypoint(this.#hidden).hide(this.#hidden).catch(ignore)
  }

  /** What loaded code calls the entrypoint of ours: it must not export the same. */
  get #hidden(): string {
    // No random numbers before there is a request: nobody asks before that.
    this.#mark ||= `__bindery_${crypto.randomUUID().replaceAll('-', '')}`
    return this.#mark
  }

  /** Wraps the callback that says what to load. */
  #codeOf(guest: Guest, getCode: Function, name?: string): () => Promise<unknown> {
    return async () => {
      // It has ended by itself, and is loaded under the same name again.
      const isAgain = guest.isKnown && name !== undefined
      if (isAgain) this.#settle(this.#native.get(guest.key, gone), name, guest)
      const room = name === undefined ? undefined : this.#makeRoom(name)
      const code: unknown = await getCode()
      await room
      if (!isObject(code)) return code
      note(guest, code)
      const watched = await this.#withNames(withPlainEnv(code), name)
      const whole = this.#connected(watched, guest)
      if (guest.cpuMs !== undefined)
        guest.started = await announce(this.#inner.fetcher, guest.cpuMs)
      return name === undefined ? whole : this.#movable(whole, guest)
    }
  }

  /** The same code with our entrypoint; as it is if that does not fit in. */
  #movable(code: object, guest: Guest): object {
    if (!isCode(code) || !this.#hasRoom(guest)) return code
    const { mainModule: main, modules } = code
    const text = textOf(main, modules[main])
    if (text === undefined) return code
    const file = `${this.#hidden}.js`
    const name = main.slice(0, main.lastIndexOf('/') + 1) + file
    const source = `${text}\nexport { Guest as ${this.#hidden} } from './${file}'`
    guest.isMovable = true
    return over(code, {
      modules: { ...modules, [main]: { js: source }, [name]: { js: guestSource } },
    })
  }

  /**
   * The same code, with a `cloudflare:sockets` that has TLS done outside of the cell, if what it sends
   * goes there. Ours gets at workerd's by a way that is there with Node's modules alone.
   */
  #connected(code: object, guest: Guest): object {
    const { socketsSource } = this.#inner
    if (socketsSource === undefined || !isCode(code) || !this.#hasRoom(guest)) return code
    const isOther = code.globalOutbound !== undefined || sockets in code.modules
    if (
      isOther ||
      !hasNode(code) ||
      textOf(code.mainModule, code.modules[code.mainModule]) === undefined
    )
      return code
    return over(code, {
      modules: { ...code.modules, [sockets]: { js: socketsModule + socketsSource } },
    })
  }

  /** Code that has just room enough stays as it is. */
  #hasRoom({ codeBytes }: Guest): boolean {
    return codeBytes <= this.#inner.movableCodeBytes
  }

  /** The same code, with `tails` that are told its name. */
  async #withNames(code: object, name: string | undefined): Promise<object> {
    const { tails } = this.#inner
    if (!tails || !hasTails(code)) return code
    const named = code.tails.map((tail) => tails.named(name ?? '', tail))
    return over(code, { tails: await Promise.all(named) })
  }

  /** Lets go of Workers, so that a new one has its place. Says so outside, and does as it is told. */
  async #makeRoom(newest: string): Promise<void> {
    const { fetcher, keptWorkers, keptCodeBytes } = this.#inner
    const asked = fetcher.fetch('http://loader/load').catch(() => undefined)
    await this.#letGo(newest, ({ count, bytes }) => count > keptWorkers || bytes > keptCodeBytes)
    if ((await asked)?.status !== 507) return
    const half = this.#guests.size / 2
    await this.#letGo(newest, ({ count }) => count > half)
  }

  /**
   * Lets go of those that were asked for longest ago, while there is too much. They are waited for, and
   * not by `waitUntil`: of many requests at once that go on after their answers, none has the isolate freed.
   */
  async #letGo(
    newest: string,
    isTooMuch: (kept: { count: number; bytes: number }) => boolean,
  ): Promise<void> {
    const leaving: Promise<unknown>[] = []
    const kept = { count: this.#guests.size, bytes: 0 }
    for (const { codeBytes } of this.#guests.values()) kept.bytes += codeBytes
    for (const [name, guest] of this.#guests) {
      if (!isTooMuch(kept)) break
      if (name === newest || !guest.isMovable) continue
      this.#guests.delete(name)
      kept.count -= 1
      kept.bytes -= guest.codeBytes
      const stub = this.#native.get(guest.key, gone)
      leaving.push(stub.getEntrypoint(this.#hidden).leave().catch(ignore))
    }
    if (leaving.length === 0) return
    // One that has not started yet may take any time.
    await Promise.race([Promise.all(leaving), scheduler.wait(longestLeaveMs)])
  }
}

type Terms = {
  readonly guest: Guest
  readonly settled: () => Promise<void>
  readonly fetcher: Fetcher
}

class WorkerStub {
  readonly [Symbol.toStringTag] = 'WorkerStub'
  readonly #stub: NativeStub
  readonly #terms: Terms

  constructor(stub: NativeStub, terms: Terms) {
    this.#stub = stub
    this.#terms = terms
  }

  getEntrypoint(...args: readonly unknown[]): Reachable {
    const fetcher = this.#stub.getEntrypoint(...args)
    const { guest } = this.#terms
    const own = cpuOf(args[1])
    const isFree = guest.isKnown && guest.cpuMs === undefined && own === undefined
    return isFree ? fetcher : limited(fetcher, () => begin(this.#terms, own))
  }

  getDurableObjectClass(...args: readonly unknown[]): unknown {
    return this.#stub.getDurableObjectClass(...args)
  }
}

// ---- CPU time

type Begin = () => Promise<() => void>

/** Says that a Worker is about to be called, if its time is limited; resolves once that is known. */
async function begin(terms: Terms, own: number | undefined): Promise<() => void> {
  const { guest, settled, fetcher } = terms
  if (!guest.isKnown) await settled()
  const limits = [own, guest.cpuMs].filter((limit) => limit !== undefined)
  return limits.length === 0 ? ignore : announce(fetcher, Math.min(...limits))
}

/** Has a limit of CPU time held, from when this resolves until what it gives is called. */
async function announce(fetcher: Fetcher, cpuMs: number): Promise<() => void> {
  const answer = await fetcher.fetch(`http://loader/call?${cpuMs}`)
  if (answer.status === 429) throw new Error(answer.statusText)
  const { body } = answer
  if (answer.status !== 200 || !body) throw new Error('The limits of the Worker can not be held.')
  return () => void body.cancel().catch(ignore)
}

/** The entrypoint behind one that is limited. */
const plainOf = new WeakMap<object, unknown>()

/** An entrypoint each call of which begins with `start`, and ends when there is an answer. */
function limited(fetcher: Reachable, start: Begin): Reachable {
  const proxy = proxyOf(fetcher, start)
  plainOf.set(proxy, fetcher)
  return proxy
}

function proxyOf(fetcher: Reachable, start: Begin): Reachable {
  return new Proxy(fetcher, {
    get(_target, key) {
      if (key === 'then') return undefined
      if (key === 'fetch') {
        return (...args: readonly unknown[]) =>
          during(start, () => ({ value: fetcher.fetch(...args) })).then(({ value }) => value)
      }
      if (key === 'connect') return (...args: readonly unknown[]) => connected(fetcher, args, start)
      if (typeof key === 'symbol' || key in Object.prototype) {
        const own: unknown = fetcher[key]
        return typeof own === 'function' ? own.bind(fetcher) : own
      }
      return reach(async () => ({ value: fetcher }), [key], start)
    },
  })
}

/** A socket is there at once: the limit comes a moment later. */
function connected(fetcher: Reachable, args: readonly unknown[], start: Begin): Reachable {
  const socket = fetcher.connect(...args)
  start().then((end) => socket.closed.then(end, end), ignore)
  return socket
}

/** In a box, what is a promise itself is not waited for. */
type Box = { readonly value: Reachable }

async function during(start: Begin, run: () => Promise<Box> | Box): Promise<Box> {
  const end = await start()
  try {
    const box = await run()
    Promise.resolve(box.value).then(end, end)
    return box
  } catch (error) {
    end()
    throw error
  }
}

/** A property of what there will be: it can be called, waited for, and has properties in turn. */
function reach(origin: () => Promise<Box>, path: readonly string[], start: Begin): Reachable {
  const last = path.at(-1) ?? ''
  const run = (use: (owner: Reachable) => Reachable): Promise<Box> =>
    during(start, async () => {
      let { value: owner } = await origin()
      for (const key of path.slice(0, -1)) owner = owner[key]
      return { value: use(owner) }
    })
  return new Proxy(() => {}, {
    get: (_target, key) => {
      if (typeof key === 'symbol') return undefined
      if (key !== 'then') return reach(origin, [...path, key], start)
      const read = run((owner) => owner[last]).then(({ value }) => value)
      return read.then.bind(read)
    },
    apply: (_target, _this, args) =>
      resultOf(
        run((owner) => owner[last](...args)),
        start,
      ),
  })
}

/** What a call will give: a promise that can be called on before it is fulfilled, as workerd's can. */
function resultOf(box: Promise<Box>, start: Begin): Reachable {
  box.catch(ignore)
  return new Proxy(() => {}, {
    get: (_target, key) => {
      if (key === Symbol.dispose) return () => void box.then(({ value }) => dispose(value), ignore)
      if (typeof key === 'symbol') return undefined
      if (key !== 'then' && key !== 'catch' && key !== 'finally') {
        return reach(() => box, [key], start)
      }
      const result = box.then(({ value }) => value)
      return result[key].bind(result)
    },
  })
}

function dispose(value: Reachable): void {
  value?.[Symbol.dispose]?.()
}

// ---- code

/** Takes note of what code says of itself. Whether that is right is for workerd to say. */
function note(guest: Guest, code: object): void {
  guest.isKnown = true
  guest.cpuMs = cpuOf(code)
  guest.codeBytes = isCode(code) ? sizeOf(code) : 0
}

function cpuOf(from: unknown): number | undefined {
  const limits: unknown = isObject(from) && 'limits' in from ? from.limits : undefined
  const cpuMs = isObject(limits) && 'cpuMs' in limits ? Number(limits.cpuMs) : Number.NaN
  return Number.isFinite(cpuMs) && cpuMs >= 0 ? Math.min(Math.floor(cpuMs), 999_999_999) : undefined
}

/** Whether it has Node's modules: developers.cloudflare.com/workers/configuration/compatibility-flags. */
function hasNode({ compatibilityDate: date, compatibilityFlags: flags }: Code): boolean {
  const named: readonly unknown[] = Array.isArray(flags) ? flags : []
  if (named.includes('no_nodejs_compat')) return false
  const isDefault = typeof date === 'string' && date >= '2026-08-04'
  return isDefault || named.includes('nodejs_compat')
}

/** The same code, with workerd's own entrypoints in `env`: it says why they can't be there. */
function withPlainEnv(code: object): object {
  const env: unknown = 'env' in code ? code.env : undefined
  if (!isObject(env)) return code
  const entries = Object.entries(env)
  if (!entries.some(([, value]) => isObject(value) && plainOf.has(value))) return code
  const plain = entries.map(([name, value]) => [name, plainOf.get(value) ?? value])
  return over(code, { env: Object.fromEntries(plain) })
}

function isCode(code: object): code is Code {
  return (
    'mainModule' in code &&
    typeof code.mainModule === 'string' &&
    'modules' in code &&
    isObject(code.modules)
  )
}

function hasTails(code: object): code is { readonly tails: readonly unknown[] } {
  return 'tails' in code && Array.isArray(code.tails) && code.tails.length > 0
}

/** The text of an ES module; `undefined` if it is none. */
function textOf(name: string, module: unknown): string | undefined {
  if (typeof module === 'string') return name.endsWith('.js') ? module : undefined
  if (!isObject(module) || Object.keys(module).length !== 1 || !('js' in module)) return undefined
  return typeof module.js === 'string' ? module.js : undefined
}

function sizeOf({ modules }: Code): number {
  let bytes = 0
  for (const module of Object.values(modules)) {
    const contents = isObject(module) ? Object.values(module) : [module]
    for (const content of contents) {
      if (typeof content === 'string') bytes += content.length
      else if (isObject(content) && 'byteLength' in content) bytes += Number(content.byteLength)
    }
  }
  return bytes
}

/** An object with some properties in place of its own, whatever kind of object it is. */
function over(code: object, properties: object): object {
  return Object.setPrototypeOf(properties, code)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** As workerd reads it. What can't be text throws. */
function textOfName(name: unknown): string {
  return typeof name === 'string' ? name : `${name as number}`
}

function noSuch(entrypoint: string): string {
  return `Worker has no such entrypoint: ${entrypoint}`
}

function gone(): Promise<never> {
  return Promise.reject(new Error('The Worker is gone.'))
}

function ignore(): void {}
