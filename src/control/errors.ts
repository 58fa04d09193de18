import { defineError } from '#contract/errors.ts'

// What the API answers when it does not do what it was asked. Codes are Cloudflare's where clients
// act on them: control-api.md §6.

/** No token, or one that is unknown, expired or revoked. */
export const unauthenticated = defineError(10000, 401, () => 'Authentication error')

/** A token that may not do this, or not here. */
export const forbidden = defineError(10000, 403, () => 'Authentication error')

export const routeNotFound = defineError(
  7003,
  404,
  (path: string) => `Could not route to ${path}, perhaps your object identifier is invalid?`,
)

export const bodyTooLarge = defineError(
  10026,
  413,
  (limit: number) => `The body is larger than ${limit} bytes.`,
)

export const bodyInvalid = defineError(
  10026,
  400,
  (reason: string) => `Could not parse the request body: ${reason}.`,
)

/** Not a client's fault. What happened is in the log. */
export const internal = defineError(10001, 500, () => 'Internal error. See the log of the server.')

export const tooManyCalls = defineError(
  971,
  429,
  () => 'Too many changes are waiting for this Worker. Please wait and try again.',
)

export const workerNotFound = defineError(
  10007,
  404,
  () => 'This Worker does not exist on your account.',
)

export const workerNameInvalid = defineError(
  10016,
  400,
  () =>
    'The name of a Worker is 1 to 63 characters: lower-case letters, digits, "-" and "_", and begins and ends with a letter, a digit or "_".',
)

export const tooManyWorkers = defineError(
  10037,
  403,
  (limit: number) => `The account has ${limit} Workers, which is the limit.`,
)

export const workerInUse = defineError(
  10021,
  409,
  (others: string) =>
    `This Worker is in use by service bindings of other Workers (${others}). Remove them, or delete with force=true.`,
)

export const versionNotFound = defineError(
  10007,
  404,
  (id: string) => `The version ${id} of this Worker does not exist.`,
)

export const deploymentNotFound = defineError(
  10007,
  404,
  (id: string) => `The deployment ${id} of this Worker does not exist.`,
)

export const workerExists = defineError(
  10040,
  409,
  (name: string) => `There is a Worker "${name}" already.`,
)

export const noVersions = defineError(10222, 404, () => 'This Worker has no versions.')

export const latestNotDeployed = defineError(
  10215,
  400,
  () =>
    'The latest version of this Worker is not the one that is deployed. Deploy it, or change secrets with the versions API.',
)

export const secretsChanged = defineError(
  10220,
  400,
  (names: string) =>
    `The version was made with other values of secrets. The following secrets have changed: ${names}`,
)

export const deploymentInvalid = defineError(10021, 400, (reason: string) => reason)

export const nameTaken = defineError(
  10053,
  400,
  (name: string) =>
    `Binding name '${name}' already in use. Please use a different name and try again.`,
)

export const secretNotFound = defineError(
  10056,
  404,
  (name: string) => `There is no secret "${name}".`,
)

/** The processes did not come up: what ran before runs on. */
export const activationFailed = defineError(
  10013,
  500,
  (reason: string) =>
    `The version could not be started, so nothing has changed. The runtime said: ${reason}`,
)

export const tokenNotFound = defineError(1003, 404, () => 'There is no such token.')

export const tooManyTokens = defineError(
  1007,
  400,
  (limit: number) => `There are ${limit} tokens, which is the limit.`,
)

export const accountNotFound = defineError(
  7003,
  404,
  (id: string) => `Could not route to /accounts/${id}, perhaps your object identifier is invalid?`,
)

export const tooManyAccounts = defineError(
  1007,
  400,
  (limit: number) => `There are ${limit} accounts, which is the limit.`,
)

export const subdomainTaken = defineError(
  10031,
  409,
  (name: string) => `The subdomain "${name}" is taken.`,
)

export const objectNamespaceNotFound = defineError(
  10066,
  404,
  () => 'There is no such namespace of Durable Objects on your account.',
)

export const objectNotFound = defineError(10066, 404, () => 'There is no such object.')

export const cursorInvalid = defineError(10026, 400, () => 'The cursor is none that was given out.')

/** The sentence says what is wrong with what was sent. */
export const objectImportInvalid = defineError(10026, 400, (reason: string) => reason)

// Zones, and what Workers have in them.

export const zoneNotFound = defineError(
  7003,
  404,
  () => 'Could not route to this zone, perhaps your object identifier is invalid?',
)

/** `what` is the pattern or host for which there is none. */
export const zoneNotFoundFor = defineError(
  10083,
  404,
  (what: string) =>
    `workers.api.error.zone_not_found for "${what}": the account has no such zone. The operator of this server adds one with \`bindery domain add\`.`,
)

export const zoneNameInvalid = defineError(
  1049,
  400,
  (name: string) => `"${name}" is not a host name.`,
)

export const zoneTaken = defineError(1061, 400, (name: string) => `${name} already exists.`)

export const zoneReserved = defineError(
  1097,
  400,
  (name: string, domain: string) =>
    `${name} cannot be added: hosts below ${domain} belong to Workers by their names.`,
)

export const tooManyZones = defineError(
  1007,
  400,
  (limit: number) => `There are ${limit} zones, which is the limit.`,
)

export const hostReserved = defineError(
  10022,
  400,
  (host: string, domain: string) =>
    `${host} cannot be routed: hosts below ${domain} belong to Workers by their names.`,
)

export const routeNotFoundInZone = defineError(10005, 404, () => 'workers.api.error.not_found')

export const routeWorkerMissing = defineError(
  10019,
  400,
  () => 'workers.api.error.invalid_route_script_missing',
)

/** `null`: a route that switches Workers off. */
export const routeTaken = defineError(
  10020,
  409,
  (pattern: string, worker: string | null) =>
    `workers.api.error.duplicate_route: "${pattern}" is ${worker === null ? 'a route without a Worker' : `a route of the Worker "${worker}"`} already.`,
)

export const tooManyRoutes = defineError(
  10021,
  400,
  (limit: number) => `A zone has at most ${limit} routes.`,
)

export const domainInvalid = defineError(
  10022,
  400,
  (name: string) => `"${name}" is not a host name, which a custom domain is.`,
)

export const domainTaken = defineError(
  100116,
  409,
  (name: string) =>
    `Hostname '${name}' already in use by other custom domain. Either delete it, try a different hostname, or use the option 'override_existing_origin' to override.`,
)

export const domainNotFound = defineError(
  100114,
  404,
  () => 'There is no such custom domain on your account.',
)

export const tooManyDomains = defineError(
  10021,
  400,
  (limit: number) => `A zone has at most ${limit} custom domains.`,
)

export const environmentNotFound = defineError(
  10007,
  404,
  (name: string) => `There is no environment "${name}": each Worker has "production" alone.`,
)

export const cronInvalid = defineError(
  10100,
  400,
  (text: string, reason: string) => `invalid cron string: ${text}: ${reason}`,
)

export const tooManySchedules = defineError(
  10100,
  403,
  (limit: number) => `The account may have ${limit} cron triggers, over all its Workers.`,
)
