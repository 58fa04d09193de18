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
