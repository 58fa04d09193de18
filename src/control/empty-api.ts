import { pageInfo, pageQuery, succeed } from '#contract/envelope.ts'
import type { AccountCall, Call, Route } from './call.ts'

// What clients ask about on their way, and of which there is nothing here yet. An empty list is the
// truth; everything else of these products answers 7003.

const emptyLists = ['/workers/tails/by-consumer/:worker']

export const emptyAccountRoutes: readonly Route<AccountCall>[] = emptyLists.map((path) => ({
  method: 'GET',
  path,
  permission: 'read',
  run: empty,
}))

async function empty({ url }: Call): Promise<Response> {
  return succeed([], pageInfo(pageQuery(url, { perPage: 20, most: 1_000 }), 0, 0))
}
