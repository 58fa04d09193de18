// Cron expressions as Cloudflare reads them: five fields, in UTC. Weekdays are 1 to 7 from Sunday, not
// Unix's 0 to 6 from Sunday. developers.cloudflare.com/workers/configuration/cron-triggers
//
//   minute        0-59
//   hour          0-23
//   day of month  1-31, `L` (the last), `L-3` (three before it), `15W` (the weekday nearest to it), `LW`
//   month         1-12, JAN-DEC
//   day of week   1-7, SUN-SAT, `5L` (the last Thursday of the month), `2#1` (its first Monday)
//
// Where both day fields are restricted, a day of either is one.

/** An expression that was read. */
export type Cron = {
  /** As it was written. */
  readonly text: string
  /** In order, as are all lists of numbers here. */
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly months: readonly number[]
  /** Days of a month, by each day field that is no `*`. */
  readonly days: readonly DayRule[]
}

type DayRule = (month: Month) => readonly number[]

type Month = {
  /** When it begins, in ms since 1970. */
  readonly startMs: number
  /** 1 is January. */
  readonly number: number
  /** Days that it has. */
  readonly length: number
  /** Of its first day, 0 is Sunday. */
  readonly firstWeekday: number
}

/** A text that is no cron expression; the message says which part of it. */
export class CronError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CronError'
  }
}

export const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
/** The calendar repeats after 400 years: what has not been by then never is. */
const cycleMonths = 400 * 12
/** Longer ones are refused unread. */
const longestText = 256

/** Reads an expression. Throws a `CronError`, also for one that no minute matches. */
export function parseCron(text: string): Cron {
  if (text.length > longestText) throw new CronError('it is too long')
  const [minute, hour, day, month, weekday, ...more] = text.trim().split(/\s+/)
  if (!minute || !hour || !day || !month || !weekday || more.length > 0) {
    throw new CronError('it has five fields: minute, hour, day of month, month, day of week')
  }
  const cron: Cron = {
    text,
    minutes: readList(minute, minuteField),
    hours: readList(hour, hourField),
    months: readList(month, monthField),
    days: [readDays(day), readWeekdays(weekday)].filter((rule) => rule !== undefined),
  }
  if (nextTime(cron, 0) === undefined) throw new CronError('there is no such day')
  return cron
}

/** Whether the minute that `at` is in, in ms since 1970, is one of an expression's. */
export function matchesCron(cron: Cron, at: number): boolean {
  const date = new Date(at)
  if (!cron.minutes.includes(date.getUTCMinutes())) return false
  if (!cron.hours.includes(date.getUTCHours())) return false
  const month = monthOf(date.getUTCFullYear(), date.getUTCMonth())
  return daysOf(cron, month).includes(date.getUTCDate())
}

/** The first minute of an expression that begins after `after`, in ms since 1970, if there is one. */
export function nextTime(cron: Cron, after: number): number | undefined {
  const from = Math.floor(after / minuteMs + 1) * minuteMs
  const start = new Date(from)
  for (let ahead = 0; ahead <= cycleMonths; ahead += 1) {
    const month = monthOf(start.getUTCFullYear(), start.getUTCMonth() + ahead)
    for (const day of daysOf(cron, month)) {
      const time = timeOfDay(cron, month.startMs + (day - 1) * dayMs, from)
      if (time !== undefined) return time
    }
  }
  return undefined
}

function timeOfDay(cron: Cron, day: number, from: number): number | undefined {
  if (day + dayMs <= from) return undefined
  for (const hour of cron.hours) {
    for (const minute of cron.minutes) {
      const time = day + hour * hourMs + minute * minuteMs
      if (time >= from) return time
    }
  }
  return undefined
}

/** `index` is 0 for January, and may be of a later year. */
function monthOf(year: number, index: number): Month {
  const startMs = Date.UTC(year, index)
  const start = new Date(startMs)
  return {
    startMs,
    number: start.getUTCMonth() + 1,
    length: new Date(Date.UTC(year, index + 1, 0)).getUTCDate(),
    firstWeekday: start.getUTCDay(),
  }
}

function daysOf({ months, days }: Cron, month: Month): readonly number[] {
  if (!months.includes(month.number)) return []
  if (days.length === 0) return range(1, month.length, 1)
  return sorted(days.flatMap((rule) => rule(month)))
}

function weekdayOf({ firstWeekday }: Month, day: number): number {
  return (firstWeekday + day - 1) % 7
}

// ---- fields

type Field = {
  readonly name: string
  readonly least: number
  readonly most: number
  /** Of its values from the least on. */
  readonly names?: readonly string[]
}

const minuteField: Field = { name: 'minute', least: 0, most: 59 }
const hourField: Field = { name: 'hour', least: 0, most: 23 }
const dayField: Field = { name: 'day of month', least: 1, most: 31 }
const monthNames = 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ')
const monthField: Field = { name: 'month', least: 1, most: 12, names: monthNames }
const weekdayNames = 'SUN MON TUE WED THU FRI SAT'.split(' ')
const weekdayField: Field = { name: 'day of week', least: 1, most: 7, names: weekdayNames }

/** `*`, values, ranges and steps, with commas between them. */
function readList(text: string, field: Field): readonly number[] {
  const items = text.split(',')
  // A list that says "every" says nothing else.
  if (items.length > 1 && items.includes('*')) throw wrong(field, text)
  return sorted(items.flatMap((item) => readItem(item, field)))
}

function readItem(item: string, field: Field): readonly number[] {
  const [, values = '', stepText] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(item) ?? []
  const step = stepText === undefined ? 1 : Number(stepText)
  if (step < 1 || step > field.most - field.least) throw wrong(field, item)
  if (values === '*') return range(field.least, field.most, step)
  const [, from = '', to] = /^(\w+)(?:-(\w+))?$/.exec(values) ?? []
  const first = readValue(from, field)
  // `5/15` goes on to the end.
  const last = to !== undefined ? readValue(to, field) : stepText ? field.most : first
  if (first > last) throw wrong(field, item)
  return range(first, last, step)
}

function readValue(text: string, field: Field): number {
  const named = field.names?.indexOf(text.toUpperCase()) ?? -1
  if (named >= 0) return field.least + named
  const value = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= field.least && value <= field.most)) throw wrong(field, text)
  return value
}

/** `undefined` for `*`: any day. */
function readDays(text: string): DayRule | undefined {
  if (text === '*') return undefined
  const [, beforeText, isNearLast] = /^L(?:-(\d{1,2}))?(W)?$/i.exec(text) ?? []
  if (/^L/i.test(text)) {
    const before = beforeText === undefined ? 0 : Number(beforeText)
    const isWrong = beforeText !== undefined && (before < 1 || before > 30)
    if (isWrong || !/^L(?:-\d{1,2})?W?$/i.test(text)) throw wrong(dayField, text)
    if (isNearLast) return (month) => nearestWorkday(month, month.length - before)
    return ({ length }) => (length > before ? [length - before] : [])
  }
  const [, nearText] = /^(\d{1,2})W$/i.exec(text) ?? []
  if (nearText !== undefined) {
    const near = readValue(nearText, dayField)
    return (month) => nearestWorkday(month, near)
  }
  const days = readList(text, dayField)
  return ({ length }) => days.filter((day) => day <= length)
}

const sunday = 0
const saturday = 6

/** The day from Monday to Friday nearest to one of a month, in the same month. */
function nearestWorkday(month: Month, day: number): readonly number[] {
  if (day < 1 || day > month.length) return []
  const weekday = weekdayOf(month, day)
  if (weekday === saturday) return [day > 1 ? day - 1 : day + 2]
  if (weekday === sunday) return [day < month.length ? day + 1 : day - 2]
  return [day]
}

/** `undefined` for `*`: any day. */
function readWeekdays(text: string): DayRule | undefined {
  if (text === '*') return undefined
  const [, lastText] = /^(\w+)L$/i.exec(text) ?? []
  if (lastText !== undefined) {
    const weekday = readValue(lastText, weekdayField)
    return (month) => weekdaysOf(month, [weekday]).filter((day) => day + 7 > month.length)
  }
  const [, nthText, nth] = /^(\w+)#([1-5])$/.exec(text) ?? []
  if (nthText !== undefined) {
    const weekday = readValue(nthText, weekdayField)
    return (month) => weekdaysOf(month, [weekday]).slice(Number(nth) - 1, Number(nth))
  }
  // Alone, the last day of a week.
  const weekdays = /^L$/i.test(text) ? [weekdayField.most] : readList(text, weekdayField)
  return (month) => weekdaysOf(month, weekdays)
}

/** The days of a month on certain days of the week, 1 is Sunday. */
function weekdaysOf(month: Month, weekdays: readonly number[]): readonly number[] {
  return range(1, month.length, 1).filter((day) => weekdays.includes(weekdayOf(month, day) + 1))
}

function range(first: number, last: number, step: number): readonly number[] {
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, at) => first + at * step)
}

function sorted(values: readonly number[]): readonly number[] {
  return [...new Set(values)].toSorted((a, b) => a - b)
}

function wrong({ name, least, most }: Field, text: string): CronError {
  return new CronError(`"${text}" is no ${name} (${least}-${most})`)
}
