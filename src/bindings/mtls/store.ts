import type { KeyPair } from '#contract/client-certificates.ts'
import { type AccountId, accountId } from '#contract/ids.ts'
import type { Ports } from '#contract/ports.ts'
import { integerColumn, type Row, sql, textColumn, textColumnOrNull } from '#contract/ports/sql.ts'
import { tooManyCertificates } from './errors.ts'
import { certificatesLengthPerAccount, certificatesPerAccount } from './limits.ts'
import { type CertificateId, certificateId } from './schema.ts'

/** What is known of a certificate. It never changes. */
export type Certificate = {
  readonly id: CertificateId
  readonly account: AccountId
  readonly name: string | undefined
  readonly isAuthority: boolean
  /** PEM: see `KeyPair`. */
  readonly certificates: string
  readonly issuer: string
  readonly serialNumber: string
  readonly signature: string
  /** In ms since 1970. */
  readonly expiresAt: number
  readonly uploadedAt: number
}

export type NewCertificate = Omit<Certificate, 'id' | 'uploadedAt'> & {
  readonly privateKey: string | undefined
}

export type CertificateFilter = {
  readonly isAuthority?: boolean | undefined
  readonly name?: string | undefined
}

/** Certificates, and their keys as the vault sealed them. Does not own the ports. */
export class CertificateStore {
  readonly #ports: Ports

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Throws `tooManyCertificates`. */
  async add({ privateKey, ...made }: NewCertificate): Promise<Certificate> {
    const { sql: database, random, clock, vault } = this.#ports
    const id = certificateId.parse(random.uuid())
    const certificate = { ...made, id, uploadedAt: clock.now() }
    const { account, name = null, issuer, serialNumber, signature } = certificate
    const sealed =
      privateKey === undefined ? null : await vault.seal(account, privateKey, contextOf(id))
    const [inserted] = await database.write([
      sql`INSERT INTO certificate (id, account, name, is_authority, certificates, private_key,
            issuer, serial_number, signature, expires_at, uploaded_at)
          SELECT ${id}, ${account}, ${name}, ${Number(made.isAuthority)}, ${made.certificates},
            ${sealed}, ${issuer}, ${serialNumber}, ${signature}, ${made.expiresAt},
            ${certificate.uploadedAt}
          WHERE (SELECT count(*) FROM certificate WHERE account = ${account})
              < ${certificatesPerAccount}
            AND (SELECT coalesce(sum(length(certificates)), 0) FROM certificate
              WHERE account = ${account}) <= ${certificatesLengthPerAccount - made.certificates.length}`,
    ])
    if (inserted?.changes !== 1) throw tooManyCertificates()
    return certificate
  }

  async find(account: AccountId, id: string): Promise<Certificate | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT * FROM certificate WHERE id = ${id} AND account = ${account}`,
    )
    return row && certificateOf(row)
  }

  /** Those of an account that a filter is for, the newest first. */
  async list(account: AccountId, filter: CertificateFilter): Promise<readonly Certificate[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT * FROM certificate WHERE account = ${account} ORDER BY uploaded_at DESC, id`,
    )
    return rows
      .map(certificateOf)
      .filter(
        ({ isAuthority, name }) =>
          (filter.isAuthority === undefined || filter.isAuthority === isAuthority) &&
          (filter.name === undefined || filter.name === name),
      )
  }

  async remove(account: AccountId, id: CertificateId): Promise<void> {
    await this.#ports.sql.write([
      sql`DELETE FROM certificate WHERE id = ${id} AND account = ${account}`,
    ])
  }

  /** The key pair of a client certificate; `undefined` if there is none. */
  async keyPair(account: AccountId, id: string): Promise<KeyPair | undefined> {
    const [row] = await this.#ports.sql.read(
      sql`SELECT id, certificates, private_key FROM certificate
          WHERE id = ${id} AND account = ${account} AND private_key IS NOT NULL`,
    )
    if (!row) return undefined
    const sealed = textColumn(row, 'private_key')
    return {
      certificates: textColumn(row, 'certificates'),
      privateKey: await this.#ports.vault.open(account, sealed, contextOf(id)),
    }
  }

  /** Client certificates of all accounts that expire before `time`, behind one of them, by their ids. */
  async expiringBefore(
    time: number,
    { after, limit }: { readonly after: string; readonly limit: number },
  ): Promise<readonly Certificate[]> {
    const rows = await this.#ports.sql.read(
      sql`SELECT * FROM certificate WHERE expires_at < ${time} AND is_authority = 0
            AND id > ${after} ORDER BY id LIMIT ${limit}`,
    )
    return rows.map(certificateOf)
  }
}

/** A sealed key copied to another row does not open there. */
function contextOf(id: string): string {
  return `mtls certificate ${id}`
}

function certificateOf(row: Row): Certificate {
  return {
    id: certificateId.parse(textColumn(row, 'id')),
    account: accountId.parse(textColumn(row, 'account')),
    name: textColumnOrNull(row, 'name') ?? undefined,
    isAuthority: integerColumn(row, 'is_authority') === 1,
    certificates: textColumn(row, 'certificates'),
    issuer: textColumn(row, 'issuer'),
    serialNumber: textColumn(row, 'serial_number'),
    signature: textColumn(row, 'signature'),
    expiresAt: integerColumn(row, 'expires_at'),
    uploadedAt: integerColumn(row, 'uploaded_at'),
  }
}
