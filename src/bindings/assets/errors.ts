import { defineError } from '#contract/errors.ts'

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
