/** The `Log` port: one JSON object a line. Text of users is only ever a value, never the message. */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A log whose lines all carry `fields`. */
  child(fields: LogFields): Log
}

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>
