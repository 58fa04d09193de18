import type { Address } from '#contract/listening.ts'
import type { Certificates } from './certificates.ts'

export type TlsFront = Address & {
  readonly certificates: Certificates
}

/** Where visitors come in, as they are told of it. Known once it is opened. */
export class Front {
  #plain: Address = { host: '', port: 0 }
  #tls: TlsFront | undefined

  opened(at: { readonly plain: Address; readonly tls: TlsFront | undefined }): void {
    this.#plain = at.plain
    this.#tls = at.tls
  }

  /** By TLS if there is a certificate for the host: a URL that a browser warns of helps nobody. */
  urlOf(host: string): string {
    const tls = this.#tls
    if (tls?.certificates.find(host)) return `https://${host}${portIn(tls.port, 443)}`
    return `http://${host}${portIn(this.#plain.port, 80)}`
  }

  get ports(): { readonly httpPort: number; readonly httpsPort: number | undefined } {
    return { httpPort: this.#plain.port, httpsPort: this.#tls?.port }
  }
}

function portIn(port: number, usual: number): string {
  return port === usual ? '' : `:${port}`
}
