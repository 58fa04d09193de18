import { createHash } from 'node:crypto'
import type { Target } from '#contract/snapshot.ts'
import { headerOf, type HttpRequest } from '#http1/exchange.ts'
import { readDictionary } from './dictionary.ts'
import { overridesLength } from './limits.ts'
import type { Site } from './table.ts'

// developers.cloudflare.com/workers/versions-and-deployments: gradual deployments, version affinity,
// version overrides. A Worker sees both headers.

/** The name of the header whose value has a visitor keep to a version. */
export const versionKeyHeader = 'cloudflare-workers-version-key'
/** The name of the header that names the version of each Worker. */
export const versionOverridesHeader = 'cloudflare-workers-version-overrides'

/** What of a request decides which version it is for. */
export type Wish = {
  /** The value of a header by its name in lower case; of several, all with commas between. */
  readonly header: (name: string) => string | undefined
  /** A number from 0 to 1, drawn for a request that does not care. */
  readonly chance: () => number
}

/** What a request says of that. It has one chance, however often it is tried. */
export function wishOf(request: Pick<HttpRequest, 'rawHeaders'>): Wish {
  let drawn: number | undefined
  return {
    header: (name) => headerOf(request, name),
    chance: () => (drawn ??= Math.random()),
  }
}

/** The version that a request is for, whether it runs or not: whose files it is answered from. */
export function choose({ routed, targets }: Site, wish: Wish): Target | undefined {
  const [first] = targets
  if (targets.length <= 1) return first
  const forced = forcedVersion(routed.worker, wish)
  const wanted = forced === undefined ? undefined : targets.find((each) => each.version === forced)
  return wanted ?? at(targets, pointFor(wish))
}

/**
 * Picks the process of a Worker that a request is for; `undefined` while there is none that is up.
 * Those that are down are passed over while another is up, and get their visitors back afterwards.
 */
export function pick({ routed, targets }: Site, wish: Wish): Target | undefined {
  const [first] = targets
  if (targets.length <= 1) return first?.state === 'up' ? first : undefined
  const up = targets.filter(({ state }) => state === 'up')
  const forced = forcedVersion(routed.worker, wish)
  const wanted = forced === undefined ? undefined : up.find(({ version }) => version === forced)
  return wanted ?? byShare(targets, up, wish)
}

function byShare(all: readonly Target[], up: readonly Target[], wish: Wish): Target | undefined {
  const point = pointFor(wish)
  // Whoever has a place among all keeps it while some are down.
  const chosen = at(all, point)
  return chosen?.state === 'up' ? chosen : at(up, point)
}

/**
 * The target at a point of the line from 0 to 1 on which each has its share. Versions are on it in
 * the order of their ids: where one grows, the other shrinks, and nobody leaves the one that grows.
 */
function at(targets: readonly Target[], point: number): Target | undefined {
  const line = targets
    .filter(({ percentage }) => percentage > 0)
    .toSorted((a, b) => (a.version < b.version ? -1 : 1))
  const whole = line.reduce((sum, { percentage }) => sum + percentage, 0)
  let left = point * whole
  for (const target of line) {
    left -= target.percentage
    if (left < 0) return target
  }
  return line.at(-1)
}

function pointFor({ header, chance }: Wish): number {
  const key = header(versionKeyHeader)
  return key === undefined || key === '' ? chance() : pointOf(key)
}

/** Where on the line a key is: the same today and tomorrow, and in every process. */
function pointOf(key: string): number {
  return createHash('sha256').update(key).digest().readUInt32BE(0) / 2 ** 32
}

function forcedVersion(worker: string, { header }: Wish): string | undefined {
  const text = header(versionOverridesHeader)
  if (text === undefined || text.length > overridesLength) return undefined
  return readDictionary(text)?.get(worker)?.toLowerCase()
}
