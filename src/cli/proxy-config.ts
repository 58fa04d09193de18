import { z } from 'zod'
import { readConfig } from '#config'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { proxies } from './proxy-text.ts'

export const proxyConfigHelp = `bindery proxy-config caddy | nginx | haproxy [options of serve]
                        a configuration for a proxy in front of the server`

const zones = z.array(z.object({ name: z.string() }))

/** `bindery proxy-config`: what a proxy in front is to be told, for the server that these options make. */
export async function proxyConfig(args: readonly string[]): Promise<void> {
  const [name = '', ...options] = args
  if (name !== 'caddy' && name !== 'nginx' && name !== 'haproxy') {
    throw new OperatorError(`Usage:\n${proxyConfigHelp}`)
  }
  const { dataDirectory, domain, listen } = readConfig(options, process.env)
  if ('descriptor' in listen || listen.port === 0) {
    throw new OperatorError('Name the address of the server with --listen HOST:PORT.')
  }
  const domains = [...new Set([domain, ...(await zonesOf(dataDirectory))])]
  process.stdout.write(proxies[name]({ upstream: listen, domains }))
}

/** The domains that the operator has added, if the server runs; else its own domain will do. */
async function zonesOf(dataDirectory: string): Promise<readonly string[]> {
  try {
    const client = await ApiClient.of(dataDirectory)
    return zones.parse(await client.get('/zones?per_page=1000')).map(({ name }) => name)
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    process.stderr.write(
      'No server runs on this data: domains that were added to it are left out.\n',
    )
    return []
  }
}
