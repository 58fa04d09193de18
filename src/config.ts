import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { messageOf, OperatorError } from '#contract/errors.ts'
import type { Address, Listening } from '#contract/listening.ts'

/** All that an operator can set. This file is the only reader of flags and environment. */
export type Config = {
  /** The only state of a server. */
  readonly dataDirectory: string
  /** Where visitors come in. */
  readonly listen: Listening
  /** Where they come in by TLS; absent: nowhere. */
  readonly tlsListen: Listening | undefined
  /** The folder with certificates and their keys. */
  readonly tlsCertificates: string
  /** Whom to get certificates from by ACME; absent: they are the operator's alone. */
  readonly acme: Acme | undefined
  /** Whether visitors without TLS are sent to where it is. */
  readonly httpsRedirect: boolean
  /** Where wrangler and the SDKs come in. */
  readonly api: Listening
  /** Workers answer at `<worker>.<domain>`. */
  readonly domain: string
  /** Addresses and CIDR blocks whose `X-Forwarded-*` are believed. */
  readonly trustedProxies: readonly string[]
  /** What keeps cells from everything that is not their own: a jail if one can be had, or at any rate. */
  readonly isolation: {
    readonly mode: 'auto' | 'jail' | 'none'
    /** The first of 184 user ids of jailed cells, if the server is root's. */
    readonly firstUid: number
  }
  readonly egress: {
    /** Addresses and CIDR blocks that Workers may connect to besides public addresses. */
    readonly allow: readonly string[]
    /** PEM certificates that they may trust besides the usual roots. */
    readonly certificates: readonly string[]
  }
  /** 32 bytes as hex or Base64; absent: a file in the data directory. */
  readonly masterKey: string | undefined
  readonly logLevel: LogLevel
  /** How long a Worker is idle before its process ends, in ms; absent: it never does. */
  readonly sleepMs: number | undefined
  /** What each Worker may use up that does not ask for something else. */
  readonly limits: { readonly cpuMs: number; readonly memoryBytes: number }
}

/** An authority that gives certificates by ACME. */
export type Acme = {
  readonly email: string
  readonly directory: string
  readonly caFile: string | undefined
}

const letsEncrypt = 'https://acme-v02.api.letsencrypt.org/directory'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

type Environment = Readonly<Record<string, string | undefined>>

const flags = {
  data: { type: 'string' },
  listen: { type: 'string' },
  'tls-listen': { type: 'string' },
  'tls-certificates': { type: 'string' },
  'https-redirect': { type: 'boolean' },
  'acme-email': { type: 'string' },
  'acme-directory': { type: 'string' },
  'acme-ca': { type: 'string' },
  api: { type: 'string' },
  domain: { type: 'string' },
  'trusted-proxies': { type: 'string' },
  'egress-allow': { type: 'string' },
  'egress-ca': { type: 'string' },
  isolation: { type: 'string' },
  'jail-uid': { type: 'string' },
  'log-level': { type: 'string' },
  'sleep-after': { type: 'string' },
  'cpu-limit': { type: 'string' },
  'memory-limit': { type: 'string' },
} as const

type Flags = {
  readonly [Name in keyof typeof flags]?:
    | ((typeof flags)[Name]['type'] extends 'boolean' ? boolean : string)
    | undefined
}

/** The flags of `bindery serve`, for `--help`. */
export const serveHelp = `bindery serve [options]

  --data DIR              where everything is kept          BINDERY_DATA             .bindery
  --listen HOST:PORT      where visitors come in            BINDERY_LISTEN           127.0.0.1:8787
  --tls-listen HOST:PORT  where they come in by TLS         BINDERY_TLS_LISTEN       (nowhere)
  --tls-certificates DIR  NAME.crt with NAME.key, or as     BINDERY_TLS_CERTIFICATES DATA/certificates
                          a certbot has them: followed
  --acme-email ADDRESS    get certificates by ACME, as      BINDERY_ACME_EMAIL       (none are got)
                          this; agrees to the terms
  --acme-directory URL    of whom                           BINDERY_ACME_DIRECTORY   Let's Encrypt
  --acme-ca FILE          who vouches for its server        BINDERY_ACME_CA          (Node's list)
  --https-redirect        without TLS, 308 to where it is   BINDERY_HTTPS_REDIRECT   (no)
  --api HOST:PORT         where wrangler and SDKs come in   BINDERY_API              127.0.0.1:8788
  --domain NAME           Workers answer at <worker>.NAME   BINDERY_DOMAIN           localhost
  --trusted-proxies LIST  whose X-Forwarded-* is believed   BINDERY_TRUSTED_PROXIES  (nobody's)
  --egress-allow LIST     private addresses that Workers    BINDERY_EGRESS_ALLOW     (none)
                          may connect to, such as
                          10.0.0.0/8,127.0.0.1:5432
  --egress-ca FILE        certificates (PEM) that they      BINDERY_EGRESS_CA        (the usual roots)
                          trust besides the usual roots
  --isolation MODE        jail, none, or auto: a jail       BINDERY_ISOLATION        auto
                          where one can be had
  --jail-uid FIRST        the first of 184 user ids for     BINDERY_JAIL_UID         61000
                          jailed cells of a server of root's
  --log-level LEVEL       debug, info, warn or error        BINDERY_LOG_LEVEL        info
  --sleep-after TIME      idle Workers have no process      BINDERY_SLEEP_AFTER      15m
  --cpu-limit TIME        CPU time of one request           BINDERY_CPU_LIMIT        30s
  --memory-limit SIZE     memory of one Worker              BINDERY_MEMORY_LIMIT     128MB

  TIME is such as 500ms, 30s or 15m; Workers that are never to sleep are started with the server
  (--sleep-after never). A Worker may ask for another CPU time, with limits.cpu_ms.

  BINDERY_MASTER_KEY      32 bytes in hex or Base64 that secrets are encrypted under;
                          without it a key is made and kept in DIR/master.key
  LISTEN_FDS              sockets that systemd has bound, named http, https or api
                          (FileDescriptorName=), go before the addresses above
`

/** Reads flags, then environment, then defaults. Throws an `OperatorError` that says what is wrong. */
export function readConfig(args: readonly string[], environment: Environment): Config {
  const values = readFlags(args)
  const level = values['log-level'] ?? environment['BINDERY_LOG_LEVEL'] ?? 'info'
  const dataDirectory = readDataDirectory(values.data, environment)
  const bound = boundSockets(environment)
  const tlsListen = values['tls-listen'] ?? environment['BINDERY_TLS_LISTEN'] ?? ''
  return {
    dataDirectory,
    listen:
      bound.http ??
      address('--listen', values.listen ?? environment['BINDERY_LISTEN'] ?? '127.0.0.1:8787'),
    tlsListen: bound.https ?? (tlsListen === '' ? undefined : address('--tls-listen', tlsListen)),
    tlsCertificates: resolve(
      values['tls-certificates'] ??
        environment['BINDERY_TLS_CERTIFICATES'] ??
        join(dataDirectory, 'certificates'),
    ),
    acme: acmeOf(values, environment),
    httpsRedirect: values['https-redirect'] ?? isSet('BINDERY_HTTPS_REDIRECT', environment),
    api:
      bound.api ?? address('--api', values.api ?? environment['BINDERY_API'] ?? '127.0.0.1:8788'),
    domain: domain(values.domain ?? environment['BINDERY_DOMAIN'] ?? 'localhost'),
    trustedProxies: list(values['trusted-proxies'] ?? environment['BINDERY_TRUSTED_PROXIES'] ?? ''),
    isolation: {
      mode: isolation(values.isolation ?? environment['BINDERY_ISOLATION'] ?? 'auto'),
      firstUid: userId(values['jail-uid'] ?? environment['BINDERY_JAIL_UID'] ?? '61000'),
    },
    egress: {
      allow: list(values['egress-allow'] ?? environment['BINDERY_EGRESS_ALLOW'] ?? ''),
      certificates: certificates(values['egress-ca'] ?? environment['BINDERY_EGRESS_CA']),
    },
    masterKey: environment['BINDERY_MASTER_KEY'],
    logLevel: logLevel(level),
    sleepMs: sleepMs(values['sleep-after'] ?? environment['BINDERY_SLEEP_AFTER'] ?? '15m'),
    limits: {
      cpuMs: time('--cpu-limit', values['cpu-limit'] ?? environment['BINDERY_CPU_LIMIT'] ?? '30s'),
      memoryBytes: size(
        '--memory-limit',
        values['memory-limit'] ?? environment['BINDERY_MEMORY_LIMIT'] ?? '128MB',
      ),
    },
  }
}

/** The data directory alone, for the verbs that only need to find a running server. */
export function readDataDirectory(flag: string | undefined, environment: Environment): string {
  const path = flag ?? environment['BINDERY_DATA'] ?? '.bindery'
  if (path === '') throw new OperatorError('--data must name a directory.')
  return resolve(path.startsWith('~/') ? `${homedir()}${path.slice(1)}` : path)
}

function readFlags(args: readonly string[]): Flags {
  try {
    return parseArgs({ args: [...args], options: flags, strict: true, allowPositionals: false })
      .values
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error)
    throw new OperatorError(`${reason}. See bindery serve --help.`, { cause: error })
  }
}

type Door = 'http' | 'https' | 'api'

const firstDescriptor = 3

/**
 * Sockets that a supervisor has bound and hands over, each by its name: sd_listen_fds(3). Variables
 * that are meant for another process are not ours; our own launcher takes `LISTEN_PID` out.
 */
function boundSockets(environment: Environment): { readonly [Name in Door]?: Listening } {
  const { LISTEN_FDS: count, LISTEN_PID: pid, LISTEN_FDNAMES: names = '' } = environment
  if (count === undefined || (pid !== undefined && pid !== String(process.pid))) return {}
  const bound: { [Name in Door]?: Listening } = {}
  const given = names.split(':')
  for (let index = 0; index < Number(count); index++) {
    const name = given[index] ?? ''
    const isDoor = name === 'http' || name === 'https' || name === 'api'
    if (!isDoor || bound[name]) {
      throw new OperatorError(
        `LISTEN_FDNAMES must have http, https or api for each of ${count} sockets, each once (FileDescriptorName= of systemd), but is "${names}".`,
      )
    }
    bound[name] = { descriptor: firstDescriptor + index }
  }
  return bound
}

function acmeOf(values: Flags, environment: Environment): Acme | undefined {
  const email = values['acme-email'] ?? environment['BINDERY_ACME_EMAIL'] ?? ''
  if (email === '') return undefined
  if (!/^[^\s@,?]+@[^\s@,?]+$/.test(email)) {
    throw new OperatorError(`--acme-email must be an address of mail, but is "${email}".`)
  }
  const directory = values['acme-directory'] ?? environment['BINDERY_ACME_DIRECTORY'] ?? letsEncrypt
  if (!URL.canParse(directory) || new URL(directory).protocol !== 'https:') {
    throw new OperatorError(`--acme-directory must be an https URL, but is "${directory}".`)
  }
  const caFile = values['acme-ca'] ?? environment['BINDERY_ACME_CA']
  return { email, directory, caFile }
}

function isSet(name: string, environment: Environment): boolean {
  const text = environment[name] ?? ''
  if (['1', 'true', 'yes'].includes(text)) return true
  if (['', '0', 'false', 'no'].includes(text)) return false
  throw new OperatorError(`${name} must be 1 or 0, but is "${text}".`)
}

function address(flag: string, text: string): Address {
  const match = /^(?:(\[[0-9a-f:.]+\]|[^:[\]]+):)?(\d{1,5})$/i.exec(text.trim())
  const port = Number(match?.[2])
  if (!match || port > 65_535) {
    throw new OperatorError(`${flag} must be HOST:PORT, such as 127.0.0.1:8787, but is "${text}".`)
  }
  return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port }
}

function domain(text: string): string {
  const name = text.toLowerCase()
  const isName =
    /^(?=.{1,190}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(name)
  if (!isName) throw new OperatorError(`--domain must be a host name, but is "${text}".`)
  return name
}

function list(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function isolation(text: string): Config['isolation']['mode'] {
  if (text === 'auto' || text === 'jail' || text === 'none') return text
  throw new OperatorError(`--isolation must be auto, jail or none, but is "${text}".`)
}

function userId(text: string): number {
  const id = Number(text)
  if (/^\d{1,10}$/.test(text) && id > 0 && id < 2 ** 31) return id
  throw new OperatorError(
    `--jail-uid must be the number of a user that is not root, not "${text}".`,
  )
}

function certificates(path: string | undefined): readonly string[] {
  if (path === undefined || path === '') return []
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new OperatorError(`--egress-ca: ${path} can't be read (${messageOf(cause)}).`, { cause })
  }
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)
  if (!found) throw new OperatorError(`--egress-ca: there is no certificate in ${path}.`)
  return found
}

function logLevel(text: string): LogLevel {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error') return text
  throw new OperatorError(`--log-level must be debug, info, warn or error, but is "${text}".`)
}

const millisecondsIn: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}
const longestTimeMs = 24 * 3_600_000

/** A time in ms, from 1 ms to a day. */
function time(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim())
  const milliseconds = Number(match?.[1]) * (millisecondsIn[match?.[2] ?? ''] ?? Number.NaN)
  if (milliseconds >= 1 && milliseconds <= longestTimeMs) return milliseconds
  throw new OperatorError(`${flag} must be a time, such as 500ms, 30s or 15m, but is "${text}".`)
}

function sleepMs(text: string): number | undefined {
  return text === 'never' ? undefined : time('--sleep-after', text)
}

const mebibyte = 1024 * 1024
const leastMemoryBytes = 16 * mebibyte

/** A size in bytes; MB are of 1024 KB, as Cloudflare's. */
function size(flag: string, text: string): number {
  const match = /^(\d+)(MB|GB)$/i.exec(text.trim())
  const bytes = Number(match?.[1]) * mebibyte * (match?.[2]?.toUpperCase() === 'GB' ? 1024 : 1)
  if (bytes >= leastMemoryBytes) return bytes
  throw new OperatorError(
    `${flag} must be a size of at least 16MB, such as 128MB, but is "${text}".`,
  )
}
