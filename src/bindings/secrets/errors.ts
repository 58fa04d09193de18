import { defineError } from '#contract/errors.ts'

export const secretTooLarge = defineError(
  10054,
  400,
  (name: string, limit: number) => `The secret "${name}" is larger than ${limit} bytes.`,
)
