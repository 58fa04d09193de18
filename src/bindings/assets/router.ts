import type { SiteRequest } from '#contract/assets.ts'
import type { CompiledConfig } from './config.ts'
import { targetOf } from './paths.ts'

// Who answers a visitor: the files, the Worker, or the files if they can.

export type Choice = 'assets' | 'worker' | 'assets if found'

/** Decides for a Worker that has files, by `run_worker_first` alone. */
export function chooseByRules({ workerFirst }: CompiledConfig, url: string): Choice {
  if (workerFirst === true) return 'worker'
  if (workerFirst === false) return 'assets if found'
  const { pathname } = targetOf(url)
  if (workerFirst.isForAssets(pathname)) return 'assets'
  return workerFirst.isForWorker(pathname) ? 'worker' : 'assets if found'
}

/**
 * Whether what `not_found_handling` shows comes before the Worker: with a list of rules, which say
 * what is the Worker's, and where a browser navigates.
 */
export function prefersNotFound(config: CompiledConfig, request: SiteRequest): boolean {
  if (config.notFoundHandling === 'none') return false
  if (typeof config.workerFirst !== 'boolean') return true
  return config.prefersAssetsForNavigation && request.header('sec-fetch-mode') === 'navigate'
}

/** The URL without the backslash that would disguise `/cdn-cgi/`; `undefined` if it has none. */
export function plainSystemUrl(url: string): string | undefined {
  if (!url.includes('/cdn-cgi\\')) return undefined
  const { pathname, search } = targetOf(url)
  return pathname.startsWith('/cdn-cgi/') ? pathname + search : undefined
}

/**
 * What a Worker that fetches images for others may be abused for, by address: `blocked` is answered
 * with 403 instead of the Worker; `images` is the Worker's, unless `isHarmless` denies its reply.
 */
export function imageRule(request: SiteRequest): 'blocked' | 'images' | undefined {
  if (!request.url.includes('image')) return undefined
  const { pathname, search } = targetOf(request.url)
  const parameters = new URLSearchParams(search)
  const isForImage = request.header('sec-fetch-dest') === 'image'
  if (pathname.endsWith('/_next/image')) {
    const url = parameters.get('url') ?? ''
    const isRemote = url !== '' && !url.startsWith('/')
    return isRemote && (request.method !== 'GET' || !isForImage) ? 'images' : undefined
  }
  if (pathname !== '/_image' || isForImage) return undefined
  const href = parameters.get('href') ?? ''
  if (!href.startsWith('//')) return undefined
  const host = URL.parse(`https:${href}`)?.hostname
  return host !== undefined && host !== request.hostname ? 'blocked' : undefined
}

/** Whether the reply to a request of which `imageRule` says `images` may reach the visitor. */
export function isHarmless(status: number, contentType: string | undefined): boolean {
  if (status === 304) return true
  if (contentType === undefined || contentType.includes(',')) return false
  return contentType.startsWith('image/') || contentType.split(';', 1)[0] === 'text/plain'
}
