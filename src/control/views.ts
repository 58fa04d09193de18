import { hasPreview } from './previews.ts'
import type { Deployment, Version, Worker } from './records.ts'
import type { Registry } from './registry.ts'

// What the API shows of our records: control-api.md §3.

export type Shown = Readonly<Record<string, unknown>>

/** A version as `versions view` wants it. */
export function shownVersion(worker: Worker, version: Version, registry: Registry): Shown {
  const { id, number, createdAt, source, authorId, authorEmail, exports } = version
  return {
    id,
    number,
    metadata: {
      created_on: createdAt,
      modified_on: createdAt,
      source,
      author_id: authorId,
      author_email: authorEmail,
      has_preview: hasPreview(worker, version),
    },
    annotations: version.annotations,
    resources: {
      bindings: version.bindings.map((stored) => registry.reveal(stored)),
      script: {
        etag: version.etag,
        handlers: exports.handlers,
        named_handlers: exports.named.map(({ name, handlers }) => ({ name, handlers })),
        last_deployed_from: source,
      },
      script_runtime: {
        ...compatibilityOf(version),
        usage_model: 'standard',
        limits: version.metadata['limits'] ?? {},
      },
    },
    startup_time_ms: version.startupTimeMs,
  }
}

/**
 * A version as the newer half of the API shows one: flat, and without its modules. `urls` lead to it
 * and to no other.
 */
export function shownWorkerVersion(
  version: Version,
  registry: Registry,
  urls: readonly string[],
): Shown {
  const { id, number, createdAt, source, authorId, authorEmail, metadata } = version
  return {
    id,
    number,
    created_on: createdAt,
    source,
    author_id: authorId,
    author_email: authorEmail,
    annotations: version.annotations,
    urls,
    main_module: version.mainModule,
    bindings: version.bindings.map((stored) => registry.reveal(stored)),
    ...compatibilityOf(version),
    ...(metadata['limits'] !== undefined && { limits: metadata['limits'] }),
    ...(metadata['placement'] !== undefined && { placement: metadata['placement'] }),
    usage_model: 'standard',
    startup_time_ms: version.startupTimeMs,
  }
}

export function shownDeployment(deployment: Deployment): Shown {
  return {
    id: deployment.id,
    source: deployment.source,
    strategy: 'percentage',
    author_email: deployment.authorEmail,
    created_on: deployment.createdAt,
    annotations: deployment.annotations,
    versions: deployment.versions.map(({ versionId, percentage }) => ({
      version_id: versionId,
      percentage,
    })),
  }
}

/** A Worker as the older half of the API shows one: with facts of its newest version. */
export function shownScript(worker: Worker, latest: Version | undefined): Shown {
  return {
    id: worker.name,
    tag: worker.tag,
    tags: worker.settings.tags,
    logpush: worker.settings.logpush,
    observability: worker.settings.observability,
    tail_consumers: worker.settings.tail_consumers,
    created_on: worker.createdAt,
    modified_on: worker.modifiedAt,
    usage_model: 'standard',
    has_assets: latest?.assets !== undefined,
    ...migrationTagOf(worker),
    ...(latest && {
      etag: latest.etag,
      handlers: latest.exports.handlers,
      named_handlers: latest.exports.named.map(({ name, handlers }) => ({ name, handlers })),
      has_modules: latest.format === 'modules',
      last_deployed_from: latest.source,
      ...compatibilityOf(latest),
    }),
  }
}

/** A Worker as the newer half of the API shows one. */
export function shownWorker(
  worker: Worker,
  { url, previewSuffix }: { readonly url: string; readonly previewSuffix: string },
): Shown {
  return {
    id: worker.tag,
    name: worker.name,
    created_on: worker.createdAt,
    updated_on: worker.modifiedAt,
    tags: worker.settings.tags ?? [],
    logpush: worker.settings.logpush,
    observability: worker.settings.observability,
    tail_consumers: worker.settings.tail_consumers ?? [],
    subdomain: {
      enabled: worker.isOnSubdomain,
      previews_enabled: worker.hasPreviews,
      url,
      preview_url_suffix: previewSuffix,
    },
  }
}

/** What a version and its Worker are set to. */
export function shownSettings(options: {
  readonly worker: Worker
  readonly latest: Version | undefined
  readonly registry: Registry
}): Shown {
  const { worker, latest, registry } = options
  return {
    ...shownScriptSettings(worker),
    usage_model: 'standard',
    ...migrationTagOf(worker),
    bindings: latest?.bindings.map((stored) => registry.reveal(stored)) ?? [],
    ...(latest && {
      ...compatibilityOf(latest),
      ...(latest.metadata['limits'] !== undefined && { limits: latest.metadata['limits'] }),
      ...(latest.metadata['placement'] !== undefined && {
        placement: latest.metadata['placement'],
      }),
      annotations: latest.annotations,
    }),
  }
}

/** Absent where there were no migrations: clients take the empty string for a tag. */
function migrationTagOf({ migrationTag: tag }: Worker): Shown {
  return tag === null ? {} : { migration_tag: tag }
}

/** What belongs to a Worker and to no version. */
export function shownScriptSettings(worker: Worker): Shown {
  return { ...worker.settings }
}

function compatibilityOf(version: Version) {
  const { compatibilityDate: date, compatibilityFlags: flags } = version
  return { ...(date !== undefined && { compatibility_date: date }), compatibility_flags: flags }
}
