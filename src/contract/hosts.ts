import type { SiteReply, SiteRequest } from './assets.ts'

/** Answers a visitor. Never rejects for anything that a visitor may send. */
export type HostAnswer = (request: SiteRequest) => Promise<SiteReply>

/** Hosts that a product answers for by itself, without any Worker. */
export interface HostServer {
  /**
   * Who answers at a host, by its name in lower case without a port; `undefined` for the hosts of
   * others. Every visitor's host is looked up, so it is known at once.
   */
  find(hostname: string): HostAnswer | undefined
}
