import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Acme } from '#acme/acme.ts'
import { createBackplane, capabilityHeader } from '#backplane/server.ts'
import { bindings } from '#bindings/index.ts'
import { openBindings, portsOfNone, serveBy, startBindings } from '#bindings/live.ts'
import type { Config } from '#config'
import type { Binding, ServedBinding } from '#contract/binding.ts'
import type { CellHost } from '#contract/cell.ts'
import { parseEnvironmentFile, printEnvironmentFile } from '#contract/environment-file.ts'
import { messageOf, OperatorError } from '#contract/errors.ts'
import type { EventHost } from '#contract/events.ts'
import type { AccountId, BlobKey, ObjectNamespaceId } from '#contract/ids.ts'
import type { Address, Listening } from '#contract/listening.ts'
import type { Ports } from '#contract/ports.ts'
import type { Blob } from '#contract/ports/blob.ts'
import type { Databases } from '#contract/ports/databases.ts'
import type { Log, LogFields } from '#contract/ports/log.ts'
import type { ObjectFiles } from '#contract/ports/object-files.ts'
import type { Sql } from '#contract/ports/sql.ts'
import { type Control, controlMigrations, createControl } from '#control/control.ts'
import { type ApiListener, createApiListener } from '#control/listener.ts'
import { decideChange } from '#deploy/change.ts'
import { openBlobs } from '#drivers/blob/fs/driver.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import {
  prepareDirectory,
  socketDirectory,
  writePrivateFile,
} from '#drivers/directory/local/driver.ts'
import { historyMigrations, openHistory } from '#drivers/history/local/driver.ts'
import { leaseDirectory } from '#drivers/lease/directory/driver.ts'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { openObjectFiles } from '#drivers/object-files/local/driver.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { openSqlite } from '#drivers/sql/sqlite/driver.ts'
import { readMigrations } from '#drivers/sql/sqlite/migrations.ts'
import { openVault, vaultMigrations } from '#drivers/vault/local/driver.ts'
import { createEgress, type EgressOptions } from '#egress/server.ts'
import { openCertificates, ownFolder } from '#ingress/certificates.ts'
import { Front, type TlsFront } from '#ingress/front.ts'
import { createIngress, type Ingress, type IngressOptions } from '#ingress/server.ts'
import { trustIn } from '#ingress/visitor.ts'
import { workerdPath } from '#runtime/binary.ts'
import { openDatabases } from '#runtime/databases/databases.ts'
import { startCellHost } from '#runtime/host.ts'
import type { Jail } from '#runtime/jail.ts'
import { scheduleMigrations, Schedules } from '#schedules/schedules.ts'

// The composition root: config → drivers → rooms → start, stop. No other file knows every room.

/** A server that is up. Whoever started it stops it. */
export interface RunningServer {
  readonly config: Config
  /** What `CLOUDFLARE_API_BASE_URL` is to be. */
  readonly apiUrl: string
  /** Where a Worker of the first account answers. */
  visitorUrl(worker: string): string
  /** Lets what is in flight finish, then stops everything. */
  stop(): Promise<void>
}

/** How long requests in flight may take when the server stops; WebSockets are closed then. */
const stopMs = 15_000
/** How long the requests of a replaced version may take. */
const drainMs = 60_000
/** How long `waitUntil` may take: developers.cloudflare.com/workers/runtime-apis/context. */
const lingerMs = 30_000
/** The same, where visitors wait for it because the next version takes over its objects. */
const holdMs = 10_000
/** How long a cell may take to start: a check of an upload ends by this too. */
const startTimeoutMs = 10_000
const cellTimes = { drainMs, lingerMs, holdMs, startTimeoutMs }

/**
 * Starts everything; resolves when each Worker that was deployed has been started (or has failed to
 * once). Throws an `OperatorError` that says what to do if the machine does not allow it.
 */
export async function startServer(config: Config): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack()
  const jail = Promise.withResolvers<Jail | undefined>()
  const drivers = await openDrivers(config, { stack, jail: jail.promise })
  const acme = new Acme()
  const from = { config, drivers, stack }
  const served = await openBindings(bindings, (each) => portsOf(each, from), stack)
  const ingress = stack.use(
    createIngress({
      ...drivers,
      httpsRedirect: config.httpsRedirect,
      challenges: acme.challenges,
      trust: trustOf(config.trustedProxies),
      ...lookedAt(served),
      waker: { wake: (worker) => host.wake(worker) },
    }),
  )
  const objectsDirectory = join(config.dataDirectory, 'objects')
  const host = stack.use(
    await startCellHost({
      ...drivers,
      workerdPath,
      objectsDirectory,
      runDirectory: await socketDirectory(config.dataDirectory),
      readModule: (key) => readModule(drivers.blob, key),
      decide: decideChange,
      backplane: createBackplane({ serve: serveBy(served), log: drivers.log }),
      egress: createEgress({ ...config.egress, ...keyPairsOf(served), log: drivers.log }),
      ingress,
      capabilityHeader,
      ...cellTimes,
      ...cellSettings(config),
      nextAlarm: (account, namespaces) => nextAlarm(objectFiles, account, namespaces),
      planPreview: (of) => control.planPreview(of),
    }),
  )
  jail.resolve(host.jail)
  const objectFiles = stack.use(await openObjectFiles({ ...drivers, path: objectsDirectory }))
  await objectFiles.sweep()
  const schedules = await openSchedules({ ...from, host })
  const front = new Front()
  const names = { domain: config.domain, urlOf: (name: string) => front.urlOf(name) }
  const control = createControl({
    ...drivers,
    ...names,
    host,
    bindings: served,
    objectFiles,
    schedules,
    publishRoutes: (table) => [acme, ingress].forEach((to) => to.publishRoutes(table)),
  })
  const { account, token } = await control.prepare(await knownToken(config))
  const api = createApiListener({ ...spokenBy(served, control), ...drivers })
  stack.defer(() => api.close(0))
  await openFront({ ...drivers, config, ingress, acme, front }, stack)
  const apiUrl = await openApi(api, config)
  await control.start()
  const house = { host, usage: control.usage, ...names, ownerOf: ingress.ownerOf.bind(ingress) }
  const events = stack.use(startEvents(schedules, served, house))
  await writeAdmin(config, { apiUrl, account, token })
  api.ready()
  logReady(drivers.log, { api: apiUrl, visitors: front.urlOf(config.domain), ...front.ports }, host)
  const running = stack.move()
  return {
    config,
    apiUrl,
    visitorUrl: (worker) => front.urlOf(`${worker}.${config.domain}`),
    stop: () => stopServer({ ...drivers, api, control, ingress, events, running }),
  }
}

/** What the API's listener passes on, and to whom. */
function spokenBy(served: readonly ServedBinding[], control: Control) {
  return {
    fetch: (request: Request) => control.fetch(request),
    protocols: served.flatMap(({ live }) => live?.protocols ?? []),
  }
}

/** Has the API listen; gives the URL below which it is. */
async function openApi(api: ApiListener, config: Config): Promise<string> {
  return `${urlAt(await listen((where) => api.listen(where), '--api', config.api))}/client/v4`
}

/** What the first account's owner points wrangler with. */
async function writeAdmin(
  config: Config,
  { apiUrl, account, token }: { apiUrl: string; account: AccountId; token: string },
): Promise<void> {
  const admin = {
    CLOUDFLARE_API_BASE_URL: apiUrl,
    CLOUDFLARE_API_TOKEN: token,
    CLOUDFLARE_ACCOUNT_ID: account,
    CLOUDFLARE_BASE_URL: apiUrl,
    WRANGLER_SEND_METRICS: 'false',
  }
  await writePrivateFile(adminPath(config), printEnvironmentFile(admin))
}

/** What ingress asks before it looks for a Worker's process. */
function lookedAt(served: readonly ServedBinding[]): Pick<IngressOptions, 'sites' | 'hosts'> {
  return {
    sites: served.map(({ live }) => live?.sites).find((sites) => sites !== undefined),
    hosts: served.flatMap(({ live }) => (live?.hosts ? [live.hosts] : [])),
  }
}

/** Who has what Workers prove with who they are. */
function keyPairsOf(served: readonly ServedBinding[]): Pick<EgressOptions, 'clientCertificates'> {
  const all = served.flatMap(({ live }) => live?.clientCertificates ?? [])
  return { clientCertificates: all[0] }
}

function cellSettings({ sleepMs, limits, isolation }: Config) {
  return { sleepMs, limits, isolation }
}

function logReady(log: Log, where: LogFields, host: CellHost): void {
  const { mode: isolation, seccomp, cgroup } = host.isolation
  log.info('ready', { ...where, isolation, seccomp, cgroup })
}

/** From the outside in: no more changes, no more visitors and events, no more cells, no more files. */
async function stopServer(server: {
  readonly api: ApiListener
  readonly control: Control
  readonly ingress: Ingress
  /** What gives Workers events that nobody outside sent. */
  readonly events: AsyncDisposable
  readonly running: AsyncDisposableStack
  readonly log: Log
}): Promise<void> {
  server.log.info('stopping')
  await Promise.all([
    server.api.close(stopMs),
    server.ingress.close(stopMs),
    server.events[Symbol.asyncDispose](),
  ])
  await server.control.idle()
  await server.running.disposeAsync()
}

/** The drivers of the control plane. A binding's are its own: see `portsOf`. */
async function openDrivers(
  config: Config,
  given: { readonly stack: AsyncDisposableStack; readonly jail: Promise<Jail | undefined> },
): Promise<Ports> {
  const { dataDirectory } = config
  const { stack } = given
  await prepareDirectory(dataDirectory)
  stack.use(leaseDirectory(dataDirectory))
  const log = jsonLog({
    write: (line) => process.stderr.write(line),
    level: config.logLevel,
    now: () => systemClock.now(),
  })
  const inData = (name: string): string => join(dataDirectory, name)
  const vaultSql = await openSql({ path: inData('vault.db'), migrations: vaultMigrations, log })
  stack.use(vaultSql)
  const vault = await openVault({
    sql: vaultSql,
    masterKey: config.masterKey,
    masterKeyPath: inData('master.key'),
  })
  const sql = await openSql({ path: inData('control.db'), migrations: controlMigrations, log })
  stack.use(sql)
  const blob = await openBlobs({ path: inData('code') })
  const system = { log, clock: systemClock, random: systemRandom }
  const databases = stack.use(await openDatabaseCells(config, { ...system, ...given }))
  return { ...system, sql, blob, vault, databases }
}

/** Databases of users' SQL. Their processes wait until it is known which jail there is. */
async function openDatabaseCells(
  config: Config,
  from: Pick<Ports, 'log' | 'clock' | 'random'> & {
    readonly stack: AsyncDisposableStack
    readonly jail: Promise<Jail | undefined>
  },
): Promise<Databases & AsyncDisposable> {
  const { dataDirectory, sleepMs } = config
  const log = from.log.child({ room: 'databases' })
  const path = join(dataDirectory, 'history')
  await prepareDirectory(path)
  const sql = await openSql({ path: `${path}.db`, migrations: historyMigrations, log })
  from.stack.use(sql)
  const blob = await openBlobs({ path: join(path, 'segments') })
  const history = from.stack.use(
    openHistory({ ...from, log, sql, blob, path: join(path, 'journals') }),
  )
  return openDatabases({
    ...from,
    log,
    history,
    workerdPath,
    path: join(dataDirectory, 'databases'),
    runDirectory: await socketDirectory(dataDirectory),
    jail: () => from.jail,
    startTimeoutMs,
    sleepMs,
  })
}

async function openSql(options: {
  readonly path: string
  readonly migrations: URL
  readonly log: Log
}): Promise<Sql> {
  return openSqlite({ ...options, migrations: await readMigrations(options.migrations) })
}

async function openSchedules(from: {
  readonly config: Config
  readonly drivers: Ports
  readonly host: EventHost
  readonly stack: AsyncDisposableStack
}): Promise<Schedules> {
  const log = from.drivers.log.child({ room: 'schedules' })
  const path = join(from.config.dataDirectory, 'schedules.db')
  const sql = from.stack.use(await openSql({ path, migrations: scheduleMigrations, log }))
  return Schedules.open({ sql, log, clock: from.drivers.clock, events: from.host.events })
}

/** Every Worker is back: handlers are called. Disposing of what it returns ends that. */
function startEvents(
  schedules: Schedules,
  served: readonly ServedBinding[],
  given: Parameters<typeof startBindings>[1],
): AsyncDisposable {
  const started = [schedules.start(), startBindings(served, given)]
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(started.map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

/** A binding's own database and blobs, named after its type. */
async function portsOf(
  { type, migrations }: Binding,
  from: {
    readonly config: Config
    readonly drivers: Ports
    readonly stack: AsyncDisposableStack
  },
): Promise<Ports> {
  const log = from.drivers.log.child({ binding: type })
  if (!migrations) return { ...from.drivers, log, ...portsOfNone(type) }
  const path = join(from.config.dataDirectory, type)
  const sql = from.stack.use(await openSql({ path: `${path}.db`, migrations, log }))
  return { ...from.drivers, log, sql, blob: await openBlobs({ path }) }
}

/** When the next alarm of these namespaces is due. */
async function nextAlarm(
  files: ObjectFiles,
  account: AccountId,
  namespaces: readonly ObjectNamespaceId[],
): Promise<number | undefined> {
  let next: number | undefined
  for (const namespace of namespaces) {
    for (const { at } of (await files.alarms({ account, namespace })).values()) {
      if (next === undefined || at < next) next = at
    }
  }
  return next
}

async function readModule(blob: Blob, key: BlobKey): Promise<Uint8Array> {
  await using reader = await blob.get(key)
  if (!reader) throw new Error(`the module ${key} is gone`)
  return await reader.bytes()
}

function adminPath({ dataDirectory }: Config): string {
  return join(dataDirectory, 'admin.env')
}

/** The text of a file; `undefined` if there is none. */
async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** The token that an earlier start gave out. */
async function knownToken(config: Config): Promise<string | undefined> {
  const text = await readFile(adminPath(config), 'utf8').catch(() => '')
  return parseEnvironmentFile(text)['CLOUDFLARE_API_TOKEN']
}

// ---- listening

type FrontParts = {
  readonly config: Config
  readonly ingress: Ingress
  readonly acme: Acme
  readonly front: Front
  readonly clock: Ports['clock']
  readonly log: Log
}

/** Lets visitors in. */
async function openFront(parts: FrontParts, stack: AsyncDisposableStack): Promise<void> {
  const { config, ingress, front } = parts
  const plain = await listen((where) => ingress.listen(where), '--listen', config.listen)
  front.opened({ plain, tls: await openTls(parts, stack) })
}

/** Listens with TLS, if that is wanted, and has certificates got, if that is. */
async function openTls(
  parts: FrontParts,
  stack: AsyncDisposableStack,
): Promise<TlsFront | undefined> {
  const { tlsListen, tlsCertificates: directory, dataDirectory, acme } = parts.config
  if (!tlsListen) {
    if (acme) throw new OperatorError('--acme-email gets certificates for --tls-listen: name both.')
    return undefined
  }
  if (directory === join(dataDirectory, 'certificates')) await prepareDirectory(directory)
  const certificates = await openCertificates({ ...parts, directory }).catch((cause: unknown) => {
    const reason = messageOf(cause)
    throw new OperatorError(`--tls-certificates: ${directory} can't be read (${reason}).`, {
      cause,
    })
  })
  stack.use(certificates)
  const open = (where: Listening): Promise<Address> => parts.ingress.listenTls(where, certificates)
  const bound = await listen(open, '--tls-listen', tlsListen)
  if (acme) {
    const folder = join(directory, ownFolder)
    await prepareDirectory(folder)
    const files = {
      read: readIfThere,
      write: writePrivateFile,
    }
    const find = (host: string) => certificates.inUse(host)
    const refresh = (): Promise<void> => certificates.refresh()
    stack.use(await parts.acme.open({ ...parts, ...acme, folder, files, find, refresh }))
  }
  return { ...bound, certificates }
}

async function listen(
  open: (where: Listening) => Promise<Address>,
  flag: string,
  where: Listening,
): Promise<Address> {
  try {
    const bound = await open(where)
    // A name goes on being called by its name.
    return 'descriptor' in where ? bound : { ...where, port: bound.port }
  } catch (cause) {
    const what = 'descriptor' in where ? 'The socket of the supervisor' : urlAt(where)
    throw new OperatorError(`${what} can't be listened on: ${reasonOf(cause, flag)}`, { cause })
  }
}

function reasonOf(error: unknown, flag: string): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return `another program does. Name another address with ${flag}.`
  if (code === 'EACCES') return `this user may not. Name a port above 1023 with ${flag}.`
  return `${messageOf(error)}. Name another address with ${flag}.`
}

/** The URL of an address; that of a wildcard leads to this machine. */
function urlAt({ host, port }: Address): string {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host
  return `http://${name.includes(':') && !name.startsWith('[') ? `[${name}]` : name}:${port}`
}

function trustOf(proxies: readonly string[]): ReturnType<typeof trustIn> {
  try {
    return trustIn(proxies)
  } catch (cause) {
    throw new OperatorError(`--trusted-proxies: ${messageOf(cause)}.`, { cause })
  }
}
