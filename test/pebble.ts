import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { makeAuthority } from '#test/certificates.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'

/** Pebble, Let's Encrypt's server for tests, and a name server by which all hosts are this machine. */
export interface Pebble extends AsyncDisposable {
  /** Begins to serve; challenges are asked for at this port. */
  start(httpPort: number): Promise<void>
  readonly directory: string
  /** Vouches for its API. */
  readonly caFile: string
}

export async function makePebble(): Promise<Pebble> {
  const folder = await temporaryFolder()
  const inFolder = (name: string): string => join(folder.path, name)
  const authority = await makeAuthority()
  const own = await authority.issue(['localhost'])
  await writeFile(inFolder('ca.pem'), authority.cert)
  await writeFile(inFolder('cert.pem'), own.cert)
  await writeFile(inFolder('key.pem'), own.key)
  const [api = 0, management = 0, dns = 0, dnsManagement = 0] = await freePorts(4)
  const children: ChildProcess[] = []
  const run = (program: string, args: readonly string[]): void => {
    const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1' }
    children.push(spawn(program, args, { stdio: 'ignore', env }))
  }
  return {
    directory: `https://localhost:${api}/dir`,
    caFile: inFolder('ca.pem'),
    async start(httpPort) {
      const config = {
        listenAddress: `127.0.0.1:${api}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: inFolder('cert.pem'),
        privateKey: inFolder('key.pem'),
        httpPort,
        tlsPort: 1,
        ocspResponderURL: '',
      }
      await writeFile(inFolder('config.json'), JSON.stringify({ pebble: config }))
      run('pebble-challtestsrv', [
        '-dns01',
        `127.0.0.1:${dns}`,
        '-management',
        `127.0.0.1:${dnsManagement}`,
        '-http01',
        '',
        '-https01',
        '',
        '-tlsalpn01',
        '',
        '-defaultIPv6',
        '',
      ])
      run('pebble', ['-config', inFolder('config.json'), '-dnsserver', `127.0.0.1:${dns}`])
      await eventually(() => answers(api))
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) {
        if (child.exitCode !== null) continue
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await folder[Symbol.asyncDispose]()
    },
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

/** Ports that nobody listens on at the moment. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
