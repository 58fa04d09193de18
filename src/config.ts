import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { OperatorError } from '#contract/errors.ts'

/** An address to listen on. */
export type Address = { readonly host: string; readonly port: number }

/** All that an operator can set. This file is the only reader of flags and environment. */
export type Config = {
  /** The only state of a server. */
  readonly dataDirectory: string
  /** Where visitors come in. */
  readonly listen: Address
  /** Where wrangler and the SDKs come in. */
  readonly api: Address
  /** Workers answer at `<worker>.<domain>`. */
  readonly domain: string
  /** Addresses and CIDR blocks whose `X-Forwarded-*` are believed. */
  readonly trustedProxies: readonly string[]
  /** 32 bytes as hex or Base64; absent: a file in the data directory. */
  readonly masterKey: string | undefined
  readonly logLevel: LogLevel
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

type Environment = Readonly<Record<string, string | undefined>>

const flags = {
  data: { type: 'string' },
  listen: { type: 'string' },
  api: { type: 'string' },
  domain: { type: 'string' },
  'trusted-proxies': { type: 'string' },
  'log-level': { type: 'string' },
} as const

/** The flags of `bindery serve`, for `--help`. */
export const serveHelp = `bindery serve [options]

  --data DIR              where everything is kept          BINDERY_DATA             .bindery
  --listen HOST:PORT      where visitors come in            BINDERY_LISTEN           127.0.0.1:8787
  --api HOST:PORT         where wrangler and SDKs come in   BINDERY_API              127.0.0.1:8788
  --domain NAME           Workers answer at <worker>.NAME   BINDERY_DOMAIN           localhost
  --trusted-proxies LIST  whose X-Forwarded-* is believed   BINDERY_TRUSTED_PROXIES  (nobody's)
  --log-level LEVEL       debug, info, warn or error        BINDERY_LOG_LEVEL        info

  BINDERY_MASTER_KEY      32 bytes in hex or Base64 that secrets are encrypted under;
                          without it a key is made and kept in DIR/master.key
`

/** Reads flags, then environment, then defaults. Throws an `OperatorError` that says what is wrong. */
export function readConfig(args: readonly string[], environment: Environment): Config {
  const values = readFlags(args)
  const level = values['log-level'] ?? environment['BINDERY_LOG_LEVEL'] ?? 'info'
  return {
    dataDirectory: readDataDirectory(values.data, environment),
    listen: address('--listen', values.listen ?? environment['BINDERY_LISTEN'] ?? '127.0.0.1:8787'),
    api: address('--api', values.api ?? environment['BINDERY_API'] ?? '127.0.0.1:8788'),
    domain: domain(values.domain ?? environment['BINDERY_DOMAIN'] ?? 'localhost'),
    trustedProxies: list(values['trusted-proxies'] ?? environment['BINDERY_TRUSTED_PROXIES'] ?? ''),
    masterKey: environment['BINDERY_MASTER_KEY'],
    logLevel: logLevel(level),
  }
}

/** The data directory alone, for the verbs that only need to find a running server. */
export function readDataDirectory(flag: string | undefined, environment: Environment): string {
  const path = flag ?? environment['BINDERY_DATA'] ?? '.bindery'
  if (path === '') throw new OperatorError('--data must name a directory.')
  return resolve(path.startsWith('~/') ? `${homedir()}${path.slice(1)}` : path)
}

function readFlags(args: readonly string[]): { [Name in keyof typeof flags]?: string | undefined } {
  try {
    return parseArgs({ args: [...args], options: flags, strict: true, allowPositionals: false })
      .values
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error)
    throw new OperatorError(`${reason}. See bindery serve --help.`, { cause: error })
  }
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

function logLevel(text: string): LogLevel {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error') return text
  throw new OperatorError(`--log-level must be debug, info, warn or error, but is "${text}".`)
}
