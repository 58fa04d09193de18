/** CPU time of one request. developers.cloudflare.com/workers/platform/limits: "CPU time", 30 s. */
export const cpuMs = 30_000

/** What a Worker may ask for with `limits.cpu_ms`. Same page: 5 minutes. */
export const longestCpuMs = 300_000

/** Memory of one Worker. Same page: "Memory", 128 MB. */
export const workerBytes = 128 * 1024 * 1024

/** What a Worker that loads others may hold for those, besides its own. */
export const guestBytes = 256 * 1024 * 1024

/**
 * What a process may hold beside its Workers' own. An idle one has 10 MB; under as many requests as a
 * core can answer, garbage that nobody has collected yet levels off at 330 MB, even of a Worker that
 * keeps nothing (measured: workerd alone, hello world, 22 000 requests a second). With less than that,
 * a busy Worker would be killed for what is not its own.
 */
export const processBytes = 256 * 1024 * 1024

/**
 * What the kernel lets a process have that holds so many bytes of Workers: more than the watchdog does,
 * which is to see it first and to say why, for the megabytes that come in between two of its looks.
 */
export function jailBytes(workersBytes: number): number {
  return processBytes + 1.5 * workersBytes
}

/** A cell has recovered that has run so long, or answered so much: its next death is the first again. */
export const healthyMs = 10_000
export const healthyAnswers = 3

/** The pauses before a cell that keeps dying is started again: the first is none to speak of. */
export const firstPauseMs = 10
export const secondPauseMs = 250
export const longestPauseMs = 60_000

/** The longest pause of one that exceeds a limit: getting there takes its time, too. */
export const longestLimitPauseMs = 250

/** More cells than this are not kept for having been idle for `shortestIdleMs` only. */
export const idleCells = 50
export const shortestIdleMs = 30_000

/**
 * How long the handler of an event may take. developers.cloudflare.com/queues/platform/limits:
 * "Consumer duration (wall clock time)", and workers/platform/limits: cron triggers, 15 minutes.
 */
export const eventMs = 15 * 60_000

/** How long an event waits for a process that is being started or replaced. */
export const eventWaitMs = 30_000

/** What one request may ask of others. Page as above: "Subrequests", 10 000. */
export const subrequests = 10_000

/** Previews of one account that run side by side. */
export const previewsPerAccount = 8
