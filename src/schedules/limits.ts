// Limits of schedules. Where Cloudflare publishes one, its page is named; others are ours.

/** developers.cloudflare.com/workers/configuration/cron-triggers: "Past Cron Triggers". */
export const ticksShown = 100

/** How long ticks are kept, in ms: a clock that goes back by less repeats none. */
export const keptMs = 7 * 24 * 60 * 60 * 1000

/** Ticks that go in one at a time, and that are removed at a time. */
export const ticksPerWrite = 500

/** Handlers that run at once, and those of one account. More wait. */
export const runsAtOnce = 128
export const runsOfAccount = 32
/** Ticks that wait to run; what is more is let go of. */
export const longestLine = 20_000

/** A tick that failed is tried again so often, and so long after it failed: twice as long each time. */
export const retries = 6
export const firstRetryMs = 2_000

/** How long handlers may go on when the server stops. */
export const stopMs = 15_000
