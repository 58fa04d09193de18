import { withBase, withoutBase } from './base-path.ts'
import type { CompiledConfig } from './config.ts'
import type { AssetEntry } from './entry.ts'
import { headerValue } from './limits.ts'
import {
  decodePath,
  encodePath,
  type Find,
  type Handling,
  type Intent,
  resolve,
  type Target,
} from './paths.ts'
import { fill, subjectOf } from './pattern.ts'

// What the files answer to a path: decided once, whatever the method and the other headers are.

export type Origin = { readonly protocol: string; readonly hostname: string }

/** What there is at a path, with the changes that `_headers` makes to the answer. */
export type Outcome = (
  | { readonly kind: 'file'; readonly entry: AssetEntry; readonly status: 200 | 404 }
  | Redirect
  | {
      readonly kind: 'missing'
      /** Whether a rule led here: then the Worker is not asked. */
      readonly isClaimed: boolean
    }
) & { readonly changes: readonly HeaderChange[] }

/** `Location` is `before`, the query, `after`. */
export type Redirect = {
  readonly kind: 'redirect'
  readonly status: number
  /** Whether a rule of `_redirects` said so: then it holds for every method. */
  readonly isRule: boolean
  readonly before: string
  /** The target's own query; if that is empty, the request's. */
  readonly search: string
  readonly after: string
}

/** One step of `_headers`: `value` absent removes. Values are as Node writes them. */
export type HeaderChange = { readonly name: string; readonly value?: string }

/** Decides. `target` is the request's; never throws. */
export function decide(
  site: { readonly config: CompiledConfig; readonly find: Find },
  target: Target,
  origin: Origin,
): Outcome {
  const { config, find } = site
  const changes = changesFor(config, target, origin)
  const missing = { kind: 'missing', isClaimed: false, changes } as const
  const requested = decodePath(target.pathname)
  if (withoutBase(requested, config.basePath) === undefined) return missing
  const rule = redirectFor(config, target, origin)
  if (rule && 'kind' in rule) return { ...rule, changes }
  const pathname = rule?.pathname ?? target.pathname
  const decoded = rule ? decodePath(pathname) : requested
  const path = withoutBase(decoded, config.basePath)
  if (path === undefined) return { ...missing, isClaimed: rule !== undefined }
  const intent = (rule ? undefined : atBase(config, decoded, find)) ?? resolve(find, path, config)
  if (!intent) return { ...missing, isClaimed: rule !== undefined }
  const isLed = 'redirect' in intent
  const destination = encodePath(isLed ? withBase(intent.redirect, config.basePath) : decoded)
  if (!isLed && destination === pathname) return { kind: 'file', ...intent, changes }
  return {
    kind: 'redirect',
    status: 307,
    isRule: false,
    before: destination,
    search: '',
    after: '',
    changes,
  }
}

/**
 * Whether the files answer a path rather than a Worker that could. What `not_found_handling` says
 * of it does not count.
 */
export function canAnswer(
  site: { readonly config: CompiledConfig; readonly find: Find },
  outcome: Outcome,
  ask: { readonly target: Target; readonly origin: Origin },
): boolean {
  const { config } = site
  if (
    config.notFoundHandling === 'none' ||
    outcome.kind === 'missing' ||
    ('isRule' in outcome && outcome.isRule)
  ) {
    return outcome.kind !== 'missing' || outcome.isClaimed
  }
  const plain = { ...site, config: { ...config, headers: [], notFoundHandling: 'none' as const } }
  const found = decide(plain, ask.target, ask.origin)
  return found.kind !== 'missing' || found.isClaimed
}

/** The base itself leads to the form of it that shows the index. */
function atBase(config: CompiledConfig & Handling, path: string, find: Find): Intent | undefined {
  const { basePath, htmlHandling } = config
  if (basePath === '/' || htmlHandling === 'none') return undefined
  const isDropped = htmlHandling === 'drop-trailing-slash'
  if (path !== (isDropped ? basePath : basePath.slice(0, -1)) || !find('/index.html'))
    return undefined
  return { redirect: isDropped ? '' : '/' }
}

/** The first rule for a path: a redirect, or the path whose file is shown in its place. */
function redirectFor(
  config: CompiledConfig,
  { pathname }: Target,
  origin: Origin,
): Redirect | { readonly pathname: string } | undefined {
  const found = ruleFor(config, pathname)
  if (!found) return undefined
  const base = `${origin.protocol}://${isHostname.test(origin.hostname) ? origin.hostname : 'host'}`
  const url = URL.parse(found.to, `${base}${pathname}`)
  // What a visitor can make of a placeholder may be no URL.
  if (!url || url.href.length > headerValue) return undefined
  if (found.status === 200) return { pathname: url.pathname }
  const isHere = url.origin === URL.parse(base)?.origin
  const { search, hash, pathname: path } = url
  const before = isHere ? path : url.href.slice(0, url.href.length - search.length - hash.length)
  return { kind: 'redirect', status: found.status, isRule: true, before, search, after: hash }
}

const isHostname = /^[a-z0-9._-]+$|^\[[0-9a-f:.]+\]$/

function ruleFor(
  { staticRedirects, dynamicRedirects }: CompiledConfig,
  pathname: string,
): { readonly status: number; readonly to: string } | undefined {
  const found = staticRedirects.get(pathname)
  if (found || dynamicRedirects.length === 0) return found
  const subject = subjectOf(pathname)
  for (const { pattern, status, to } of dynamicRedirects) {
    const groups = pattern(subject)
    if (groups) return { status, to: filledTarget(to, fill(to, groups)) }
  }
  return undefined
}

/** Slashes that a placeholder brings must not make a host of what follows them. */
function filledTarget(to: string, filled: string): string {
  if (/^(?:\w+:\/\/|\/\/[^/\\\s?#])/.test(to)) return filled
  const end = filled.search(/[?#]/)
  const path = end < 0 ? filled : filled.slice(0, end)
  return path.replaceAll(/[/\\]+/g, '/') + (end < 0 ? '' : filled.slice(end))
}

function changesFor(
  { headers }: CompiledConfig,
  { pathname }: Target,
  { hostname }: Origin,
): HeaderChange[] {
  if (headers.length === 0) return []
  const path = subjectOf(pathname)
  const whole = headers.some(({ hasHost }) => hasHost)
    ? subjectOf(`https://${hostname}${pathname}`)
    : path
  return headers.flatMap(({ pattern, hasHost, set, unset }) => {
    const groups = pattern(hasHost ? whole : path)
    if (!groups) return []
    return [
      ...unset.map((name) => ({ name })),
      ...set.flatMap(([name, value]) => {
        const filled = fill(value, groups)
        return filled.length > headerValue ? [] : [{ name, value: filled }]
      }),
    ]
  })
}
