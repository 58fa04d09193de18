/** A message that waits in a line. */
export type Waiting = {
  /** From then on it can be delivered, in ms since 1970. */
  readonly visibleAt: number
  readonly attempts: number
  /** Bytes of its body. */
  readonly size: number
}

export type BatchRules = {
  /** Messages of a full batch. */
  readonly batchSize: number
  /** Bytes of a full batch. */
  readonly batchBytes: number
  /** How long the first message of a batch waits for others, in ms. */
  readonly waitMs: number
}

/**
 * When the next batch leaves, in ms since 1970: `now` or before it if there is one to leave at once.
 * `undefined` if nothing waits. `head` is the beginning of the line, in its order, and as long as a
 * full batch if the line is.
 *
 * A batch leaves when it is full, or when a message in it has waited long enough. One that is tried
 * again has waited its delay already.
 */
export function dueAt(
  head: readonly Waiting[],
  now: number,
  { batchSize, batchBytes, waitMs }: BatchRules,
): number | undefined {
  const visible = head.filter(({ visibleAt }) => visibleAt <= now)
  const bytes = visible.reduce((sum, { size }) => sum + size, 0)
  if (visible.length >= batchSize || bytes >= batchBytes) return now
  const times = head.map(({ visibleAt, attempts }) => visibleAt + (attempts > 0 ? 0 : waitMs))
  // It is full once so many are visible, whatever the first of them still waits for.
  const last = head.length >= batchSize ? head.at(batchSize - 1) : undefined
  if (last) times.push(last.visibleAt)
  return times.length === 0 ? undefined : Math.min(...times)
}
