/** The `Random` port: unguessable values, handed in so that tests can repeat them. */
export interface Random {
  bytes(count: number): Uint8Array
  /** `bytes` random bytes as lower-case hex digits, two a byte. */
  hex(bytes: number): string
  /** A random (version 4) UUID. */
  uuid(): string
}
