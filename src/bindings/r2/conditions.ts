/** One of the ETags of a condition. */
export type EtagMatcher =
  | { readonly type: 'strong' | 'weak'; readonly value: string }
  | { readonly type: 'wildcard' }

/** What must be so for an operation to happen; times in milliseconds. */
export type Conditions = {
  readonly etagMatches?: readonly EtagMatcher[] | undefined
  readonly etagDoesNotMatch?: readonly EtagMatcher[] | undefined
  readonly uploadedBefore?: number | undefined
  readonly uploadedAfter?: number | undefined
  readonly secondsGranularity?: boolean | undefined
}

/** What conditions are about: `undefined` if there is no object. */
export type Current = { readonly etag: string; readonly uploadedAt: number } | undefined

export type Outcome = {
  /** `If-Match` and `If-Unmodified-Since`. */
  readonly isExpected: boolean
  /** `If-None-Match` and `If-Modified-Since`. */
  readonly isNew: boolean
}

/** Whether all conditions hold: r2.md §3.4. */
export function holds(conditions: Conditions, current: Current): boolean {
  const { isExpected, isNew } = judge(conditions, current)
  return isExpected && isNew
}

/** The two halves apart: where one fails, HTTP has another answer to a read. */
export function judge(conditions: Conditions, current: Current): Outcome {
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter } = conditions
  if (!current) return { isExpected: !etagMatches, isNew: uploadedAfter === undefined }
  const { etag } = current
  const time = (milliseconds: number): number =>
    conditions.secondsGranularity ? Math.floor(milliseconds / 1000) : milliseconds
  const uploaded = time(current.uploadedAt)
  const isMatch = !etagMatches || etagMatches.some((each) => matches(each, etag, 'strong'))
  const isOther = !etagDoesNotMatch?.some((each) => matches(each, etag, 'weak'))
  const isModified =
    uploadedAfter === undefined ||
    time(uploadedAfter) < uploaded ||
    (etagDoesNotMatch !== undefined && isOther)
  const isUnmodified =
    uploadedBefore === undefined ||
    uploaded < time(uploadedBefore) ||
    (etagMatches !== undefined && isMatch)
  return { isExpected: isMatch && isUnmodified, isNew: isOther && isModified }
}

function matches(matcher: EtagMatcher, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (matcher.type === 'wildcard') return true
  return matcher.value === etag && (comparison === 'weak' || matcher.type === 'strong')
}
