/** Names and values of a file that a shell reads with `set -a; . FILE`. */
export type EnvironmentFile = Readonly<Record<string, string>>

/** Reads lines `NAME=value`; others mean nothing. */
export function parseEnvironmentFile(text: string): EnvironmentFile {
  const lines = text.split('\n').map((line) => /^([A-Z_]+)=(.*)$/.exec(line))
  return Object.fromEntries(
    lines.flatMap((match) => (match ? [[match[1] ?? '', match[2] ?? ''] as const] : [])),
  )
}

/** Values must need no quotes: ids, tokens and URLs of ours don't. Throws for one that does. */
export function printEnvironmentFile(values: EnvironmentFile): string {
  return Object.entries(values)
    .map(([name, value]) => {
      if (!/^[\w.:/[\]-]*$/.test(value)) throw new Error(`the value of ${name} needs quotes`)
      return `${name}=${value}\n`
    })
    .join('')
}
