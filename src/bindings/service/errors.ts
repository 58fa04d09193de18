import { defineError } from '#contract/errors.ts'

/** Two accounts never share a process: a Worker of another account can't be bound. */
export const crossAccountGrant = defineError(
  10021,
  400,
  (name: string) =>
    `The service binding "${name}" asks for a Worker of another account (cross_account_grant), which Bindery does not offer. Call that Worker by its public URL.`,
)
