/** The `Clock` port: time is handed in, so that tests can move it. */
export interface Clock {
  /** Milliseconds since the UNIX epoch. */
  now(): number
  /** Calls `run` once after `milliseconds`, unless disposed of before. Keeps no process alive. */
  after(milliseconds: number, run: () => void): Disposable
}
