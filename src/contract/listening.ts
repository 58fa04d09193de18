/** An address to listen on. */
export type Address = { readonly host: string; readonly port: number }

/**
 * Where a server listens: at an address, or on a socket that a supervisor has bound and keeps, by the
 * number of its file descriptor. The second is how connections wait for the next server instead of
 * being refused.
 */
export type Listening = Address | { readonly descriptor: number }
