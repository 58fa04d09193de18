import { defineError } from '#contract/errors.ts'

/** Cloudflare's code for an upload that is not valid as a whole. */
export const variableTooLarge = defineError(
  10021,
  400,
  (name: string, bytes: number, limit: number) =>
    `The variable "${name}" is too large: ${bytes} bytes, the limit is ${limit}.`,
)
