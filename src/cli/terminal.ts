import { messageOf, OperatorError } from '#contract/errors.ts'

/** Runs a `parseArgs`, with its complaints made the operator's. */
export function parse<Parsed>(read: () => Parsed): Parsed {
  try {
    return read()
  } catch (error) {
    throw new OperatorError(`${messageOf(error).split('. ')[0]}. Try: bindery help`, {
      cause: error,
    })
  }
}

/** Rows under headings, in columns. Control characters are shown as "?". */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const clean = [headings, ...rows].map((row) =>
    row.map((cell) => cell.replaceAll(/\p{Cc}/gu, '?')),
  )
  const widths = headings.map((_, column) =>
    Math.max(...clean.map((row) => row[column]?.length ?? 0)),
  )
  const lines = clean.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '),
  )
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`
}
