/** New values of `env`. */
export type Assignment = {
  /** Names and values to set. JSON values are JSON text: they are parsed here, once. */
  readonly values: readonly (
    | { readonly name: string; readonly text: string }
    | { readonly name: string; readonly json: string }
  )[]
  readonly removed: readonly string[]
  /** Whether `process.env` holds a copy, which is to be changed as well. */
  readonly processEnv: boolean
}

/**
 * How calls are spread over the versions of a Worker: by the entrypoint that callers are bound to,
 * the name under which each version is bound to that, and its share.
 */
export type Shares = Readonly<
  Record<string, readonly (readonly [way: string, percentage: number])[]>
>
