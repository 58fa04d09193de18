import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { OperatorError } from '#contract/errors.ts'

/** The server that the tour calls with a client certificate. It lets nobody in without one. */
export interface Border extends AsyncDisposable {
  readonly url: string
  /** For `--egress-allow` and `--egress-ca`: it is on this machine, and of an authority of its own. */
  readonly allow: string
  readonly authority: string
}

/**
 * Listens on 127.0.0.1, on `port` if that is free. What is in `folder` is the tour's alone: everybody
 * knows the keys.
 */
export async function openBorder(folder: string, port: number): Promise<Border> {
  const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')
  const authority = await read('authority.pem')
  const server = createServer(
    {
      cert: await read('border.pem'),
      key: await read('border.key'),
      ca: authority,
      requestCert: true,
      rejectUnauthorized: true,
    },
    ({ socket }, response) => {
      const subject = socket instanceof TLSSocket && socket.getPeerCertificate().subject
      response.end(`Welcome, ${subject ? [subject.CN].flat().join() : 'nobody'}!`)
    },
  )
  const listen = (on: number): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.once('error', reject).listen(on, '127.0.0.1', resolve)
    return promise.finally(() => server.off('error', reject))
  }
  await listen(port).catch(() => listen(0))
  const bound = server.address()
  if (!isAddress(bound)) throw new OperatorError('The tour has no address on this machine.')
  return {
    url: `https://border.localhost:${bound.port}/`,
    allow: `127.0.0.1:${bound.port}`,
    authority,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function isAddress(bound: string | AddressInfo | null): bound is AddressInfo {
  return typeof bound === 'object' && bound !== null
}
