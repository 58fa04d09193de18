import { workerFirstInvalid } from './errors.ts'
import * as limits from './limits.ts'

/** Which paths go to the Worker, and which to the files before that is asked. Globs. */
export type WorkerFirstRules = {
  readonly worker: readonly string[]
  readonly assets: readonly string[]
}

/** Reads the list form of `run_worker_first`. Throws `workerFirstInvalid` in upstream's words. */
export function readWorkerFirst(rules: readonly string[]): WorkerFirstRules {
  if (rules.length === 0) {
    throw workerFirstInvalid(
      'No `run_worker_first` rules were provided; must provide at least 1 rule.',
    )
  }
  if (rules.length > limits.workerFirstRules) throw workerFirstInvalid(tooMany(rules))
  const negative = rules.filter((rule) => rule.startsWith('!/'))
  const positive = rules.filter((rule) => rule.startsWith('/'))
  if (negative.length > 0 && positive.length === 0) {
    throw workerFirstInvalid(
      'Only negative `run_worker_first` rules were provided; must provide at least 1 non-negative rule',
    )
  }
  const problems = [
    ...rules.flatMap((rule) => {
      if (/^!?\//.test(rule)) return []
      return rule.startsWith('!')
        ? [`'${rule}': negative rules must start with '!/'`]
        : [`'${rule}': rules must start with '/' or '!/'`]
    }),
    ...problemsOf(positive),
    ...problemsOf(negative),
  ]
  if (problems.length > 0) {
    throw workerFirstInvalid(`Invalid routes in \`run_worker_first\`:\n${problems.join('\n')}`)
  }
  return { worker: positive, assets: negative.map((rule) => rule.slice(1)) }
}

function problemsOf(rules: readonly string[]): string[] {
  return rules.flatMap((rule, index) => {
    const problems: string[] = []
    if (rule.length > limits.workerFirstRule) {
      problems.push(
        `'${rule}': all rules must be less than ${limits.workerFirstRule} characters in length`,
      )
    }
    if (rules.indexOf(rule) < index) {
      problems.push(`'${rule}': rule is a duplicate; rules must be unique`)
    }
    if (rule.endsWith('*')) {
      const covered = rules.filter((other) => other !== rule && other.startsWith(rule.slice(0, -1)))
      problems.push(...covered.map((other) => `'${other}': rule '${rule}' makes it redundant`))
    }
    return problems
  })
}

function tooMany(rules: readonly string[]): string {
  const start = 'Too many `run_worker_first` rules were provided; '
  const end = `exceeds max of ${limits.workerFirstRules}.`
  const counts = new Map<string, number>()
  for (const rule of rules) counts.set(rule, (counts.get(rule) ?? 0) + 1)
  const surplus = rules.length - counts.size
  if (surplus === 0) return `${start}${rules.length} rules provided ${end}`
  const repeated = [...counts].flatMap(([rule, count]) => (count > 1 ? [rule] : []))
  const named = repeated.slice(0, limits.namedDuplicates)
  const unnamed = repeated.length - named.length
  const entries = surplus === 1 ? 'entry' : 'entries'
  const more =
    unnamed > 0 ? `\n...and ${unnamed} more duplicated ${unnamed === 1 ? 'rule' : 'rules'}.` : ''
  return `${start}${rules.length} rules provided (${counts.size} distinct, ${surplus} duplicate ${entries}) ${end} Note: duplicate entries count towards the route limit. Ensure that no duplicate rules are present in your \`run_worker_first\` configuration.\n\nThe duplicated rules found are:\n${named.map((rule) => `- ${JSON.stringify(rule)}`).join('\n')}${more}`
}
