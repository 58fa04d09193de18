import type { Site, SiteReply, SiteRequest, SiteServer } from '#contract/assets.ts'
import { messageOf } from '#contract/errors.ts'
import type { BlobKey } from '#contract/ids.ts'
import type { Blob } from '#contract/ports/blob.ts'
import type { Log } from '#contract/ports/log.ts'
import { canAnswer, decide, type Outcome } from './answer.ts'
import { isKnown, isSame } from './conditional.ts'
import { type CompiledConfig, compiledOf } from './config.ts'
import { Contents, contentOf } from './content.ts'
import { chooseEncoding, type Encoding, encodings } from './encoding.ts'
import type { Manifest } from './entry.ts'
import { Kept, type Shelf, Shelves } from './kept.ts'
import * as limits from './limits.ts'
import { targetOf } from './paths.ts'
import { type Range, readRange } from './range.ts'
import { type FileOutcome, headOfEmpty, headOfFile, mayBeCompressed } from './reply.ts'
import { chooseByRules, imageRule, plainSystemUrl, prefersNotFound } from './router.ts'
import { createVariants, type Variant, type Variants } from './variants.ts'

export type SiteServerOptions = {
  /** The files of a version by `Site.manifest`; in memory if it was asked for lately. */
  readonly manifests: { get(key: BlobKey): Manifest | Promise<Manifest> }
  /** The files, by `AssetEntry.blob`. */
  readonly blobs: Blob
  /** Where what it compresses is kept, under keys of its own: may be the same store. */
  readonly variants: Blob
  readonly log: Log
}

/** Answers from manifests and blobs. Holds memory within `limits.ts`, and nothing that must be closed. */
export function createSiteServer(options: SiteServerOptions): SiteServer {
  return new FileServer(options)
}

/** What is known of a site while it is in use. */
type Known = { readonly site: Site; readonly config: CompiledConfig; readonly shelf: Shelf<Answer> }

/** An outcome with what was found out on the way to answering with it. */
type Answer = {
  readonly outcome: Outcome
  /** Whether the files would answer before a Worker. */
  readonly isFound: boolean
  readonly isCompressible: boolean
  readonly variants: Map<Encoding, Variant | 'none'>
  /** Finished headers by `headIndex`. */
  readonly heads: Map<number, readonly string[]>
}

/** One request for one file. */
type Visit = {
  readonly answer: Answer
  readonly outcome: FileOutcome
  readonly isHead: boolean
  readonly isCacheable: boolean
}

/** The bytes that are sent: of the file, or of a variant. */
type Source = {
  readonly store: Blob
  readonly key: BlobKey
  readonly size: number
  readonly encoding: Encoding | undefined
}

class FileServer implements SiteServer {
  readonly #options: SiteServerOptions
  readonly #contents = new Contents(limits.memoryBytes)
  readonly #variants: Variants
  readonly #sites = new WeakMap<Site, Known>()
  readonly #answers = new Shelves<Answer>(limits.outcomes, weightOf)
  readonly #accepted = new Kept<Encoding | 'identity'>(limits.acceptedEncodings)

  constructor(options: SiteServerOptions) {
    this.#options = options
    this.#variants = createVariants(options)
  }

  route(site: Site, request: SiteRequest): SiteReply | 'worker' | Promise<SiteReply | 'worker'> {
    try {
      const reply = this.#route(this.#known(site), request)
      return reply instanceof Promise ? reply.catch((error) => this.#failed(error)) : reply
    } catch (error) {
      return this.#failed(error)
    }
  }

  answer(site: Site, request: SiteRequest): SiteReply | Promise<SiteReply> {
    try {
      const reply = this.#answer(this.#known(site), request)
      return reply instanceof Promise ? reply.catch((error) => this.#failed(error)) : reply
    } catch (error) {
      return this.#failed(error)
    }
  }

  #route(known: Known, request: SiteRequest): SiteReply | 'worker' | Promise<SiteReply | 'worker'> {
    const { site, config } = known
    const plain = plainSystemUrl(request.url)
    if (plain !== undefined) return { status: 307, headers: headOfEmpty([], [['Location', plain]]) }
    if (!site.hasWorker) return this.#answer(known, request)
    const choice = chooseByRules(config, request.url)
    if (choice === 'assets') return this.#answer(known, request)
    if (choice === 'worker') return toWorker(request)
    const found = this.#find(known, request)
    const after = (answer: Answer): SiteReply | 'worker' | Promise<SiteReply> =>
      answer.isFound || (answer.outcome.kind !== 'missing' && prefersNotFound(config, request))
        ? this.#reply(answer, request)
        : toWorker(request)
    return found instanceof Promise ? found.then(after) : after(found)
  }

  #answer(known: Known, request: SiteRequest): SiteReply | Promise<SiteReply> {
    const found = this.#find(known, request)
    if (found instanceof Promise) return found.then((answer) => this.#reply(answer, request))
    return this.#reply(found, request)
  }

  #known(site: Site): Known {
    const known = this.#sites.get(site)
    if (known) return known
    const shelf = { young: new Map<string, Answer>(), old: new Map<string, Answer>() }
    const made = { site, config: compiledOf(site.config), shelf }
    this.#sites.set(site, made)
    return made
  }

  #find(known: Known, request: SiteRequest): Answer | Promise<Answer> {
    const { url, protocol, hostname } = request
    const mark = url.indexOf('?')
    const path = mark < 0 ? url : url.slice(0, mark)
    const key = known.config.dependsOnHost ? `${protocol}://${hostname}${path}` : path
    const kept = this.#answers.find(known.shelf, key)
    if (kept) return kept
    const manifest = this.#options.manifests.get(known.site.manifest)
    const decided = (there: Manifest): Answer => {
      const answer = answerOf(known.config, there, request)
      // Paths that lead nowhere are as many as anybody likes, and quickly decided again.
      if (answer.outcome.kind !== 'missing' && key.length <= limits.outcomePath) {
        this.#answers.keep(known.shelf, copyOf(key), answer)
      }
      return answer
    }
    return manifest instanceof Promise ? manifest.then(decided) : decided(manifest)
  }

  #reply(answer: Answer, request: SiteRequest): SiteReply | Promise<SiteReply> {
    const { outcome } = answer
    if (outcome.kind === 'missing') {
      return { status: 404, headers: headOfEmpty(outcome.changes, []) }
    }
    const { method } = request
    const isRule = outcome.kind === 'redirect' && outcome.isRule
    if (method !== 'GET' && method !== 'HEAD' && !isRule) {
      return { status: 405, headers: headOfEmpty(outcome.changes, [['Allow', 'GET, HEAD']]) }
    }
    if (outcome.kind === 'file') return this.#file(answer, outcome, request)
    const { status, before, search, after, changes } = outcome
    const location = `${before}${search || targetOf(request.url).search}${after}`
    return { status, headers: headOfEmpty(changes, [['Location', location]]) }
  }

  #file(
    answer: Answer,
    outcome: FileOutcome,
    request: SiteRequest,
  ): SiteReply | Promise<SiteReply> {
    const { entry, status } = outcome
    const range = request.header('range')
    const isCacheable = range === undefined && request.header('authorization') === undefined
    const visit = { answer, outcome, isHead: request.method === 'HEAD', isCacheable }
    const encoding =
      answer.isCompressible && range === undefined
        ? this.#encoding(request.header('accept-encoding'))
        : undefined
    const known = request.header('if-none-match')
    if (known !== undefined && isKnown(known, entry.hash, status === 200)) {
      return { status: 304, headers: head(visit, { encoding, cacheStatus: 'HIT' }) }
    }
    const identity = this.#identity(outcome)
    if (range !== undefined && !visit.isHead && status === 200) {
      const part = isSame(request.header('if-range'), entry.hash)
        ? readRange(range, entry.size)
        : 'whole'
      if (part !== 'whole') return this.#part(visit, identity, part)
    }
    if (encoding === undefined) return this.#whole(visit, identity)
    const variant = answer.variants.get(encoding)
    if (variant === undefined) return this.#compressed(visit, encoding)
    return this.#whole(visit, variant === 'none' ? identity : this.#encoded(variant, encoding))
  }

  /** Answers with a file in an encoding that has not been asked for lately. */
  async #compressed(visit: Visit, encoding: Encoding): Promise<SiteReply> {
    const { outcome, answer } = visit
    const variant = await this.#variants.find(outcome.entry, encoding).catch((error: unknown) => {
      this.#options.log.warn('a file could not be compressed', { reason: messageOf(error) })
      return 'later' as const
    })
    if (variant !== 'later') answer.variants.set(encoding, variant)
    const isThere = variant !== 'later' && variant !== 'none'
    return this.#whole(visit, isThere ? this.#encoded(variant, encoding) : this.#identity(outcome))
  }

  #whole(visit: Visit, source: Source): SiteReply | Promise<SiteReply> {
    const { status } = visit.outcome
    const { key, size, store, encoding } = source
    const length = size
    if (visit.isHead || size === 0) {
      return { status, headers: head(visit, { encoding, length, cacheStatus: 'HIT' }) }
    }
    if (size > limits.memoryFileBytes) {
      const body = contentOf(store, key, { start: 0, end: size })
      return { status, headers: head(visit, { encoding, length, cacheStatus: 'MISS' }), body }
    }
    const body = this.#contents.find(key)
    if (body)
      return { status, headers: head(visit, { encoding, length, cacheStatus: 'HIT' }), body }
    return this.#loaded(visit, source)
  }

  async #loaded(visit: Visit, source: Source): Promise<SiteReply> {
    const { key, size, store, encoding } = source
    const body = await this.#contents.load(store, key)
    if (body) {
      const headers = head(visit, { encoding, length: size, cacheStatus: 'MISS' })
      return { status: visit.outcome.status, headers, body }
    }
    if (encoding === undefined) throw new Error('a manifest names a file that is not there')
    // Somebody has removed the variant: it is made again for the next visitor.
    visit.answer.variants.delete(encoding)
    return this.#whole(visit, this.#identity(visit.outcome))
  }

  #part(
    { answer, outcome }: Visit,
    source: Source,
    part: Range | 'unsatisfiable',
  ): SiteReply | Promise<SiteReply> {
    const { key, size, store } = source
    const made = (contentRange: string, length: number, cacheStatus: 'HIT' | 'MISS'): string[] =>
      headOfFile(outcome, answer.isCompressible, {
        encoding: undefined,
        length,
        contentRange,
        isCacheable: false,
        cacheStatus,
      })
    if (part === 'unsatisfiable') return { status: 416, headers: made(`bytes */${size}`, 0, 'HIT') }
    const { start, end } = part
    const headers = (cacheStatus: 'HIT' | 'MISS'): string[] =>
      made(`bytes ${start}-${end - 1}/${size}`, end - start, cacheStatus)
    if (size > limits.memoryFileBytes) {
      return { status: 206, headers: headers('MISS'), body: contentOf(store, key, part) }
    }
    const bytes = this.#contents.find(key)
    if (bytes) return { status: 206, headers: headers('HIT'), body: bytes.subarray(start, end) }
    return this.#contents.load(store, key).then((loaded) => {
      if (!loaded) throw new Error('a manifest names a file that is not there')
      return { status: 206, headers: headers('MISS'), body: loaded.subarray(start, end) }
    })
  }

  #encoding(header: string | undefined): Encoding | undefined {
    if (header === undefined || header.length > limits.conditionLength) return undefined
    let chosen = this.#accepted.get(header)
    if (chosen === undefined) {
      chosen = chooseEncoding(header) ?? 'identity'
      this.#accepted.set(header, chosen)
    }
    return chosen === 'identity' ? undefined : chosen
  }

  #identity({ entry }: FileOutcome): Source {
    const { blob, size } = entry
    return { store: this.#options.blobs, key: blob, size, encoding: undefined }
  }

  #encoded({ key, size }: Variant, encoding: Encoding): Source {
    return { store: this.#options.variants, key, size, encoding }
  }

  #failed(error: unknown): SiteReply {
    this.#options.log.error('a file could not be answered', { reason: messageOf(error) })
    return { status: 500, headers: ['Content-Length', '0'] }
  }
}

/** The Worker is to answer, unless it would be abused. */
function toWorker(request: SiteRequest): SiteReply | 'worker' {
  if (imageRule(request) !== 'blocked') return 'worker'
  const body = new TextEncoder().encode('Blocked')
  const headers = ['Content-Type', 'text/plain;charset=UTF-8', 'Content-Length', `${body.length}`]
  return { status: 403, headers, body }
}

function answerOf(config: CompiledConfig, manifest: Manifest, request: SiteRequest): Answer {
  const site = { config, find: (path: string) => manifest.find(path) }
  const target = targetOf(request.url)
  const outcome = decide(site, target, request)
  return {
    outcome,
    isFound: canAnswer(site, outcome, { target, origin: request }),
    isCompressible: outcome.kind === 'file' && mayBeCompressed(outcome),
    variants: new Map(),
    heads: new Map(),
  }
}

/** One, and more if rules add much to its headers: whoever writes them has no more room than others. */
function weightOf({ outcome }: Answer): number {
  const length = outcome.changes.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
  return 1 + Math.floor(length / limits.outcomeHeaders)
}

/** Headers of a whole file or of a 304, made once and copied. */
function head(
  { answer, outcome, isCacheable }: Visit,
  kind: {
    readonly encoding: Encoding | undefined
    readonly length?: number
    readonly cacheStatus: 'HIT' | 'MISS'
  },
): string[] {
  const { encoding, length, cacheStatus } = kind
  const index =
    (encoding === undefined ? 0 : encodings.indexOf(encoding) + 1) * 8 +
    (isCacheable ? 4 : 0) +
    (length === undefined ? 2 : 0) +
    (cacheStatus === 'HIT' ? 1 : 0)
  let made = answer.heads.get(index)
  if (!made) {
    made = headOfFile(outcome, answer.isCompressible, { ...kind, isCacheable })
    answer.heads.set(index, made)
  }
  return made.slice()
}

/** A text of its own: a piece of a URL would keep all of the URL in memory. */
function copyOf(text: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(text))
}
