import { join } from 'node:path'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import type { RouteTable } from '#contract/snapshot.ts'
import { hostsOf, type InUse } from './due.ts'
import { keepCertificates } from './keeper.ts'
import { makeAccountKey, openAuthority } from './order.ts'

export type AcmeOptions = {
  readonly directory: string
  readonly email: string
  readonly caFile: string | undefined
  /** Where the key of the account and the certificates are kept. It is there. */
  readonly folder: string
  readonly files: {
    /** The text of a file; `undefined` if there is none. */
    read(path: string): Promise<string | undefined>
    /** Writes a file that only its owner may read, in one step. */
    write(path: string, text: string): Promise<void>
  }
  readonly find: (host: string) => InUse | undefined
  /** Resolves when what is new in the folder is in use. */
  readonly refresh: () => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

/** Certificates by ACME for the hosts that are routed. */
export class Acme {
  /** What an authority that checks a host finds there: texts by their tokens. For ingress. */
  readonly challenges = new Map<string, string>()
  #routes: RouteTable = { hosts: new Map() }

  /** From now on it is these hosts that are to have certificates. */
  publishRoutes(table: RouteTable): void {
    this.#routes = table
  }

  /** Begins to get certificates, until disposed of. */
  async open(options: AcmeOptions): Promise<Disposable> {
    const { folder, files } = options
    const keyPath = join(folder, 'account.key')
    const known = await files.read(keyPath)
    const accountKey = known ?? (await makeAccountKey())
    if (known === undefined) await files.write(keyPath, accountKey)
    return keepCertificates({
      ...options,
      authority: openAuthority({ ...options, accountKey, challenges: this.challenges }),
      wanted: () => hostsOf(this.#routes),
      async keep(host, pem) {
        await files.write(join(folder, `${host}.pem`), pem)
        await options.refresh()
      },
    })
  }
}
