import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createRequire, stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { z } from 'zod'
import { capabilityHeader, createBackplane } from '#backplane/server.ts'
import type { BackendHandler } from '#contract/backend.ts'
import { workerName } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Shim } from '#contract/wire.ts'
import { type Capnp, renderCapnp } from '#runtime/capnp.ts'
import { guestTails, moduleOfShim, wrappedBy } from '#runtime/shims.ts'
import { configSources } from '#runtime/sources.ts'
import { account } from '#test/backend.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'

const { default: workerd } = z
  .object({ default: z.string() })
  .parse(createRequire(import.meta.url)('workerd'))

export interface BoundWorkerd extends AsyncDisposable {
  /** The body of the fixture's answer to `GET path`. */
  get(path: string): Promise<string>
}

/**
 * A real workerd with a fixture Worker (`fixture.worker.ts`, types stripped) and one native binding
 * `B`, which calls `handler` over the real backplane.
 */
export async function startBoundWorkerd(options: {
  readonly fixture: URL
  /** A kind of binding by its name in workerd's schema, or a client of ours. */
  readonly client: string | Shim
  /** 2026-11-01 if absent. */
  readonly compatibilityDate?: string
  readonly type: string
  readonly resource: Json
  readonly handler: BackendHandler
  readonly log: Log
}): Promise<BoundWorkerd> {
  const folder = await temporaryFolder()
  const inFolder = (name: string): string => join(folder.path, name)
  const backplane = createBackplane({ serve: () => options.handler, log: options.log })
  const opened = await backplane.open('cell', inFolder('backplane.sock'), () => true)
  const { type, resource, client, compatibilityDate = '2026-11-01' } = options
  const worker = workerName.parse('w')
  backplane.grant('cell', [
    { capability: 'secret', cell: 'cell', account, worker, name: 'B', type, resource },
  ])
  await writeFile(
    inFolder('worker.js'),
    stripTypeScriptTypes(await readFile(options.fixture, 'utf8')),
  )
  await writeFile(
    inFolder('config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (compatibilityDate = "${compatibilityDate}",
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      bindings = [${renderCapnp({ name: 'B', ...boundBy(client) })}])),
    (name = "backplane", external = (address = "unix:${inFolder('backplane.sock')}",
      http = (injectRequestHeaders = [(name = "${capabilityHeader}", value = "secret")]))),
    ${loads(client) ? renderCapnp(guestTails(configSources.guestTailsSource, 'backplane')) : ''}
  ],
  sockets = [(name = "http", address = "unix:${inFolder('worker.sock')}", http = (), service = "main")],
  extensions = ${renderCapnp(typeof client === 'string' ? [] : [extensionOf(client)])},
);`,
  )
  const flags = loads(client) ? ['--experimental'] : []
  const child = spawn(workerd, ['serve', ...flags, inFolder('config.capnp')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const exited = once(child, 'exit')
  const get = (path: string): Promise<string> => fetchText(inFolder('worker.sock'), path)
  await eventually(() => get('/').then(Boolean, () => false))
  return {
    get,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
      await opened[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function boundBy(client: string | Shim): { readonly [field: string]: Capnp } {
  if (client === 'workerLoader') return { workerLoader: { id: 'own' } }
  if (typeof client === 'string') return { [client]: 'backplane' }
  return { wrapped: wrappedBy(client, 'backplane', { id: 'own', ...configSources }) }
}

function loads(client: string | Shim): boolean {
  return typeof client === 'string' ? client === 'workerLoader' : client.loads === true
}

function extensionOf(shim: Shim): Capnp {
  return { modules: [moduleOfShim(shim, configSources.shimSource(shim))] }
}

function fetchText(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (data: string) => (text += data))
      response.on('end', () => resolve(text)).on('error', reject)
    })
    sent.on('error', reject).end()
  })
}
