import { messageOf } from '#contract/errors.ts'
import { StartError } from './process.ts'

// What workerd prints beside the error: complaints about our agent, which misses the Worker that
// did not start, and advice on flags.
const noise = [
  /^Worker "agent"/,
  /^service [^:]+: The compatibility flag \S+ became the default as of /,
  /^service [^:]+: .*has been deprecated/,
]

/**
 * What a user should read of a failed start: their error and their stack in workerd's words, without
 * our wiring. `nameOf` says which Worker a slot holds; its name is left out if there is none.
 */
export function startMessage(
  error: unknown,
  nameOf: (slot: string) => string | undefined = () => undefined,
): string {
  if (!(error instanceof StartError)) return messageOf(error)
  if (error.timedOut) return 'Script startup exceeded CPU time limit.'
  const lines = error.message
    .split('\n')
    .filter((line) => line.trim() !== '' && !noise.some((pattern) => pattern.test(line)))
    .map((line) =>
      line.replace(/^service ([^:]+): /, (_, slot: string) => {
        const name = nameOf(slot)
        return name === undefined ? '' : `${name}: `
      }),
    )
  return lines.join('\n') || 'The script could not be started.'
}
