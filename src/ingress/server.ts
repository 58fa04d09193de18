import type { Duplex } from 'node:stream'
import type { SiteServer } from '#contract/assets.ts'
import type { HostAnswer, HostServer } from '#contract/hosts.ts'
import type { Address, Listening } from '#contract/listening.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Random } from '#contract/ports/random.ts'
import type {
  Exceeded,
  ExceededLimit,
  Flight,
  IngressPort,
  RouteTable,
  Target,
  Traffic,
  WakePort,
  ZoneOwner,
} from '#contract/snapshot.ts'
import type { HttpRequest, HttpResponse } from '#http1/exchange.ts'
import type { Certificates } from './certificates.ts'
import { Doors } from './doors.ts'
import { answerAtHost, answerFromFiles, type Asked } from './files.ts'
import { type Outcome, Upstream } from './forward.ts'
import { InFlight } from './in-flight.ts'
import { holdWaitMs, restartWaitMs, urlBytes, wakeWaitMs } from './limits.ts'
import { type ErrorPage, pages, redirectTo, sendPage, sendText } from './pages.ts'
import { Rays } from './rays.ts'
import { choose, pick, wishOf } from './split.ts'
import { Stalls, Taker } from './stall.ts'
import { isAsleep, isHeld, isWaking, type Site, Table } from './table.ts'
import {
  forwardedFields,
  hostOf,
  originOf,
  type Trust,
  type Visit,
  withoutUsualPort,
} from './visitor.ts'
import { type Joined, joinWebSocket, part, refuseUpgrade, type Upgrade } from './websocket.ts'

export type IngressOptions = {
  readonly trust: Trust
  /** Whether visitors without TLS are sent to the listener that has it, once there is one. */
  readonly httpsRedirect?: boolean
  /** What an authority that is to vouch for a host asks it for: texts by their tokens. */
  readonly challenges?: ReadonlyMap<string, string>
  readonly random: Random
  readonly log: Log
  /** Answers from the files of Workers. Without it their code answers everything. */
  readonly sites?: SiteServer | undefined
  /** Hosts that are no Worker's, and answer all the same. */
  readonly hosts?: readonly HostServer[]
  /** Starts what has no process. Without it nothing is woken. */
  readonly waker?: WakePort
  /** How long a visitor may neither send nor take anything, in ms. Without it: `visitorStallMs`. */
  readonly stallMs?: number
  /** How long a connection of HTTP/2 may be idle, in ms. Without it: `keepAliveMs`. */
  readonly idleMs?: number
}

/** The public listener: a visitor's request finds its Worker's process. Owned by `main.ts`. */
export interface Ingress extends IngressPort, AsyncDisposable {
  publishRoutes(table: RouteTable): void
  /** Whose host it is, by what was published; `undefined` if it is in no account's zone. */
  ownerOf(hostname: string): ZoneOwner | undefined
  /** Listens; resolves with what it is bound to, rejects with Node's error if it can't. */
  listen(where: Listening): Promise<Address>
  /** The same for visitors that come by TLS. */
  listenTls(where: Listening, certificates: Certificates): Promise<Address>
  /** Accepts nobody, closes WebSockets, and lets what else is in flight finish, for so long. */
  close(deadlineMs: number): Promise<void>
}

export function createIngress(options: IngressOptions): Ingress {
  return new IngressServer(options)
}

/** RFC 8555 §8.3. */
const challengePath = '/.well-known/acme-challenge/'

class IngressServer implements Ingress {
  readonly #options: IngressOptions
  readonly #table = new Table()
  readonly #inFlight = new InFlight()
  readonly #upstreams = new Map<string, Upstream>()
  readonly #stalls: Stalls
  readonly #doors: Doors
  readonly #rays: Rays
  /** Connections that were to become WebSockets: the server does not count them among its own. */
  readonly #upgrades = new Set<Duplex>()
  /** What a host is followed by to get to where TLS is; absent: nobody is sent there. */
  #tlsPort: string | undefined

  constructor(options: IngressOptions) {
    this.#options = options
    this.#rays = new Rays(options.random)
    this.#stalls = new Stalls(options.stallMs)
    this.#doors = new Doors({
      answer: (request, response) => void this.#answer(request, response),
      join: (request, socket, rest) => void this.#join(request, socket, rest),
      stalls: this.#stalls,
      idleMs: options.idleMs,
    })
  }

  listen(where: Listening): Promise<Address> {
    return this.#doors.open(where)
  }

  async listenTls(where: Listening, certificates: Certificates): Promise<Address> {
    const bound = await this.#doors.openTls(where, certificates)
    if (this.#options.httpsRedirect) this.#tlsPort = bound.port === 443 ? '' : `:${bound.port}`
    return bound
  }

  publishRoutes(table: RouteTable): void {
    this.#table.publishRoutes(table)
  }

  ownerOf(hostname: string): ZoneOwner | undefined {
    return this.#table.ownerOf(hostname)
  }

  publishLive(table: Parameters<IngressPort['publishLive']>[0]): void {
    this.#table.publishLive(table)
    const live = new Set([...table.workers.values()].flat().map((target) => target.id))
    this.#inFlight.watch(live)
    for (const [id, upstream] of this.#upstreams) {
      // What still has requests in flight is closed by their drain.
      if (live.has(id) || this.#inFlight.count(id) > 0) continue
      upstream.close()
      this.#upstreams.delete(id)
    }
  }

  beginEvent(targetId: string, cut: () => void): Flight {
    return this.#inFlight.begin(targetId, cut, 'event')
  }

  async drain(targetIds: readonly string[], deadlineMs: number, eventsMs?: number): Promise<void> {
    await this.#inFlight.drain(targetIds, deadlineMs, eventsMs)
    for (const id of targetIds) {
      this.#upstreams.get(id)?.close()
      this.#upstreams.delete(id)
    }
  }

  idleMs(targetIds: readonly string[]): number {
    return this.#inFlight.idleMs(targetIds)
  }

  traffic(targetIds: readonly string[]): Traffic | undefined {
    return this.#inFlight.traffic(targetIds)
  }

  answered(targetIds: readonly string[]): number {
    return this.#inFlight.answered(targetIds)
  }

  exceeded(targetIds: readonly string[], limit: ExceededLimit): void {
    this.#inFlight.exceeded(targetIds, limit)
  }

  closeWebSockets(targetIds: readonly string[]): void {
    this.#inFlight.cutSockets(targetIds)
  }

  async close(deadlineMs: number): Promise<void> {
    const closed = this.#doors.close(deadlineMs)
    await this.#inFlight.drainAll(deadlineMs)
    for (const socket of this.#upgrades) part(socket)
    await closed
    // Those that came while the others went.
    await this.#inFlight.drainAll(0)
    await this.#parted()
    for (const upstream of this.#upstreams.values()) upstream.close()
    this.#upstreams.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0)
  }

  /** Resolves when nobody is left who was told to go: each has its time for that. */
  async #parted(): Promise<void> {
    await Promise.all(
      [...this.#upgrades].map((socket) => new Promise((resolve) => socket.once('close', resolve))),
    )
  }

  async #answer(request: HttpRequest, response: HttpResponse): Promise<void> {
    const ray = this.#rays.next()
    const proof = this.#proofFor(request)
    if (proof !== undefined) return sendText(response, proof)
    const page = await this.#tryTargets(request, response, ray).catch((error: unknown) => {
      this.#options.log.error('ingress failed', { ray, error: String(error) })
      return pages.unavailable
    })
    if (page && !response.destroyed) sendPage(response, page, ray)
  }

  /** The answer to a challenge that is pending; all others are the Worker's to answer. */
  #proofFor({ url }: HttpRequest): string | undefined {
    const { challenges } = this.#options
    if (!challenges || challenges.size === 0 || !url.startsWith(challengePath)) return undefined
    return challenges.get(url.slice(challengePath.length))
  }

  /** Has the request answered, or says which page to send instead. */
  async #tryTargets(
    request: HttpRequest,
    response: HttpResponse,
    ray: string,
  ): Promise<ErrorPage | undefined> {
    const visit = this.#visit(request, ray)
    if ('status' in visit) return visit
    const host = this.#hostAnswer(visit.hostname)
    if (host) {
      await answerAtHost(host, { request, response, visit })
      return undefined
    }
    const began = performance.now()
    const wish = wishOf(request)
    let patienceMs = 0
    for (let broken = 0; ;) {
      const site = this.#table.find(visit) ?? (await this.#table.findPreview(visit.hostname))
      if (!site) return pages.noWorker
      if (await this.#fromFiles(choose(site, wish), { request, response, visit })) return undefined
      const target = pick(site, wish)
      if (target) {
        const outcome = await this.#once(request, response, { visit, target })
        if (outcome === 'answered') return undefined
        if (outcome === 'threw') return pages.threw
        if (outcome === 'full') return pages.unavailable
        // The Worker may have acted on it, or died of it: only what is safe is repeated.
        const isLast =
          outcome !== 'unreached' && (broken++ >= repeatsAfter(outcome) || !isRepeatable(request))
        if (typeof outcome === 'object' && (isLast || outcome.isCulprit)) return pages.exceeded
        if (isLast) return pages.unavailable
        if (request.body?.isTouched) return pages.unavailable
      }
      patienceMs = Math.max(patienceMs, this.#patience(site))
      const left = began + patienceMs - performance.now()
      if (left <= 0 || response.destroyed) return pages.unavailable
      // A dead process is noticed by its exit, which follows the broken connection.
      await pause(5)
      if (!(await this.#table.up(visit, site, left))) return pages.unavailable
    }
  }

  /** Who answers at a host that is no Worker's. */
  #hostAnswer(hostname: string): HostAnswer | undefined {
    for (const hosts of this.#options.hosts ?? []) {
      const found = hosts.find(hostname)
      if (found) return found
    }
    return undefined
  }

  /** Has a request answered from the files of the version that it is for, if they have an answer. */
  #fromFiles(target: Target | undefined, asked: Asked): boolean | Promise<boolean> {
    const { sites } = this.#options
    return target?.site !== undefined && sites !== undefined
      ? answerFromFiles(sites, target.site, asked)
      : false
  }

  async #once(
    request: HttpRequest,
    response: HttpResponse,
    to: { readonly visit: Visit; readonly target: Target },
  ): Promise<Outcome | Exceeded> {
    const { visit, target } = to
    const flight = this.#inFlight.begin(target.id, () => response.destroy())
    let isAnswered = false
    try {
      const fields = forwardedFields(request, visit, target)
      const outcome = await this.#upstream(target).forward(request, response, fields)
      isAnswered = outcome === 'threw' || response.writableEnded
      return outcome === 'broken' ? (flight.exceeded ?? outcome) : outcome
    } finally {
      flight.end({ isAnswered })
    }
  }

  async #join(request: HttpRequest, socket: Duplex, rest: Buffer): Promise<void> {
    const taker = new Taker(socket)
    this.#upgrades.add(socket)
    this.#stalls.add(taker)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      this.#upgrades.delete(socket)
      this.#stalls.delete(taker)
    })
    const page = await this.#tryToJoin({ request, socket, rest })
    if (page) refuseUpgrade(socket, page)
  }

  /** Has the handshake answered, or says which page to send instead. It may be repeated, once. */
  async #tryToJoin(upgrade: {
    readonly request: HttpRequest
    readonly socket: Duplex
    readonly rest: Buffer
  }): Promise<ErrorPage | undefined> {
    const visit = this.#visit(upgrade.request, this.#rays.next())
    if ('status' in visit) return visit
    const wish = wishOf(upgrade.request)
    const began = performance.now()
    let patienceMs = 0
    for (let broken = 0; ;) {
      const site = this.#table.find(visit) ?? (await this.#table.findPreview(visit.hostname))
      if (!site) return pages.noWorker
      const target = pick(site, wish)
      if (target) {
        const fields = forwardedFields(upgrade.request, visit, target)
        const outcome = await this.#joinOnce({ ...upgrade, fields, target })
        if (outcome === 'answered') return undefined
        const isLast = outcome !== 'unreached' && broken++ > 0
        if (typeof outcome === 'object' && (isLast || outcome.isCulprit)) return pages.exceeded
        if (isLast) return pages.unavailable
      }
      patienceMs = Math.max(patienceMs, this.#patience(site))
      const left = began + patienceMs - performance.now()
      if (left <= 0) return pages.unavailable
      await pause(5)
      if (!(await this.#table.up(visit, site, left))) return pages.unavailable
      if (upgrade.socket.destroyed) return undefined
    }
  }

  async #joinOnce(upgrade: Omit<Upgrade, 'cut'>): Promise<Joined | Exceeded> {
    const cut = new AbortController()
    const flight = this.#inFlight.begin(upgrade.target.id, () => cut.abort(), 'socket')
    try {
      const joined = await joinWebSocket({ ...upgrade, cut: cut.signal })
      return joined === 'broken' ? (flight.exceeded ?? joined) : joined
    } finally {
      flight.end({ isAnswered: false })
    }
  }

  /** How long a request waits for its Worker's process, in ms. One that sleeps is woken. */
  #patience(site: Site): number {
    if (isHeld(site)) return holdWaitMs
    if (isWaking(site)) return wakeWaitMs
    if (!isAsleep(site)) return restartWaitMs
    this.#options.waker?.wake(site.routed)
    return wakeWaitMs
  }

  /** Checks a request before anything is looked up for it. */
  #visit(request: HttpRequest, ray: string): Visit | ErrorPage {
    const { url } = request
    if (url.length > urlBytes) return pages.urlTooLong
    if (!isTarget.test(url)) return pages.badTarget
    const host = hostOf(request)
    if (!host) return pages.badHost
    const origin = originOf(request, this.#options.trust)
    if (this.#tlsPort !== undefined && origin.protocol === 'http') {
      return redirectTo(`https://${host.hostname}${this.#tlsPort}${url}`)
    }
    const { hostname } = host
    return { hostname, host: withoutUsualPort(host.host, origin.protocol), ...origin, url, ray }
  }

  #upstream(target: Target): Upstream {
    const known = this.#upstreams.get(target.id)
    if (known) return known
    const made = new Upstream(target)
    this.#upstreams.set(target.id, made)
    return made
  }
}

/** What HTTP/1 lets through anyway: by HTTP/2, bytes come here that routes and Workers read in two ways. */
const isTarget = /^\/[!-~]*$/

/**
 * How often a request is sent again whose process ended. What was killed for a limit may be this
 * request's doing; a process that died otherwise may die again by itself.
 */
function repeatsAfter(outcome: Outcome | Exceeded): number {
  return typeof outcome === 'object' ? 1 : 2
}

const repeatable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

function isRepeatable(request: HttpRequest): boolean {
  return repeatable.has(request.method) && !request.body
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds))
}
