import { Resolver } from 'node:dns/promises'
import { readFile, stat } from 'node:fs/promises'
import { type Address, parseAddress } from './addresses.ts'
import { lookupMs } from './limits.ts'

/** Gives the addresses of a name, in the order in which they are to be tried; none if it is unknown. */
export type Resolve = (name: string) => Promise<readonly Address[]>

const hostsPath = '/etc/hosts'
const loopback: readonly Address[] = ['127.0.0.1', '::1'].flatMap(
  (text) => parseAddress(text) ?? [],
)

/**
 * Asks the system's name servers, after its hosts file. Not by `getaddrinfo`, which would hold one of
 * Node's four threads for as long as a Worker's own name server likes, and files wait for those.
 */
export function systemResolver(): Resolve {
  const resolver = new Resolver({ timeout: lookupMs, tries: 2 })
  let hosts: Hosts = { readAt: -Infinity, modified: 0, names: new Map() }
  return async (name) => {
    // RFC 6761, section 6.3.
    if (name === 'localhost' || name.endsWith('.localhost')) return loopback
    hosts = await freshHosts(hosts)
    const known = hosts.names.get(name)
    if (known) return known
    const [ipv4, ipv6] = await Promise.all([
      resolver.resolve4(name).catch(() => []),
      resolver.resolve6(name).catch(() => []),
    ])
    return [...ipv4, ...ipv6].flatMap((text) => parseAddress(text) ?? [])
  }
}

type Hosts = {
  readonly readAt: number
  readonly modified: number
  readonly names: ReadonlyMap<string, readonly Address[]>
}

const hostsFreshMs = 5_000

async function freshHosts(before: Hosts): Promise<Hosts> {
  const readAt = performance.now()
  if (readAt - before.readAt < hostsFreshMs) return before
  const modified = (await stat(hostsPath).catch(() => undefined))?.mtimeMs ?? 0
  if (modified === before.modified) return { ...before, readAt }
  const text = await readFile(hostsPath, 'utf8').catch(() => '')
  return { readAt, modified, names: parseHosts(text) }
}

/** Reads a hosts file: lines of an address and the names that stand for it. */
export function parseHosts(text: string): ReadonlyMap<string, readonly Address[]> {
  const names = new Map<string, readonly Address[]>()
  for (const line of text.split('\n')) {
    const [first = '', ...rest] = line.replace(/#.*/, '').trim().split(/\s+/)
    const address = parseAddress(first)
    if (!address) continue
    for (const each of rest) {
      const name = each.toLowerCase()
      names.set(name, [...(names.get(name) ?? []), address])
    }
  }
  return names
}
