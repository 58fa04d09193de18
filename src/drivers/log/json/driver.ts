import type { Log, LogFields } from '#contract/ports/log.ts'

const levels = { debug: 0, info: 1, warn: 2, error: 3 } as const

export type JsonLogOptions = {
  /** Takes one line, with its end. */
  readonly write: (line: string) => void
  /** Lines below this level are dropped. */
  readonly level: keyof typeof levels
  readonly now: () => number
}

/** Longer values are cut: one record stays one readable line. */
const valueLength = 8_192
/** A longer line (one character may become six) loses its fields. */
const lineLength = 65_000

/**
 * One JSON object a line. JSON escapes what could end a line or steer a terminal, except the
 * controls above ASCII and the line separators, which are escaped here.
 */
export function jsonLog(options: JsonLogOptions, fields: LogFields = {}): Log {
  const at =
    (level: keyof typeof levels) =>
    (message: string, more: LogFields = {}): void => {
      if (levels[level] < levels[options.level]) return
      const time = new Date(options.now()).toISOString()
      const whole = line({ time, level, message, ...fields, ...more })
      const fits = whole.length <= lineLength
      options.write(`${fits ? whole : line({ time, level, message, cut: whole.length })}\n`)
    }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (more) => jsonLog(options, { ...fields, ...more }),
  }
}

function line(record: LogFields): string {
  const json = JSON.stringify(record, (_, value: unknown) =>
    typeof value === 'string' && value.length > valueLength
      ? `${value.slice(0, valueLength)}…`
      : value,
  )
  return json.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
