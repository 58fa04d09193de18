import { defineError } from '#contract/errors.ts'
import { fileBytes, filesPerVersion, sessionsPerAccount } from './limits.ts'

/** A configuration of assets that cannot be read: the code of all that is wrong with an upload. */
export const configInvalid = defineError(10021, 400, (reason: string) => reason)

/** Upstream only warns in its parser, and then refuses the deploy: in these words. */
export const redirectsLoop = defineError(
  100_324,
  400,
  (lines: readonly number[]) =>
    `Invalid _redirects configuration:\n${lines
      .map(
        (line) =>
          `Line ${line}: Infinite loop detected in this rule. This would cause a redirect to strip \`.html\` or \`/index\` and end up triggering this rule again.`,
      )
      .join('\n')}`,
)

export const workerFirstInvalid = defineError(10021, 400, (reason: string) => reason)

// Uploads: Cloudflare documents none of their codes. These are of the range of the one above, and ours.

export const sessionUnauthenticated = defineError(
  10_000,
  401,
  () =>
    'Authentication error: the token of this upload is not valid, or its hour is over. Deploy again.',
)
export const manifestInvalid = defineError(
  100_301,
  400,
  (reason: string) => `The asset manifest is invalid: ${reason}.`,
)
export const tooManyFiles = defineError(
  100_302,
  400,
  (count: number) =>
    `A version may have ${filesPerVersion} assets, and this manifest names ${count}.`,
)
export const fileTooLarge = defineError(
  100_303,
  413,
  (what: string) => `Asset too large: "${what}" is over the limit of ${fileBytes} bytes.`,
)
export const bodyTooLarge = defineError(
  100_304,
  413,
  (limit: number) => `The request is over the limit of ${limit} bytes.`,
)
export const tooManySessions = defineError(
  100_305,
  429,
  () =>
    `${sessionsPerAccount} uploads of assets are under way in this account. Try again when one has ended.`,
)
export const notInManifest = defineError(
  100_306,
  400,
  (hash: string) => `The manifest of this upload does not name an asset "${hash}".`,
)
export const sizeMismatch = defineError(
  100_307,
  400,
  (hash: string, size: number, expected: number) =>
    `The asset "${hash}" has ${size} bytes, and its manifest said ${expected}.`,
)
export const contentUnreadable = defineError(
  100_308,
  400,
  (reason: string) => `The uploaded assets can not be read: ${reason}.`,
)
export const uploadBusy = defineError(
  100_309,
  503,
  () => 'Too many uploads of assets at a time. Try again.',
)
export const filesMissing = defineError(
  100_310,
  400,
  (count: number) => `${count} of the files that the asset manifest names have not been uploaded.`,
)
export const tokenInvalid = defineError(
  100_311,
  400,
  () =>
    'The completion token of the assets is not valid for this Worker, or its hour is over. Deploy again.',
)
export const metadataInvalid = defineError(
  100_312,
  400,
  (reason: string) => `"assets" of the metadata is invalid: ${reason}.`,
)
export const nothingToKeep = defineError(
  100_313,
  400,
  () => 'The upload is to keep the assets of the version before it, which has none.',
)
export const filesLost = defineError(
  100_314,
  409,
  (what: string) =>
    `${what} of the version before can not be found. Deploy the Worker with its files.`,
)
export const uploadRouteNotFound = defineError(
  7003,
  404,
  (path: string) => `Could not route to ${path}, perhaps your object identifier is invalid?`,
)
