import { z } from 'zod'
import type { SiteReply, SiteRequest, SiteServer } from '#contract/assets.ts'
import type { BackendHandler, BackendReply, BackendRequest, Grant } from '#contract/backend.ts'
import { jsonValue } from '#contract/binding.ts'
import { accountId, blobKey } from '#contract/ids.ts'

const siteResource = z.object({
  account: accountId,
  manifest: blobKey,
  config: z.record(z.string(), jsonValue),
  hasWorker: z.boolean(),
  /** Whether callers of the Worker itself ask: what no file answers is the code's to answer then. */
  isRouted: z.boolean().optional(),
})

/** What says that the Worker is to answer: no file's reply has it, and no rule can make it so. */
const notMine: BackendReply = { status: 421 }

/** Answers `env.ASSETS.fetch`, and callers of a Worker that has files, from those files. */
export function serveAssets(server: SiteServer, grant: Grant): BackendHandler {
  const { isRouted = false, ...site } = siteResource.parse(grant.resource)
  if (site.account !== grant.account) throw new Error('the site of another account')
  return async (request) => {
    const asked = askedOf(request)
    const reply = isRouted ? await server.route(site, asked) : await server.answer(site, asked)
    return reply === 'worker' ? notMine : replyOf(reply)
  }
}

function askedOf({ method, url, headers }: BackendRequest): SiteRequest {
  const { host } = headers
  return {
    method,
    url,
    hostname: typeof host === 'string' ? hostnameOf(host) : '',
    protocol: 'https',
    // Code gets what it can read: which encodings it knows depends on its compatibility date.
    header: (name) => (name === 'accept-encoding' ? undefined : headers[name]?.toString()),
  }
}

function hostnameOf(host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '')
}

function replyOf({ status, headers: list, body }: SiteReply): BackendReply {
  const headers: Record<string, string> = {}
  for (let index = 0; index + 1 < list.length; index += 2) {
    const name = (list[index] ?? '').toLowerCase()
    const value = list[index + 1] ?? ''
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value
  }
  return { status, headers, ...(body !== undefined && { body }) }
}
