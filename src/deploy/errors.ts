import { ApiError, defineError } from '#contract/errors.ts'
import * as limits from './limits.ts'

// What can be wrong with an upload. Codes are Cloudflare's:
// developers.cloudflare.com/workers/observability/errors ("Errors on Worker upload") and
// control-api.md §3.2. Sentences are Cloudflare's where users report them.

/** Anything about the form or its metadata that has no code of its own. */
export const uploadInvalid = defineError(10021, 400, (reason: string) => reason)

export const scriptTooLarge = defineError(
  10027,
  413,
  () =>
    `Your Worker exceeded the size limit of ${limits.scriptBytes / 1024 / 1024} MiB. Remove or split what it need not load: https://developers.cloudflare.com/workers/platform/limits/#worker-size`,
)

export const uploadUnreadable = defineError(
  10006,
  400,
  (reason: string) => `Could not parse the upload: ${reason}.`,
)

export const metadataUnreadable = defineError(
  10021,
  400,
  (reason: string) => `could not read content for part metadata: ${reason}`,
)

export const noHandlers = defineError(
  10068,
  400,
  () => 'The uploaded script has no registered event handlers.',
)

export const inheritInvalid = defineError(
  10057,
  400,
  (name: string) => `inherit binding '${name}' is invalid`,
)

export const tooManyVariables = defineError(
  10055,
  400,
  (count: number) =>
    `This Worker has ${count} environment variables and secrets: the limit is ${limits.variables}.`,
)

export const duplicateBinding = defineError(
  10021,
  400,
  (name: string) => `The name "${name}" is given to more than one binding.`,
)

export const bindingUnavailable = defineError(
  10021,
  400,
  (name: string, type: string) =>
    `The binding "${name}" is of type "${type}", which is not available here yet.`,
)

export const bindingUnknown = defineError(
  10021,
  400,
  (name: string, type: string) =>
    `The binding "${name}" is of type "${type}", which does not exist.`,
)

export const bindingInvalid = defineError(
  10021,
  400,
  (name: string, type: string, reason: string) =>
    `The binding "${name}" of type "${type}" is invalid: ${reason}.`,
)

export const bindingNeedsModules = defineError(
  10021,
  400,
  (name: string, type: string) =>
    `The binding "${name}" of type "${type}" needs a Worker in the modules format: export a default handler instead of calling addEventListener.`,
)

export const serviceMissing = defineError(
  10143,
  400,
  (name: string, target: string) =>
    `Could not resolve service binding '${name}'. Target script '${target}' not found. Please verify the target script and try again.`,
)

export const classNotExported = defineError(
  10061,
  400,
  (className: string) =>
    `Cannot create binding for class '${className}' that is not exported by the script.`,
)

export const migratedClassNotExported = defineError(
  10070,
  400,
  (className: string) =>
    `Cannot apply new-class migration to class '${className}' that is not exported by script.`,
)

export const classNotConfigured = defineError(
  10061,
  400,
  (className: string) =>
    `Cannot create binding for class '${className}' because it is not currently configured to implement Durable Objects. Did you forget to apply a --new-class migration to it?`,
)

export const classOfOtherMissing = defineError(
  10061,
  400,
  (className: string, script: string) =>
    `Cannot create binding for class '${className}' in script '${script}', which does not exist or has no such class.`,
)

export const existingClassNotExported = defineError(
  10064,
  400,
  (className: string) =>
    `New version of script does not export class '${className}' which is depended on by existing Durable Objects. If you want to delete the Durable Objects and all their data, deploy a delete-class migration.`,
)

export const migratedClassExists = defineError(
  10074,
  400,
  (kind: string, className: string) =>
    `Cannot apply ${kind} migration to class '${className}' that is already depended on by existing Durable Objects`,
)

export const migratedClassMissing = defineError(
  10071,
  400,
  (kind: string, className: string) =>
    `Cannot apply ${kind} migration to class '${className}' that does not exist.`,
)

export const deletedClassBound = defineError(
  10061,
  400,
  (className: string, scripts: readonly string[]) =>
    `Cannot apply --delete-class migration to class '${className}' without also removing the binding that references it${scripts.length > 0 ? ` (in ${scripts.join(', ')})` : ''}.`,
)

export const transferSourceMissing = defineError(
  10071,
  400,
  (script: string) =>
    `Cannot apply transfer-class migration: there is no other script '${script}'.`,
)

export const migrationTagFailed = defineError(
  10079,
  400,
  (current: string | undefined, expected: string | undefined) =>
    current === undefined
      ? `Migration tag precondition failed; got tag '${expected}' when expected no tags`
      : `Migration tag precondition failed; current tag is ${current}`,
)

export const migrationInVersion = defineError(
  10211,
  400,
  () =>
    'A version that is not deployed cannot carry Durable Object migrations. Apply them with `wrangler deploy`.',
)

export const exportInVersion = defineError(
  100406,
  400,
  () =>
    'The "exports" of this version differ from the Durable Object classes that there are. Apply them with `wrangler deploy`.',
)

/** `meta.details` is what wrangler prints, a line each. */
export const reconciliationFailed = (details: readonly object[]): ApiError =>
  new ApiError({
    code: 100402,
    status: 400,
    message: 'The Durable Object exports of this upload could not be reconciled.',
    meta: { details },
  })

export const featureUnavailable = defineError(
  10021,
  400,
  (feature: string) => `${feature} are not available here yet.`,
)

export const dateInvalid = defineError(
  10021,
  400,
  (date: string) => `Invalid compatibility date: ${date}`,
)

export const dateInFuture = defineError(
  10021,
  400,
  (date: string) => `Can't set compatibility date in the future: ${date}`,
)

export const flagExperimental = defineError(
  10021,
  400,
  (flag: string) =>
    `The compatibility flag ${flag} is experimental and cannot be used in Workers deployed here.`,
)

// Patterns of routes. Cloudflare has one code for all that is wrong with one.

export const patternOutsideZone = defineError(
  10022,
  400,
  (pattern: string) => `Route pattern must include zone name: ${pattern}`,
)

export const patternWildcard = defineError(
  10022,
  400,
  (pattern: string) =>
    `Route pattern may only contain wildcards at the beginning of the hostname and the end of the path: ${pattern}`,
)

export const patternWithQuery = defineError(
  10022,
  400,
  (pattern: string) => `Route pattern should not have query parameters ${pattern}`,
)

export const patternUnclear = defineError(
  10022,
  400,
  (pattern: string) =>
    `Could not understand route pattern ${pattern}, please try a different pattern`,
)

export const aliasInvalid = defineError(
  10021,
  400,
  (alias: string) =>
    `The preview alias "${alias}" is not lower-case letters, digits and dashes that begin with a letter.`,
)

export const aliasTooLong = defineError(
  10021,
  400,
  (alias: string, worker: string) =>
    `The preview alias "${alias}" and the name of the Worker "${worker}", with a dash between, are longer than 63 characters.`,
)

export const bindingWithoutCode = defineError(
  10_021,
  400,
  (name: string) =>
    `The binding "${name}" has no code to be used by: a Worker without a main module has assets alone.`,
)
export const assetsMissing = defineError(
  10_021,
  400,
  (name: string) => `The binding "${name}" is of static assets, and this version has none.`,
)
