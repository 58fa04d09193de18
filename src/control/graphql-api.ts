import { z } from 'zod'
import type { Dataset } from '#contract/binding.ts'
import { ApiError } from '#contract/errors.ts'
import { gather } from '#contract/gather.ts'
import { accountId } from '#contract/ids.ts'
import { parseJson } from '#contract/json-text.ts'
import type { Json, JsonObject } from '#contract/json.ts'
import type { Call, Route } from './call.ts'
import { type Field, parseQuery, queryBody, QueryError } from './graphql-query.ts'
import { demandAccount } from './tokens.ts'

const bodyBytes = 256 * 1024
const mostRows = 10_000

const accountArgs = z.object({ filter: z.object({ accountTag: accountId }) })
const datasetArgs = z.object({
  filter: z.record(z.string(), z.json()).nullish(),
  limit: z.number().int().positive().max(mostRows).default(mostRows),
  orderBy: z.array(z.string().max(100)).max(10).nullish(),
})

/**
 * The GraphQL API of analytics, as far as products have datasets: `viewer { accounts { … } }`. Like
 * Cloudflare's, it answers 200 whatever is wrong, and says so in `errors`.
 */
export function graphqlRoutes(datasets: Readonly<Record<string, Dataset>>): readonly Route[] {
  return [
    { method: 'POST', path: '/graphql', permission: 'read', run: (call) => run(call, datasets) },
  ]
}

async function run(call: Call, datasets: Readonly<Record<string, Dataset>>): Promise<Response> {
  try {
    const { query, variables } = await readBody(call.request)
    const data: [string, Json][] = []
    for (const field of parseQuery(query, variables ?? {})) {
      if (field.name !== 'viewer') throw new QueryError(`unknown field "${field.name}"`)
      data.push([field.alias, await viewer(field, { call, datasets })])
    }
    return Response.json({ data: Object.fromEntries(data), errors: null })
  } catch (error) {
    if (!(error instanceof QueryError || error instanceof ApiError)) throw error
    return Response.json({ data: null, errors: [{ message: error.message, path: null }] })
  }
}

type Context = { readonly call: Call; readonly datasets: Readonly<Record<string, Dataset>> }

async function viewer({ fields }: Field, context: Context): Promise<JsonObject> {
  const found: [string, Json][] = []
  for (const field of fields) {
    if (field.name !== 'accounts') throw new QueryError(`unknown field "${field.name}"`)
    const args = accountArgs.safeParse(field.args)
    if (!args.success) throw new QueryError('"accounts" needs a filter with an "accountTag"')
    const { accountTag: account } = args.data.filter
    demandAccount(context.call.token, account)
    const rows: [string, Json][] = []
    for (const each of field.fields) {
      const dataset = Object.entries(context.datasets).find(([name]) => name === each.name)?.[1]
      const asked = datasetArgs.safeParse(each.args)
      if (!dataset) throw new QueryError(`unknown field "${each.name}"`)
      if (!asked.success) throw new QueryError(`the arguments of "${each.name}" are not valid`)
      const { filter, limit, orderBy } = asked.data
      const dimensions = each.fields.find(({ name }) => name === 'dimensions')?.fields ?? []
      const all = await dataset(account, filter ?? {}, [...new Set(dimensions.map(nameOf))])
      const first = ordered(all, orderBy ?? []).slice(0, limit)
      rows.push([each.alias, first.map((row) => selected(row, each.fields))])
    }
    found.push([field.alias, [Object.fromEntries(rows)]])
  }
  return Object.fromEntries(found)
}

function nameOf({ name }: Field): string {
  return name
}

/** Rows in an order such as `sum_rowsRead_DESC`, `count_ASC` or `datetime_ASC`, which is a dimension. */
function ordered(rows: readonly JsonObject[], orderBy: readonly string[]): readonly JsonObject[] {
  const orders = orderBy.map((text) => {
    const [, path = '', direction] = /^(\w+)_(ASC|DESC)$/.exec(text) ?? []
    if (direction === undefined) throw new QueryError(`unknown order "${text}"`)
    return { path, sign: direction === 'ASC' ? 1 : -1 }
  })
  return rows.toSorted((one, other) => {
    for (const { path, sign } of orders) {
      const difference = compared(valueAt(one, path), valueAt(other, path))
      if (difference !== 0) return sign * difference
    }
    return 0
  })
}

function valueAt(row: JsonObject, path: string): Json {
  const [, group = '', name = ''] = /^([^_]+)_(.+)$/.exec(path) ?? []
  return (
    memberOf(memberOf(row, group), name) ??
    memberOf(memberOf(row, 'dimensions'), path) ??
    memberOf(row, path) ??
    null
  )
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (value === undefined || !isObject(value)) return undefined
  return Object.entries(value).find(([key]) => key === name)?.[1]
}

/** Numbers by size, everything else as text. */
function compared(one: Json, other: Json): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other
  const [a, b] = [JSON.stringify(one), JSON.stringify(other)]
  return a < b ? -1 : a > b ? 1 : 0
}

/** What is asked for of a row, and `null` where there is no such thing. */
function selected(row: JsonObject, fields: readonly Field[]): JsonObject {
  return Object.fromEntries(
    fields.map(({ name, alias, fields: inner }) => {
      const value = Object.entries(row).find(([key]) => key === name)?.[1] ?? null
      return [alias, inner.length > 0 && isObject(value) ? selected(value, inner) : value]
    }),
  )
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

async function readBody(request: Request): Promise<z.output<typeof queryBody>> {
  const { bytes } = await gather(request.body ?? [], bodyBytes, bodyBytes)
  if (!bytes) throw new QueryError('the query is too long')
  let value: unknown
  try {
    value = parseJson(new TextDecoder().decode(bytes))
  } catch {
    throw new QueryError('the body is not valid JSON')
  }
  const body = queryBody.safeParse(value)
  if (!body.success) throw new QueryError('the body has no valid "query"')
  return body.data
}
