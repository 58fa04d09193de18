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

/** A number of bytes for people: 512 B, 34.5 MB. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let size = bytes
  let unit = 0
  for (; size >= 1_000 && unit < units.length - 1; unit++) size /= 1_000
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`
}

/** Says on stderr how far long work is, and nothing of short work. */
export class Progress {
  #files = 0
  #bytes = 0
  #nextAt = performance.now() + 1_000

  /** Another file; its bytes pass through. */
  async *watch(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    this.#files += 1
    for await (const chunk of bytes) {
      this.#bytes += chunk.byteLength
      this.#say()
      yield chunk
    }
  }

  #say(): void {
    if (performance.now() < this.#nextAt) return
    this.#nextAt = performance.now() + 1_000
    process.stderr.write(`${this.#files} files, ${bytesText(this.#bytes)} ...\n`)
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
