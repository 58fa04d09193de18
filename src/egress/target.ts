/** What a request to a proxy asks for: its request line has a whole URL (RFC 9112, section 3.2.2). */
export type Target = {
  readonly origin: string
  /** Path and query, as they were written. */
  readonly path: string
  /** For the `Host` header. */
  readonly host: string
  /** As in a URL: IPv6 in brackets. */
  readonly hostname: string
  readonly port: number
  readonly secure: boolean
}

/** Reads a request's URL; `undefined` if it is not one of http or https. */
export function parseTarget(text: string): Target | undefined {
  const match = /^https?:\/\/([^/?#@\s]+)(\/[^#\s]*)?$/i.exec(text)
  const url = match && URL.parse(text)
  if (!url) return undefined
  const secure = url.protocol === 'https:'
  return {
    origin: url.origin,
    path: match[2] ?? '/',
    host: url.host,
    hostname: url.hostname,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    secure,
  }
}

/** What a CONNECT asks for: see `runtime/sockets.worker.ts`, which writes all but the plain ones. */
export type Tunnel = {
  /** As in a URL: IPv6 in brackets. For an upgrade, the name that its certificate is to have. */
  readonly host: string
  readonly port: number
} & (
  | { readonly type: 'plain' | 'secure' }
  /** Plain at first; an `upgrade` with the same id puts TLS on it. */
  | { readonly type: 'start' | 'upgrade'; readonly id: string }
)

/** Reads `HOST:PORT` with what goes before it; `undefined` if it is not that. */
export function parseTunnel(text: string): Tunnel | undefined {
  const match =
    /^(?:(_tls)\.|_(start|upgrade)\.([0-9a-f]{16})\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\]):(\d{1,5})$/i.exec(
      text,
    )
  const url = match && URL.parse(`http://${match[4]}/`)
  const port = Number(match?.[5])
  if (!url || url.hostname === '' || port < 1 || port > 65_535) return undefined
  const place = { host: url.hostname, port }
  const [, secure, word, id = ''] = match
  if (word === undefined) return { type: secure === undefined ? 'plain' : 'secure', ...place }
  return { type: word.toLowerCase() === 'start' ? 'start' : 'upgrade', id, ...place }
}
