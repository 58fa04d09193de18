import { z } from 'zod'
import { headerOfUtf8 } from '#contract/backend.ts'
import type { JsonObject } from '#contract/json.ts'
import { readBasePath } from './base-path.ts'
import { configInvalid, redirectsLoop } from './errors.ts'
import { parseHeaders } from './headers.ts'
import { ruleFile } from './limits.ts'
import { compileGlobs, compilePattern, type Pattern } from './pattern.ts'
import { parseRedirects, type RedirectRule } from './redirects.ts'
import type { RuleWarning } from './rule-url.ts'
import { readWorkerFirst } from './run-worker-first.ts'

const htmlHandlings = [
  'auto-trailing-slash',
  'force-trailing-slash',
  'drop-trailing-slash',
  'none',
] as const
export type HtmlHandling = (typeof htmlHandlings)[number]

const notFoundHandlings = ['none', 'single-page-application', '404-page'] as const
export type NotFoundHandling = (typeof notFoundHandlings)[number]

/** `assets.config` of upload metadata. Unknown keys are dropped, as upstream. */
const uploaded = z.object({
  html_handling: z.enum(htmlHandlings).default('auto-trailing-slash'),
  not_found_handling: z.enum(notFoundHandlings).default('none'),
  base_path: z.string().max(2000).default('/'),
  run_worker_first: z.union([z.boolean(), z.array(z.string()).max(10_000)]).default(false),
  _redirects: z.string().max(ruleFile).default(''),
  _headers: z.string().max(ruleFile).default(''),
})

const stored = z.object({
  htmlHandling: z.enum(htmlHandlings),
  notFoundHandling: z.enum(notFoundHandlings),
  basePath: z.string(),
  workerFirst: z.union([
    z.boolean(),
    z.object({ worker: z.array(z.string()), assets: z.array(z.string()) }),
  ]),
  prefersAssetsForNavigation: z.boolean(),
  redirects: z.array(
    z.object({ from: z.string(), to: z.string(), status: z.int(), isDynamic: z.boolean() }),
  ),
  headers: z.array(
    z.object({
      path: z.string(),
      set: z.array(z.tuple([z.string(), z.string()])),
      unset: z.array(z.string()),
    }),
  ),
})

/** How the files of a version are served: `Site.config`. JSON. */
export type SiteConfig = z.output<typeof stored>

/** What else decides how files are served. */
export type SiteFacts = {
  /**
   * The flag `assets_navigation_prefers_asset_serving`: a browser that navigates is shown what
   * `not_found_handling` says, rather than the Worker.
   */
  readonly prefersAssetsForNavigation: boolean
}

export type ReadConfig = {
  readonly config: SiteConfig
  /** Lines of `_redirects` and `_headers` that were skipped. */
  readonly warnings: readonly (RuleWarning & { readonly file: '_redirects' | '_headers' })[]
}

/**
 * Reads `assets.config` of upload metadata; absent means all defaults. Throws an `ApiError` in
 * upstream's words for what upstream refuses.
 */
export function readSiteConfig(raw: unknown, facts: SiteFacts): ReadConfig {
  const parsed = uploaded.safeParse(raw ?? {})
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw configInvalid(
      `assets.config.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not as it should be'}`,
    )
  }
  const { html_handling, not_found_handling, base_path, run_worker_first, _redirects, _headers } =
    parsed.data
  const base = readBasePath(base_path)
  if ('problem' in base) throw configInvalid(`Invalid assets base_path: ${base.problem}`)
  const redirects = parseRedirects(_redirects, { hasHtmlHandling: html_handling !== 'none' })
  if (redirects.loops.length > 0) throw redirectsLoop(redirects.loops)
  const headers = parseHeaders(_headers)
  const config = stored.parse({
    htmlHandling: html_handling,
    notFoundHandling: not_found_handling,
    basePath: base.path,
    workerFirst:
      typeof run_worker_first === 'boolean' ? run_worker_first : readWorkerFirst(run_worker_first),
    prefersAssetsForNavigation: facts.prefersAssetsForNavigation,
    redirects: redirects.rules,
    headers: headers.rules,
  })
  return {
    config,
    warnings: [
      ...redirects.warnings.map((warning) => ({ ...warning, file: '_redirects' as const })),
      ...headers.warnings.map((warning) => ({ ...warning, file: '_headers' as const })),
    ],
  }
}

/** A configuration in the form that answers. */
export type CompiledConfig = Pick<SiteConfig, 'htmlHandling' | 'notFoundHandling' | 'basePath'> & {
  readonly prefersAssetsForNavigation: boolean
  /** Where requests go before files are asked; `undefined` if there are no rules. */
  readonly workerFirst: boolean | WorkerFirst
  readonly staticRedirects: ReadonlyMap<string, RedirectRule>
  readonly dynamicRedirects: readonly (RedirectRule & { readonly pattern: Pattern })[]
  readonly headers: readonly CompiledHeaders[]
  /** Whether what is answered depends on more of the URL than its path. */
  readonly dependsOnHost: boolean
}

export type WorkerFirst = {
  readonly isForWorker: (path: string) => boolean
  readonly isForAssets: (path: string) => boolean
}

export type CompiledHeaders = Pick<SiteConfig['headers'][number], 'unset'> & {
  /** Values are as Node writes them, their placeholders not filled in. */
  readonly set: readonly (readonly [name: string, value: string])[]
  readonly pattern: Pattern
  readonly hasHost: boolean
}

const compiled = new WeakMap<JsonObject, CompiledConfig>()

/** The compiled form of a `Site.config`, made once for each object. */
export function compiledOf(config: JsonObject): CompiledConfig {
  const known = compiled.get(config)
  if (known) return known
  const made = compile(stored.parse(config))
  compiled.set(config, made)
  return made
}

function compile(config: SiteConfig): CompiledConfig {
  const { workerFirst, redirects, headers, ...rest } = config
  return {
    ...rest,
    workerFirst:
      typeof workerFirst === 'boolean'
        ? workerFirst
        : {
            isForWorker: compileGlobs(workerFirst.worker),
            isForAssets: compileGlobs(workerFirst.assets),
          },
    staticRedirects: new Map(
      redirects.filter((rule) => !rule.isDynamic).map((rule) => [rule.from, rule]),
    ),
    dynamicRedirects: redirects
      .filter((rule) => rule.isDynamic)
      .flatMap((rule) => {
        const pattern = compilePattern(rule.from)
        return pattern ? [{ ...rule, pattern }] : []
      }),
    headers: headers.flatMap(({ path, set, unset }) => {
      const pattern = compilePattern(path)
      if (!pattern) return []
      const written = set.map(([name, value]) => [name, headerOfUtf8(value)] as const)
      return [{ set: written, unset, pattern, hasHost: path.startsWith('https://') }]
    }),
    dependsOnHost:
      headers.some(({ path }) => path.startsWith('https://')) ||
      redirects.some(({ to }) => !/^\/(?!\/)/.test(to)),
  }
}
