/** What is known of a clock that may be put right, or wrong, at any time. */
export type ClockView = {
  /** What it said last. */
  readonly at: number
  /** From then on nothing speaks against what it says; `Infinity` until it was looked at once. */
  readonly trustedFrom: number
}

/** A clock that goes back by less is not spoken of. */
const smallestStepMs = 1_000
/** Two looks are never so far apart, unless the clock was moved or the machine slept. */
const longestLookMs = 60_000
/**
 * A clock that jumped forward, or was not looked at before, is given so long to be put right: until
 * then nothing is removed for its age.
 */
export const doubtMs = 10 * 60_000

/** Looks at a clock. `wentBackFrom` is what it said before it went back, if it did. */
export function readClock(
  last: ClockView,
  now: number,
): { readonly view: ClockView; readonly wentBackFrom: number | undefined } {
  if (now < last.at - smallestStepMs) {
    return { view: { at: now, trustedFrom: now + doubtMs }, wentBackFrom: last.at }
  }
  const isSurprise = last.trustedFrom === Infinity || now > last.at + longestLookMs
  const trustedFrom = isSurprise ? now + doubtMs : last.trustedFrom
  return { view: { at: Math.max(now, last.at), trustedFrom }, wentBackFrom: undefined }
}
