import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type Authority, makeAuthority } from '#test/certificates.ts'

/** A TLS server that demands a client certificate, and answers with whose it was. */
export interface TlsOrigin extends AsyncDisposable {
  /** Whose certificates it takes; its own, for 127.0.0.1 and localhost, is from there as well. */
  readonly authority: Authority
  readonly url: string
  /** How often somebody was answered. */
  readonly answered: number
}

/** Listens on 127.0.0.1. */
export async function startTlsOrigin(): Promise<TlsOrigin> {
  const authority = await makeAuthority()
  const own = await authority.issue(['localhost'])
  let answered = 0
  const options = { ...own, ca: authority.cert, requestCert: true, rejectUnauthorized: true }
  const server = createServer(options, ({ socket }, response) => {
    answered += 1
    const subject = socket instanceof TLSSocket ? socket.getPeerCertificate().subject : undefined
    response.end(`hello ${[subject?.CN].flat().join()}`)
  })
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => void open.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    authority,
    url: `https://localhost:${port}/`,
    get answered() {
      return answered
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
