import { z } from 'zod'
import type { Dataset } from '#contract/binding.ts'
import type { AccountId } from '#contract/ids.ts'
import type { JsonObject } from '#contract/json.ts'
import { type Insights, nothing, type Tally } from './insights.ts'
import type { DatabaseStore } from './store.ts'

/** What the GraphQL API of analytics has of D1: what was run since the last start. */
export function d1Datasets(options: {
  readonly store: DatabaseStore
  readonly insights: Insights
}): Readonly<Record<string, Dataset>> {
  const { store, insights } = options
  const dataset =
    (select: (id: Tally['database']) => Iterable<Tally>): Dataset =>
    async (account: AccountId, filter, dimensions) => {
      const wanted = wantedOf(filter)
      const tallies = store
        .of(account)
        .filter(({ id }) => wanted.databases === undefined || wanted.databases.has(id))
        .flatMap(({ id }) => [...select(id)])
        .filter(({ hour }) => hour >= wanted.from && hour <= wanted.to)
      return grouped(tallies, dimensions)
    }
  return {
    d1QueriesAdaptiveGroups: dataset((id) => insights.texts(id)),
    d1AnalyticsAdaptiveGroups: dataset((id) => insights.hours(id)),
  }
}

const hourMs = 3_600_000
const time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))
const plainFilter = z.object({
  databaseId: z.string().optional(),
  databaseId_in: z.array(z.string()).optional(),
  datetimeHour_geq: time.optional(),
  datetimeHour_leq: time.optional(),
  datetime_geq: time.optional(),
  datetime_leq: time.optional(),
  date_geq: z.iso.date().optional(),
  date_leq: z.iso.date().optional(),
})
const wholeFilter = plainFilter.extend({ AND: z.array(plainFilter).optional() })

type Wanted = {
  readonly databases: ReadonlySet<string> | undefined
  /** Hours since the UNIX epoch. */
  readonly from: number
  readonly to: number
}

/** What a filter wants. What it says that is not known is as if it were not there. */
function wantedOf(filter: JsonObject): Wanted {
  const { AND: parts = [], ...own } = wholeFilter.safeParse(filter).data ?? {}
  let wanted: Wanted = { databases: undefined, from: 0, to: Infinity }
  for (const part of [own, ...parts]) {
    const ids = part.databaseId === undefined ? part.databaseId_in : [part.databaseId]
    const from = part.datetimeHour_geq ?? part.datetime_geq ?? dayOf(part.date_geq, 0)
    const to = part.datetimeHour_leq ?? part.datetime_leq ?? dayOf(part.date_leq, 23)
    wanted = {
      databases: ids ? new Set(ids) : wanted.databases,
      from: Math.max(wanted.from, from === undefined ? 0 : Math.floor(from / hourMs)),
      to: Math.min(wanted.to, to === undefined ? Infinity : Math.floor(to / hourMs)),
    }
  }
  return wanted
}

function dayOf(date: string | undefined, hour: number): number | undefined {
  return date === undefined ? undefined : Date.parse(`${date}T00:00:00Z`) + hour * hourMs
}

const dimensionsOf: Readonly<Record<string, (tally: Tally) => string | null>> = {
  databaseId: ({ database }) => database,
  query: ({ query }) => query ?? null,
  datetimeHour: ({ hour }) => new Date(hour * hourMs).toISOString().replace('.000', ''),
  date: ({ hour }) => new Date(hour * hourMs).toISOString().slice(0, 10),
}

/** One row for each combination of what is asked for beside the numbers. */
function grouped(tallies: readonly Tally[], dimensions: readonly string[]): readonly JsonObject[] {
  const groups = Map.groupBy(
    tallies.map((tally) => ({
      tally,
      of: Object.fromEntries(
        dimensions.map((name) => [name, dimensionsOf[name]?.(tally) ?? null] as const),
      ),
    })),
    ({ of }) => JSON.stringify(of),
  )
  return [...groups.values()].map((group) => {
    const { count, ...sum } = group.reduce((total, { tally }) => plus(total, tally), nothing)
    const avg = Object.fromEntries(
      Object.entries(sum).map(([name, value]) => [name, count === 0 ? 0 : value / count]),
    )
    return { count, sum, avg, dimensions: group[0]?.of ?? {} }
  })
}

type Numbers = typeof nothing

function plus(total: Numbers, tally: Tally): Numbers {
  return {
    count: total.count + tally.count,
    readQueries: total.readQueries + tally.readQueries,
    writeQueries: total.writeQueries + tally.writeQueries,
    queryDurationMs: total.queryDurationMs + tally.queryDurationMs,
    rowsRead: total.rowsRead + tally.rowsRead,
    rowsWritten: total.rowsWritten + tally.rowsWritten,
    rowsReturned: total.rowsReturned + tally.rowsReturned,
  }
}
