import { BlockList, isIP, isIPv6 } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Target } from '#contract/snapshot.ts'
import { headerOf, type HttpRequest } from '#http1/exchange.ts'

/** A visitor's request after the checks that come before any routing. */
export type Visit = {
  /** Lower case, without a port: the key of the route table. */
  readonly hostname: string
  /** With its port, unless that is the usual one: what the Worker's `request.url` shows. */
  readonly host: string
  readonly ip: string
  readonly protocol: 'http' | 'https'
  /** The path and query, as they were sent. */
  readonly url: string
  readonly ray: string
}

/** Whose `X-Forwarded-*` are believed. */
export type Trust = (ip: string) => boolean

/** Makes a `Trust` of a list of addresses and CIDR blocks. Throws for one that is neither. */
export function trustIn(proxies: readonly string[]): Trust {
  const list = new BlockList()
  for (const proxy of proxies) {
    const [address = '', prefix] = proxy.split('/')
    if (isIP(address) === 0) throw new Error(`"${proxy}" is not an address or a CIDR block`)
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  // Asked for each request: where nobody is trusted, looking at the address shows in a profile.
  if (proxies.length === 0) return () => false
  return (ip) => isIP(ip) !== 0 && list.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4')
}

// A registered name or IPv4 address, or an IPv6 address in brackets; then perhaps a port. Userinfo
// and everything else that a URL parser would read in another way is refused.
const hostPattern =
  /^([a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\])\.?(?::([1-9]\d{0,4}))?$/i

/** The host of a request, or `undefined` if there is not exactly one that is well formed. */
export function hostOf(request: HttpRequest): { hostname: string; host: string } | undefined {
  const { rawHeaders } = request
  let host: string | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') {
      if (host !== undefined) return undefined
      host = rawHeaders[index + 1]
    }
  }
  const match = host === undefined ? null : hostPattern.exec(host)
  if (host === undefined || match?.[1] === undefined) return undefined
  if (Number(match[2] ?? 0) > 65_535) return undefined
  return { hostname: match[1].toLowerCase(), host: host.toLowerCase() }
}

/** A host as URLs have it: without the port that its protocol has anyway. */
export function withoutUsualPort(host: string, protocol: 'http' | 'https'): string {
  const usual = protocol === 'https' ? ':443' : ':80'
  return host.endsWith(usual) ? host.slice(0, -usual.length) : host
}

/** The visitor's address and protocol: the connection's, or what a trusted proxy says. */
export function originOf(
  request: HttpRequest,
  trust: Trust,
): { ip: string; protocol: 'http' | 'https' } {
  const peer = plainAddress(request.socket.remoteAddress ?? '')
  const encrypted = request.socket instanceof TLSSocket
  const own = { ip: peer, protocol: encrypted ? ('https' as const) : ('http' as const) }
  if (!trust(peer)) return own
  const hops = headerOf(request, 'x-forwarded-for')?.split(',') ?? []
  const addresses = hops.map((hop) => plainAddress(hop.trim())).filter((hop) => isIP(hop) !== 0)
  const proto = headerOf(request, 'x-forwarded-proto')
  return {
    ip: addresses.findLast((address) => !trust(address)) ?? addresses[0] ?? peer,
    protocol: proto === 'https' || proto === 'http' ? proto : own.protocol,
  }
}

/** IPv4 connections of a dual-stack listener look like `::ffff:192.0.2.1`. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

// Headers of one connection (RFC 9110 §7.6.1) or of how its message is framed, and those that the
// platform makes itself: no visitor may write one of these.
const dropped: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'expect',
  'host',
  'forwarded',
  'x-real-ip',
  'true-client-ip',
])
const droppedPrefixes: readonly string[] = ['cf-', 'x-forwarded-', 'x-bindery-']

/**
 * The headers that a Worker sees: the visitor's, cleaned, and ours. As the lines of a head, without those
 * that say where the body ends: whoever sends the body writes them.
 */
export function forwardedFields(request: HttpRequest, visit: Visit, target: Target): string {
  const { rawHeaders } = request
  const named = connectionNamed(headerOf(request, 'connection'))
  let lines = `Host: ${visit.host}\r\n`
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    const lower = name.toLowerCase()
    if (isDropped(lower) || named?.has(lower)) continue
    if (lower === target.cfBlobHeader || lower === target.protoHeader) continue
    lines += `${name}: ${rawHeaders[index + 1]}\r\n`
  }
  const { ip, ray, protocol } = visit
  return `${lines}CF-Connecting-IP: ${ip}\r
CF-Ray: ${ray}\r
CF-Visitor: {"scheme":"${protocol}"}\r
X-Forwarded-For: ${ip}\r
X-Forwarded-Proto: ${protocol}\r
X-Real-IP: ${ip}\r
${target.protoHeader}: ${protocol}\r
${target.cfBlobHeader}: ${cfOf(request)}\r
`
}

function isDropped(lower: string): boolean {
  if (dropped.has(lower)) return true
  const first = lower.charCodeAt(0)
  // Most begin with neither letter.
  if (first !== 0x63 && first !== 0x78) return false
  return droppedPrefixes.some((prefix) => lower.startsWith(prefix))
}

/** Headers that a `Connection` header declares to be of this connection only. */
function connectionNamed(value: string | undefined): ReadonlySet<string> | undefined {
  if (value === undefined || value === 'keep-alive' || value === 'close') return undefined
  return new Set(
    value
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
}

/**
 * `request.cf`, as JSON. What a single machine knows is in it; what takes a map of the Internet
 * (country, network, bot score) is not, rather than made up.
 */
function cfOf(request: HttpRequest): string {
  const encoding = headerOf(request, 'accept-encoding') ?? ''
  const { tlsVersion, tlsCipher } = encryptionOf(request.socket)
  const key = `${request.httpVersion} ${tlsVersion} ${tlsCipher} ${encoding}`
  const known = cfBlobs.get(key)
  if (known !== undefined) return known
  const made = asciiJson({
    colo: colo,
    httpProtocol: `HTTP/${request.httpVersion}`,
    requestPriority: '',
    clientAcceptEncoding: encoding,
    edgeRequestKeepAliveStatus: 1,
    tlsVersion,
    tlsCipher,
  })
  if (cfBlobs.size < mostCfBlobs) cfBlobs.set(key, made)
  return made
}

type Encryption = { readonly tlsVersion: string; readonly tlsCipher: string }

const none: Encryption = { tlsVersion: '', tlsCipher: '' }
const encryptions = new WeakMap<object, Encryption>()

/** The words of `request.cf`: those of BoringSSL, which has names of its own for what TLS 1.3 has. */
function encryptionOf(socket: object): Encryption {
  if (!(socket instanceof TLSSocket)) return none
  const known = encryptions.get(socket)
  if (known) return known
  const cipher = socket.getCipher()?.name ?? ''
  const made = {
    tlsVersion: socket.getProtocol() ?? '',
    tlsCipher: aeadNames[cipher] ?? cipher,
  }
  encryptions.set(socket, made)
  return made
}

const aeadNames: Readonly<Record<string, string>> = {
  TLS_AES_128_GCM_SHA256: 'AEAD-AES128-GCM-SHA256',
  TLS_AES_256_GCM_SHA384: 'AEAD-AES256-GCM-SHA384',
  TLS_CHACHA20_POLY1305_SHA256: 'AEAD-CHACHA20-POLY1305-SHA256',
}

/** Visitors send few different ones: a browser's are all the same. */
const cfBlobs = new Map<string, string>()
const mostCfBlobs = 100

/** The name of this place, where Cloudflare has the code of an airport. */
export const colo = 'BND'

/** JSON with everything outside ASCII escaped, so that it is a header value in any encoding. */
function asciiJson(value: object): string {
  return JSON.stringify(value).replaceAll(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
