/**
 * An error that a client of the REST API is told about: thrown anywhere, rendered once at the edge
 * (`envelope.ts`). Everything else that is thrown is our fault and becomes a 500 without details.
 */
export class ApiError extends Error {
  readonly code: number
  readonly status: number
  /** Cloudflare's `errors[].meta`, for the few errors whose clients read it. */
  readonly meta: unknown

  constructor(options: { code: number; status: number; message: string; meta?: unknown }) {
    super(options.message)
    this.name = 'ApiError'
    this.code = options.code
    this.status = options.status
    this.meta = options.meta
  }
}

/** Makes the error of one row of a register, its sentence filled with `values`. */
export type ErrorMaker<Values extends readonly unknown[]> = (...values: Values) => ApiError

/**
 * One row of a register of errors: Cloudflare's code, the HTTP status, and the sentence.
 * A room or binding keeps its rows in `errors.ts`, so that they can be read as a table.
 */
export function defineError<Values extends readonly unknown[]>(
  code: number,
  status: number,
  sentence: (...values: Values) => string,
): ErrorMaker<Values> {
  return (...values) => new ApiError({ code, status, message: sentence(...values) })
}

/** An error that is the operator's to solve (a port in use, an unwritable folder): one sentence. */
export class OperatorError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OperatorError'
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
