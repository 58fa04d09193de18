// Limits of the control plane. Where Cloudflare publishes one, its page is named; others are ours.

/** Bytes of a body that is JSON. */
export const jsonBytes = 1024 * 1024

/** Bytes of a body beyond its limit that are read and dropped, so that its sender hears why. */
export const discardedBytes = 16 * 1024 * 1024

/** Accounts, tokens (revoked ones included) of a server. */
export const accounts = 10_000
export const tokens = 10_000

/** Characters of the name of an account or a token. */
export const nameLength = 120

/** developers.cloudflare.com/workers/platform/limits: "Number of Workers", paid plan. */
export const workersPerAccount = 500

/**
 * Versions kept per Worker: the newest ones, and all that are in a kept deployment.
 * developers.cloudflare.com/workers/configuration/versions-and-deployments: the last 100.
 */
export const versionsPerWorker = 100

/** Deployments kept per Worker. */
export const deploymentsPerWorker = 100

/** Secrets of one bulk call. developers.cloudflare.com/workers/wrangler/commands: `secret bulk`. */
export const secretsPerCall = 100

/** Versions of a deployment. */
export const versionsPerDeployment = 2

/** Calls that wait for a Worker or an account to be free. More are told to come back. */
export const callsWaiting = 100

/** The last use of a token is written down at most this often. */
export const lastUsedMs = 3_600_000

/** Objects of a page. developers.cloudflare.com/api: Durable Objects, List Objects: `limit`. */
export const objectsPerPage = 10_000

/** Bytes of what is said of a namespace in an archive of its objects. */
export const namespaceFileBytes = 64 * 1024 * 1024

/** Zones of a server. */
export const zones = 10_000

/** developers.cloudflare.com/workers/platform/limits: "Routes per zone". */
export const routesPerZone = 1_000

/** Same page: "Custom domains per zone". */
export const domainsPerZone = 100

/** developers.cloudflare.com/workers/platform/limits: "Cron Triggers per account", paid plan. */
export const schedulesPerAccount = 250
