// What the driver and its thread say to each other.

/** Something to do with a database that nobody else has open. */
export type TaskMessage =
  /**
   * Makes a copy of a database and its WAL one sound file in rollback mode, which any tool opens.
   * Answers with the alarm of the object.
   */
  | { readonly type: 'settle'; readonly path: string }
  /** Answers with all alarms of a namespace. The file may be a copy with its WAL. */
  | { readonly type: 'readAlarms'; readonly path: string }
  /** Sets the alarms of these objects, and removes those of objects that have none. */
  | {
      readonly type: 'writeAlarms'
      readonly path: string
      readonly alarms: readonly AlarmMessage[]
    }

/** An object's alarm, in nanoseconds since 1970 as workerd counts; `undefined` if it has none. */
export type AlarmMessage = {
  readonly object: string
  readonly at: bigint | undefined
  readonly name: string | undefined
}

export type AnswerMessage =
  | { readonly ok: true; readonly alarms: readonly AlarmMessage[] }
  | { readonly ok: false; readonly message: string }
