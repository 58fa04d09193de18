import * as limits from './limits.ts'
import { readRuleUrl, type RuleWarning } from './rule-url.ts'

/** A rule of `_headers`. Names are in lower case. */
export type HeaderRule = {
  /** A path, or `https://host/path`, with `:name` and at most one `*`. */
  readonly path: string
  /** Names and values, in which `:name` and `:splat` are filled in. */
  readonly set: readonly (readonly [name: string, value: string])[]
  readonly unset: readonly string[]
}

export type ParsedHeaders = {
  readonly rules: readonly HeaderRule[]
  readonly warnings: readonly RuleWarning[]
}

type Draft = {
  readonly path: string
  readonly text: string
  readonly set: Map<string, string>
  readonly unset: Set<string>
}

/** Reads a `_headers` file. What is wrong with a line costs that line; with a path, its headers. */
export function parseHeaders(text: string): ParsedHeaders {
  const lines = text.split('\n')
  const warnings: RuleWarning[] = []
  // The later of two rules for a path counts, at the place of the earlier, as upstream.
  const rules = new Map<string, HeaderRule>()
  let finished = 0
  let draft: Draft | undefined
  let isSkipping = false
  const finish = (line?: number): void => {
    if (!draft) return
    const { path, set, unset } = draft
    if (set.size + unset.size > 0) {
      rules.set(path, { path, set: [...set], unset: [...unset] })
      finished++
    } else {
      warnings.push({
        message: 'No headers specified',
        text: draft.text,
        ...(line !== undefined && { line }),
      })
    }
    draft = undefined
  }
  for (const [index, raw] of lines.entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const skip = (message: string): void => {
      warnings.push({ message, line: index + 1, text: line })
    }
    if (line.length > limits.ruleLine) {
      warnings.push({
        message: `Ignoring line ${index + 1} as it exceeds the maximum allowed length of ${limits.ruleLine}.`,
      })
    } else if (isPath.test(line)) {
      // The rule before this one is not counted yet, as upstream: there may be one more.
      if (finished >= limits.headerRules) {
        warnings.push({
          message: `Maximum number of rules supported is ${limits.headerRules}. Skipping remaining ${lines.length - index} lines of file.`,
        })
        break
      }
      finish(index + 1)
      const path = readPath(line)
      isSkipping = 'problem' in path
      if ('problem' in path) skip(path.problem)
      else draft = { path: path.url, text: line, set: new Map(), unset: new Set() }
    } else if (!isSkipping) {
      const problem = readHeader(line, draft)
      if (problem !== undefined) skip(problem)
    }
  }
  finish()
  return { rules: [...rules.values()], warnings }
}

const isPath = /^(?:\S+:\/\/|\/)/
const isToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
// oxlint-disable-next-line no-control-regex
const isBroken = /[\0-\x08\n-\x1f\x7f]/

/** Headers that say how the answer is sent, which is the server's to say. */
const ofServer = new Set([
  'connection',
  'content-length',
  'content-range',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

function readPath(line: string): { readonly url: string } | { readonly problem: string } {
  const path = readRuleUrl(line, { mayHaveHost: true, mayHavePort: false, keepsQuery: false })
  if ('problem' in path) return path
  const wildcards = path.url.split('*').length - 1
  if (wildcards > 1) {
    return {
      problem: `Only one wildcard is allowed per rule. Use a named placeholder (e.g. :project) instead. Skipping ${path.url}.`,
    }
  }
  if (wildcards > 0 && /:splat(?!\w)/.test(path.url)) {
    return {
      problem: `Cannot combine a wildcard * with a :splat placeholder because wildcards are converted to :splat at runtime. Skipping ${path.url}.`,
    }
  }
  return path
}

/** Adds a line to the rule. Returns what is wrong with it. */
function readHeader(line: string, draft: Draft | undefined): string | undefined {
  const colon = line.indexOf(':')
  if (colon < 0) {
    if (!draft) return 'Expected a path beginning with at least one forward-slash'
    if (!line.startsWith('! ')) return 'Expected a colon-separated header pair (e.g. name: value)'
    draft.unset.add(line.slice(2).trim().toLowerCase())
    return undefined
  }
  const name = line.slice(0, colon).trim().toLowerCase()
  const value = line.slice(colon + 1).trim()
  if (name.includes(' ')) return 'Header name cannot include spaces'
  if (name === '') return 'No header name specified'
  if (value === '') return 'No header value specified'
  if (!draft) return `Path should come before header (${name}: ${value})`
  if (!isToken.test(name)) return 'Header name has a character that none may have'
  if (isBroken.test(value)) return 'Header value has a control character'
  if (ofServer.has(name)) return `The header ${name} is the server's to set`
  const before = draft.set.get(name)
  const joined = before === undefined ? value : `${before}, ${value}`
  if (joined.length > limits.headerValue) {
    return `Header value is longer than ${limits.headerValue} characters`
  }
  draft.set.set(name, joined)
  return undefined
}
