import type { AccountId } from './ids.ts'

/** What a client proves with who it is. Whoever holds it neither logs it nor writes it down. */
export type KeyPair = {
  /** PEM: its own certificate, then those that lead from it to one that the other end trusts. */
  readonly certificates: string
  /** PEM, not encrypted. */
  readonly privateKey: string
}

/** Whose bindings are ways out with a client certificate, as the proxy that makes the connections sees it. */
export interface ClientCertificates {
  /** Opens what an `ExitWire` names. Throws an `ApiError` if the account has no such certificate. */
  keyPair(account: AccountId, certificate: string): Promise<KeyPair>
}
