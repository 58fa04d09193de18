import { availableParallelism } from 'node:os'

/** One call. developers.cloudflare.com/d1/platform/limits: "Maximum SQL query duration", 30 s. */
export const callMs = 30_000

/** A stream may take so long after its last byte: a commit of gigabytes. */
export const streamEndMs = 10 * 60_000

/** How long a call waits for those before it: nobody waits any longer for its reply. */
export const queueMs = 30_000

/** Calls of one file that wait, and their bytes. */
export const queuedCalls = 1_000
export const queuedBytes = 64 * 1024 * 1024

/** What travels together. */
export const groupCalls = 256
export const groupBytes = 4 * 1024 * 1024

/** A reply to a group. The engine stops at 32 MB a call, and after 20 ms. */
export const replyBytes = 256 * 1024 * 1024

/**
 * For so long may a process answer nobody while calls of other files wait in it. Then it is ended, and
 * the file that it was busy with has a process of its own from there on.
 */
export const crowdedMs = 500

/** Processes of one account that files share. One is not enough for neighbours to be spared. */
export const sharedCells = Math.max(2, Math.min(4, availableParallelism()))

/** Processes of one account for single files; more share the last. */
export const ownCells = 4

/** What a process may hold: pages of the open files, results on their way. */
export const processBytes = 768 * 1024 * 1024

/** One file. developers.cloudflare.com/d1/platform/limits: "Maximum database size", 10 GB. */
export const fileBytes = 10 * 1000 ** 3

/** Files that a process has had open: it is started anew when it is asked for more. */
export const openFiles = 1_000

/** How often a call is sent again that a dying process can't have done. */
export const repeats = 2

/** Between two starts that fail, or two processes that die at once: who calls waits for it. */
export const longestPauseMs = 5_000

/** How long a process may take to end once nothing is in flight. */
export const stopGraceMs = 5_000

/** What is under way when the server stops may take so long. */
export const finishMs = 10_000

/** How often histories are tidied. */
export const tidyMs = 10 * 60_000
