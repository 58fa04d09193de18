// The patterns of rules: `:name` is a part of a segment, `*` is anything, once. The rules are
// everybody's and the thread is one, so nothing here backtracks: the time is linear in the text,
// whatever pattern and visitor come up with. In each segment literals are placed from the right,
// each as far to the right as it goes. That gives each placeholder, from the left, the most that it
// can have: what a regular expression would, and if this fails every other placement does.

/** What a pattern is held against. */
export type Subject = {
  readonly text: string
  readonly segments: readonly string[]
  /** Where each segment begins. */
  readonly starts: readonly number[]
}

/** What the placeholders stand for, and `splat` for the wildcard. */
export type Groups = ReadonlyMap<string, string>

export type Pattern = (subject: Subject) => Groups | undefined

/** The literals of a segment with the names of what is between them. */
type Segment = {
  readonly literals: readonly [string, ...string[]]
  readonly names: readonly string[]
  /** What no placeholder of this segment may contain: in a host, a dot. */
  readonly excludes: string | undefined
}

type Place = { readonly text: string; readonly from: number; readonly to: number }

export function subjectOf(text: string): Subject {
  const segments = text.split('/')
  const starts: number[] = []
  let at = 0
  for (const segment of segments) {
    starts.push(at)
    at += segment.length + 1
  }
  return { text, segments, starts }
}

/**
 * Compiles a pattern: a path, or `https://host/path`, whose placeholders in the host are labels.
 * `undefined` if it can never match, because a name or the wildcard is in it twice.
 */
export function compilePattern(rule: string): Pattern | undefined {
  const parts = rule.split('*')
  const names = [...rule.matchAll(placeholder)].map(([, name = '']) => name)
  if (parts.length === 2) names.push('splat')
  if (parts.length > 2 || new Set(names).size < names.length) return undefined
  const [head = '', tail] = parts
  const isHost = rule.startsWith('https://')
  const before = segmentsOf(head, isHost ? 2 : -1)
  if (tail === undefined) return (subject) => matchWhole(subject, before)
  // A wildcard within the host leaves the rest of the host to the other side.
  const after = segmentsOf(tail, isHost && before.length === 3 ? 0 : -1)
  return (subject) => matchAround(subject, before, after)
}

/** Fills in the placeholders of a text that are known. A name may go on in the text. */
export function fill(text: string, groups: Groups): string {
  if (groups.size === 0 || !text.includes(':')) return text
  return text.replaceAll(placeholder, (whole, name: string) => {
    for (let length = name.length; length > 0; length--) {
      const value = groups.get(name.slice(0, length))
      if (value !== undefined) return value + name.slice(length)
    }
    return whole
  })
}

/** Compiles globs, in which `*` is anything, into one test. */
export function compileGlobs(rules: readonly string[]): (path: string) => boolean {
  const globs = rules.map((rule) => rule.split('*'))
  return (path) => globs.some((pieces) => matchesGlob(path, pieces))
}

const placeholder = /:([A-Za-z]\w*)/g

function segmentsOf(text: string, host: number): Segment[] {
  return text.split('/').map((segment, index) => {
    const [first = '', ...rest] = segment.split(placeholder)
    const names = rest.filter((_, at) => at % 2 === 0)
    const literals = rest.filter((_, at) => at % 2 === 1)
    return { literals: [first, ...literals], names, excludes: index === host ? '.' : undefined }
  })
}

function matchWhole(subject: Subject, pattern: readonly Segment[]): Groups | undefined {
  if (subject.segments.length !== pattern.length) return undefined
  const groups = new Map<string, string>()
  const fits = pattern.every((segment, index) => matchSegment(subject, index, { segment, groups }))
  return fits ? groups : undefined
}

function matchAround(
  subject: Subject,
  before: readonly Segment[],
  after: readonly Segment[],
): Groups | undefined {
  const { text, segments, starts } = subject
  const groups = new Map<string, string>()
  const [nearest, ...following] = after
  const left = before.at(-1)
  const leftIndex = before.length - 1
  const rightIndex = segments.length - after.length
  if (!left || !nearest || rightIndex < leftIndex) return undefined
  for (const [index, segment] of before.slice(0, -1).entries()) {
    if (!matchSegment(subject, index, { segment, groups })) return undefined
  }
  for (const [index, segment] of following.entries()) {
    if (!matchSegment(subject, rightIndex + 1 + index, { segment, groups })) return undefined
  }
  const endOf = (index: number): number => (starts[index] ?? 0) + (segments[index]?.length ?? 0)
  const leftStart = starts[leftIndex] ?? 0
  const right = placeEnd(
    {
      text,
      from: rightIndex === leftIndex ? leftStart : (starts[rightIndex] ?? 0),
      to: endOf(rightIndex),
    },
    nearest,
    groups,
  )
  if (right === undefined) return undefined
  const end = placeStart(
    { text, from: leftStart, to: Math.min(endOf(leftIndex), right) },
    left,
    groups,
  )
  if (end === undefined || end > right) return undefined
  return groups.set('splat', text.slice(end, right))
}

/** Places all of a segment. */
function matchSegment(
  { text, segments, starts }: Subject,
  index: number,
  { segment, groups }: { readonly segment: Segment; readonly groups: Map<string, string> },
): boolean {
  const from = starts[index] ?? 0
  const to = from + (segments[index]?.length ?? 0)
  const [first] = segment.literals
  if (segment.names.length === 0) return to - from === first.length && text.startsWith(first, from)
  const last = segment.literals.at(-1) ?? ''
  if (to - last.length < from || !text.endsWith(last, to)) return false
  return placeMiddle({ text, from, to: to - last.length }, segment, groups)
}

/** Places the end of a pattern's first part, which need not reach the end. Returns where it ends. */
function placeStart(
  place: Place,
  segment: Segment,
  groups: Map<string, string>,
): number | undefined {
  const { text, from, to } = place
  const [first] = segment.literals
  if (from + first.length > to || !text.startsWith(first, from)) return undefined
  if (segment.names.length === 0) return from + first.length
  const last = segment.literals.at(-1) ?? ''
  const at = text.lastIndexOf(last, to - last.length)
  if (at < from + first.length || at + last.length > to) return undefined
  return placeMiddle({ text, from, to: at }, segment, groups) ? at + last.length : undefined
}

/** Places the beginning of a pattern's second part. Returns where it begins. */
function placeEnd(place: Place, segment: Segment, groups: Map<string, string>): number | undefined {
  const { text, from, to } = place
  const last = segment.literals.at(-1) ?? ''
  let end = to - last.length
  if (end < from || !text.endsWith(last, to)) return undefined
  for (let index = segment.names.length - 1; index >= 0; index--) {
    const literal = segment.literals[index] ?? ''
    const at =
      end - 1 - literal.length < from ? -1 : text.lastIndexOf(literal, end - 1 - literal.length)
    if (
      at < from ||
      !give(segment, index, { value: text.slice(at + literal.length, end), groups })
    ) {
      return undefined
    }
    end = at
  }
  return end
}

/** Places all but the last literal, which follows on `to`; the first is at `from`. */
function placeMiddle(place: Place, segment: Segment, groups: Map<string, string>): boolean {
  const { text, from, to } = place
  let end = to
  for (let index = segment.names.length - 1; index >= 0; index--) {
    const literal = segment.literals[index] ?? ''
    const latest = end - 1 - literal.length
    if (latest < from) return false
    let at = from
    if (index > 0) at = text.lastIndexOf(literal, latest)
    else if (!text.startsWith(literal, from)) return false
    if (
      at < from ||
      !give(segment, index, { value: text.slice(at + literal.length, end), groups })
    ) {
      return false
    }
    end = at
  }
  return true
}

function give(
  { names, excludes }: Segment,
  index: number,
  { value, groups }: { readonly value: string; readonly groups: Map<string, string> },
): boolean {
  if (value === '' || (excludes !== undefined && value.includes(excludes))) return false
  groups.set(names[index] ?? '', value)
  return true
}

/** Pieces are found from the left, each as early as it is there. */
function matchesGlob(path: string, pieces: readonly string[]): boolean {
  const [first = '', ...rest] = pieces
  const last = rest.pop()
  if (last === undefined) return path === first
  if (!path.startsWith(first)) return false
  let at = first.length
  for (const piece of rest) {
    const found = path.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return path.length - last.length >= at && path.endsWith(last)
}
