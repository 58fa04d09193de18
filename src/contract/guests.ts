/**
 * *Guests* are Workers that another Worker has loaded: they run in its process, on the one thread of it,
 * and nothing outside can tell them from it. Whoever sees them come and go says so here.
 */
export interface GuestPort {
  /**
   * Has the process of a cell taken for stuck after so much CPU time without an answer, if not before,
   * until disposed of. Several hold at once: the smallest counts.
   */
  limitCpu(cell: string, cpuMs: number): Disposable
  /** What part of its memory a cell's process has used, from 0; `undefined` if that can't be told. */
  fullness(cell: string): number | undefined
}

/** Who has the port: the runtime. */
export interface GuestHost {
  readonly guests: GuestPort
}
