import { messageOf } from '#contract/errors.ts'
import { StartError } from './process.ts'
import type { Slot } from './slots.ts'

// What workerd prints beside the error: complaints about our agent, which misses the Worker that
// did not start, advice on flags, and its own failures with addresses of its binary.
const noise = [
  /^Worker "agent"/,
  /^service [^:]+: The compatibility flag \S+ became the default as of /,
  /^(workerd|kj|capnp)\/\S+: /,
  /^stack: /,
  /^\s*$/,
]
const nothingRegistered = 'No event handlers were registered. This script does nothing.'

/** How long a message may be: a user's error is as long as they please. */
const longest = 16 * 1024

/**
 * What a user should read of a failed start: their error and their stack in workerd's words, without
 * our wiring. `prefix` says what to write before a line about a slot, e.g. its Worker's name.
 */
export function startMessage(
  error: unknown,
  slots: readonly Slot[],
  prefix: (slot: Slot) => string = () => '',
): string {
  if (!(error instanceof StartError)) return messageOf(error)
  if (error.timedOut) return 'Script startup exceeded CPU time limit.'
  const lines = error.message.split('\n').filter((line) => !noise.some((one) => one.test(line)))
  // Before the first line about a Worker is what its code printed.
  const first = lines.findIndex((line) => line.startsWith('service '))
  const told = lines
    .slice(Math.max(first, 0))
    .map((line) => inUserTerms(line, slots, prefix))
    .filter((line, index) => index === 0 || !line.endsWith(nothingRegistered))
  return told.join('\n').slice(0, longest) || 'The script could not be started.'
}

/** A line with our names of services replaced: `service w0: ` and the `w0` of a service worker. */
function inUserTerms(line: string, slots: readonly Slot[], prefix: (slot: Slot) => string): string {
  const slot = slots.find(({ id }) => line.startsWith(`service ${id}: `))
  if (slot) return prefix(slot) + line.slice(`service ${slot.id}: `.length)
  if (/^Worker "w\d+"/.test(line)) return inQuotes(line, slots)
  const place = /^ {2}at (w\d+)(:\d+:\d+)$/.exec(line)
  const main = slots.find(({ id }) => id === place?.[1])?.plan.code.mainModule
  return place && main !== undefined ? `  at ${main}${place[2]}` : line
}

function inQuotes(line: string, slots: readonly Slot[]): string {
  return line.replaceAll(/"(w\d+)"/g, (whole, id: string) => {
    const slot = slots.find((each) => each.id === id)
    return slot ? `"${slot.plan.worker}"` : whole
  })
}
