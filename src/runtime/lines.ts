import type { Readable } from 'node:stream'
import type { Log } from '#contract/ports/log.ts'

/** A longer line is cut: what a Worker prints is kept in memory until its end. */
const lineLength = 8 * 1024
/** More lines a second, of one stream, are counted and not kept. */
const linesPerSecond = 500

/**
 * Logs a stream of text line by line. What a cell prints is its Workers' choice: neither an endless
 * line nor an endless number of them may cost the server more than a bounded amount of memory.
 */
export function logLines(stream: Readable, log: Log): void {
  const allow = lineBudget(log)
  let line = ''
  const end = (): void => {
    if (line !== '' && allow()) log.info('cell', { line })
    line = ''
  }
  stream.setEncoding('utf8').on('data', (data: string) => {
    const [rest = '', ...more] = data.split('\n')
    line = (line + rest).slice(0, lineLength)
    for (const next of more) {
      end()
      line = next.slice(0, lineLength)
    }
  })
  stream.on('end', end)
}

/** Says for each line whether it may still be logged, and logs how many were not. */
function lineBudget(log: Log): () => boolean {
  let second = 0
  let lines = 0
  return () => {
    const now = Math.floor(performance.now() / 1000)
    if (now !== second) {
      if (lines > linesPerSecond) log.warn('lines dropped', { count: lines - linesPerSecond })
      second = now
      lines = 0
    }
    lines += 1
    return lines <= linesPerSecond
  }
}
