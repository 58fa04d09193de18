import { plainPath } from '#contract/canonical-url.ts'
import type { RoutePattern } from '#contract/snapshot.ts'
import * as errors from './errors.ts'
import { hostLength, patternLength } from './limits.ts'

/** What a pattern says, but for the Worker behind it. */
export type ParsedPattern = Omit<RoutePattern, 'worker'>

/**
 * Reads the pattern of a route of a zone: `[http[s]://][*[.]]host[/path][*]`. Throws what Cloudflare
 * answers to other ones: developers.cloudflare.com/workers/configuration/routing/routes, "Validity".
 */
export function parseRoutePattern(text: string, zone: string): ParsedPattern {
  if (text.length > patternLength) throw errors.patternUnclear(text.slice(0, 100))
  const [, scheme, rest = ''] = /^(https?):\/\/(.*)$/i.exec(text) ?? [undefined, undefined, text]
  if (rest.includes('?')) throw errors.patternWithQuery(text)
  // White space, control characters, and what no URL has in its host or path.
  if (/[\s\p{C}#<>"`{}|^\\]|:\/\//u.test(rest)) throw errors.patternUnclear(text)
  const slash = rest.indexOf('/')
  const host = slash < 0 ? rest : rest.slice(0, slash)
  const path = slash < 0 ? '/' : rest.slice(slash)
  if (host.includes('*', 1) || path.slice(0, -1).includes('*')) throw errors.patternWildcard(text)
  const isPathWild = path.endsWith('*')
  return {
    ...(scheme !== undefined && { protocol: /s$/i.test(scheme) ? 'https' : 'http' }),
    ...hostOf(host, zone, text),
    path: pathOf(isPathWild ? path.slice(0, -1) : path, { isPathWild, text }),
    isPathWild,
  }
}

/** The same text for patterns that match the same requests. */
export function textOf({ protocol, host, isHostWild, path, isPathWild }: ParsedPattern): string {
  const scheme = protocol === undefined ? '' : `${protocol}://`
  return `${scheme}${isHostWild ? '*' : ''}${host}${path}${isPathWild ? '*' : ''}`
}

/** A host name in lower case and ASCII; `undefined` if it is none. */
export function parseHostname(text: string): string | undefined {
  if (!/^[\p{L}\p{M}\p{N}._-]+$/u.test(text)) return undefined
  const { hostname = '' } = URL.parse(`http://${text}`) ?? {}
  const labels = hostname.split('.')
  const isGood = labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
  return isGood && hostname.length <= hostLength ? hostname : undefined
}

function hostOf(
  text: string,
  zone: string,
  pattern: string,
): Pick<RoutePattern, 'host' | 'isHostWild'> {
  const isHostWild = text.startsWith('*')
  // Everything of the zone, as Cloudflare takes it for zones that serve the hosts of others.
  if (text === '*') return { host: '', isHostWild }
  const [, wild = '', name = ''] = /^(\*\.?)?(.*)$/.exec(text) ?? []
  const host = parseHostname(name)
  if (host === undefined) throw errors.patternUnclear(pattern)
  if (!isInZone(host, zone)) throw errors.patternOutsideZone(pattern)
  return { host: wild === '*.' ? `.${host}` : host, isHostWild }
}

/** Whether a host is a zone's own name, or is below it. */
export function isInZone(host: string, zone: string): boolean {
  return host === zone || host.endsWith(`.${zone}`)
}

/** A path, or the beginning of one, as it is held against canonical ones. */
function pathOf(
  text: string,
  { isPathWild, text: pattern }: { readonly isPathWild: boolean; readonly text: string },
): string {
  if (!text.isWellFormed()) throw errors.patternUnclear(pattern)
  const path = plainPath(text.replaceAll(/[^!-~]+/g, encodeURIComponent))
  const segments = path.split('/')
  // What a wildcard continues is not a whole segment.
  const whole = isPathWild ? segments.slice(0, -1) : segments
  if (whole.some((segment) => /^\.{1,2}$/.test(segment))) throw errors.patternUnclear(pattern)
  return path
}
