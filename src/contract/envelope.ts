import type { ApiError } from './errors.ts'

// The envelope of Cloudflare's v4 API: control-api.md §2.1. Only `success` decides; clients read
// `errors[0].code`, and print `message [code: N]`.

/** Page numbers of a list. Clients stop at an empty page, or when `page * per_page` covers `total_count`. */
export type PageInfo = {
  readonly page: number
  readonly per_page: number
  readonly count: number
  readonly total_count: number
  readonly total_pages: number
}

/** A cursor of a list: `""` says that this was the last page. Some lists have it twice. */
export type CursorInfo = {
  readonly count: number
  readonly cursor: string
  readonly cursors?: { readonly after: string }
}

export function succeed(result: unknown, info?: PageInfo | CursorInfo): Response {
  return Response.json({
    success: true,
    errors: [],
    messages: [],
    result: result ?? null,
    ...(info && { result_info: info }),
  })
}

export function fail(error: ApiError): Response {
  const { code, message, meta } = error
  return Response.json(
    {
      success: false,
      errors: [{ code, message, ...(meta !== undefined && { meta }) }],
      messages: [],
      result: null,
    },
    { status: error.status },
  )
}

/** What a client asked for with `?page=&per_page=`, held within limits. */
export type PageQuery = { readonly page: number; readonly perPage: number; readonly offset: number }

/** Reads `page` and `per_page`; anything that is not a positive integer is the default. */
export function pageQuery(url: URL, defaults: { perPage: number; most: number }): PageQuery {
  const page = positive(url.searchParams.get('page'), 1, 1_000_000)
  const perPage = positive(url.searchParams.get('per_page'), defaults.perPage, defaults.most)
  return { page, perPage, offset: (page - 1) * perPage }
}

export function pageInfo(query: PageQuery, count: number, total: number): PageInfo {
  return {
    page: query.page,
    per_page: query.perPage,
    count,
    total_count: total,
    total_pages: Math.ceil(total / query.perPage),
  }
}

function positive(text: string | null, otherwise: number, most: number): number {
  const value = Number(text)
  return text !== null && Number.isInteger(value) && value >= 1 ? Math.min(value, most) : otherwise
}
