// Ours: workerd keeps every Worker that was loaded under a name until its process ends, and no limit
// of how many is documented.

/** Workers of one binding that are kept, each under its name. A small one takes 2 MB. */
export const keptWorkers = 64
/** Bytes of code of all that are kept: what V8 makes of it is several times as large. */
export const keptCodeBytes = 32 * 1024 * 1024
/** The most code that a Worker may have and be let go of: workerd takes 64 MiB, ours among them. */
export const movableCodeBytes = 64 * 1024 * 1024 - 16_384
/** Part of a process's memory in use from which on half of what is kept is let go at each load. */
export const fullness = 0.6
/** Calls of limited Workers that may go on at a time, of one binding in one process. */
export const limitedCalls = 1_000
/** The longest CPU time that may be asked for. developers.cloudflare.com/workers/platform/limits: 5 minutes. */
export const longestCpuMs = 300_000
