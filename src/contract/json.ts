/** Any JSON value, as `JSON.parse` gives it. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json }
