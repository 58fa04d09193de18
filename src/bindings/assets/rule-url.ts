// URLs as the rules of `_redirects` and `_headers` write them.

/** A line that was skipped, or cut off, and why. */
export type RuleWarning = {
  readonly message: string
  /** Counted from 1. Absent where the message names it. */
  readonly line?: number
  readonly text?: string
}

export type RuleUrl = { readonly url: string } | { readonly problem: string }

export type RuleUrlOptions = {
  /** Whether it may name a host; otherwise what has no slash gets one. */
  readonly mayHaveHost: boolean
  readonly mayHavePort: boolean
  /** Whether query and fragment stay. */
  readonly keepsQuery: boolean
}

/** Reads a URL of a rule: its path comes out as a browser would send it. */
export function readRuleUrl(token: string, options: RuleUrlOptions): RuleUrl {
  const [, host, rest = ''] = absolute.exec(token) ?? []
  if (host !== undefined) {
    if (!options.mayHaveHost) {
      return { problem: `Only relative URLs are allowed. Skipping absolute URL ${token}.` }
    }
    if (!options.mayHavePort && /:\d+$/.test(host)) {
      return { problem: `Specifying ports is not supported. Skipping absolute URL ${token}.` }
    }
    const path = sentPath(rest, options)
    return path === undefined ? unreadable(token) : { url: `https://${host}${path}` }
  }
  if (!token.startsWith('/') && options.mayHaveHost) {
    return {
      problem:
        'URLs should either be relative (e.g. begin with a forward-slash), or use HTTPS (e.g. begin with "https://").',
    }
  }
  const path = sentPath(token, options)
  return path === undefined ? unreadable(token) : { url: path }
}

/** Whether a URL of a rule names a host. */
export function hasHost(url: string): boolean {
  return absolute.test(url)
}

const absolute = /^https:\/\/+([^/]+)\/?(.*)/

function sentPath(path: string, { keepsQuery }: RuleUrlOptions): string | undefined {
  // Not of a special scheme: backslashes stay what they are.
  const url = URL.parse(`relative://${path.startsWith('/') ? '' : '/'}${path}`)
  if (!url) return undefined
  return keepsQuery ? url.pathname + url.search + url.hash : url.pathname
}

function unreadable(token: string): RuleUrl {
  return { problem: `Error parsing URL segment ${token}. Skipping.` }
}
