import * as limits from './limits.ts'
import { hasHost, readRuleUrl, type RuleWarning } from './rule-url.ts'

/** A rule of `_redirects`. */
export type RedirectRule = {
  /** The path, with `:name` and at most one `*` that matches if it is dynamic. */
  readonly from: string
  /** A path with query and fragment, or an `https:` URL. */
  readonly to: string
  /** 200 answers with another file. */
  readonly status: number
  /** Whether it is tried in its turn, after all rules that are looked up. */
  readonly isDynamic: boolean
}

export type ParsedRedirects = {
  readonly rules: readonly RedirectRule[]
  /** Lines that were skipped. */
  readonly warnings: readonly RuleWarning[]
  /** Lines whose rule would lead to itself: an upload with one is refused. */
  readonly loops: readonly number[]
}

/** Reads a `_redirects` file. What is wrong with a line costs that line. */
export function parseRedirects(
  text: string,
  { hasHtmlHandling }: { readonly hasHtmlHandling: boolean },
): ParsedRedirects {
  const lines = text.split('\n')
  const warnings: RuleWarning[] = []
  const loops: number[] = []
  const rules = new Map<string, RedirectRule>()
  const count = { looked: 0, tried: 0, isBelowDynamic: false }
  for (const [index, raw] of lines.entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    if (line.length > limits.ruleLine) {
      warnings.push({
        message: `Ignoring line ${index + 1} as it exceeds the maximum allowed length of ${limits.ruleLine}.`,
      })
      continue
    }
    const skip = (message: string): void => {
      warnings.push({ message, line: index + 1, text: line })
    }
    const parts = readLine(line)
    if (typeof parts === 'string') {
      skip(parts)
      continue
    }
    // The turn counts even if the rest of the line is wrong, as upstream.
    const turn = takeTurn(parts.from, count)
    if (turn === 'skip') {
      warnings.push({
        message: `Maximum number of static rules supported is ${limits.staticRedirects}. Skipping line.`,
      })
      continue
    }
    if (turn === 'end') {
      warnings.push({
        message: `Maximum number of dynamic rules supported is ${limits.dynamicRedirects}. Skipping remaining ${lines.length - index} lines of file.`,
      })
      break
    }
    const rule = ruleOf(parts, hasHtmlHandling)
    if (typeof rule !== 'string' && rules.has(rule.from)) {
      skip(`Ignoring duplicate rule for path ${rule.from}.`)
    } else if (typeof rule === 'string') {
      if (rule === loop) loops.push(index + 1)
      skip(rule)
    } else if (rule.status === 200 && hasHost(rule.to)) {
      skip(`Proxy (200) redirects can only point to relative paths. Got ${rule.to}`)
      // A later rule for the same path counts as its duplicate.
      rules.set(rule.from, { ...rule, status: 0 })
    } else rules.set(rule.from, rule)
  }
  return {
    rules: inTurn([...rules.values()].filter(({ status }) => status !== 0)),
    warnings,
    loops,
  }
}

const loop =
  'Infinite loop detected in this rule and has been ignored. This will cause a redirect to strip `.html` or `/index` and end up triggering this rule again. Please fix or remove this rule to silence this warning.'
const statuses = new Set([200, 301, 302, 303, 307, 308])

type Parts = { readonly from: string; readonly to: string; readonly status: string }

/** The fields of a line, its path checked; or what is wrong. */
function readLine(line: string): Parts | string {
  const tokens = line.replace(/\s+#.*$/, '').split(/\s+/)
  const [path, to, status = '302'] = tokens
  if (path === undefined || to === undefined || tokens.length > 3) {
    return `Expected exactly 2 or 3 whitespace-separated tokens. Got ${tokens.length}.`
  }
  const from = readRuleUrl(path, { mayHaveHost: false, mayHavePort: false, keepsQuery: false })
  return 'problem' in from ? from.problem : { from: from.url, to, status }
}

function takeTurn(
  from: string,
  count: { looked: number; tried: number; isBelowDynamic: boolean },
): 'rule' | 'skip' | 'end' {
  if (!count.isBelowDynamic && !isPattern(from)) {
    count.looked++
    return count.looked > limits.staticRedirects ? 'skip' : 'rule'
  }
  count.isBelowDynamic = true
  count.tried++
  return count.tried > limits.dynamicRedirects ? 'end' : 'rule'
}

function ruleOf({ from, to, status }: Parts, hasHtmlHandling: boolean): RedirectRule | string {
  const target = readRuleUrl(to, { mayHaveHost: true, mayHavePort: true, keepsQuery: true })
  if ('problem' in target) return target.problem
  if (!statuses.has(Number(status))) {
    return `Valid status codes are 200, 301, 302 (default), 303, 307, or 308. Got ${status}.`
  }
  const isToIndex = /\/index(.html)?$/.test(target.url) && !hasHost(target.url)
  if (isToIndex && (from.endsWith('/*') || (from.endsWith('/') && hasHtmlHandling))) return loop
  return { from, to: target.url, status: Number(status), isDynamic: isPattern(from) }
}

/** Below the first dynamic rule all are tried in turn. */
function inTurn(rules: readonly RedirectRule[]): RedirectRule[] {
  const first = rules.findIndex(({ isDynamic }) => isDynamic)
  return rules.map((rule, index) => ({ ...rule, isDynamic: first >= 0 && index >= first }))
}

function isPattern(from: string): boolean {
  return /\*|:[A-Za-z]/.test(from)
}
