import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { readConfig } from '#config'
import { OperatorError } from '#contract/errors.ts'
import { type RunningServer, startServer } from '#main'
import { ApiClient } from './api-client.ts'
import { stopped, summary } from './serve.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tour = join(root, 'examples', 'tour')
const deployMs = 120_000

/** `bindery start`: serves, and deploys the example with the unmodified wrangler. */
export async function start(args: readonly string[]): Promise<void> {
  // A person looks at this: what goes well needs no lines of JSON.
  const config = readConfig(args, { BINDERY_LOG_LEVEL: 'warn', ...process.env })
  const stop = stopped()
  const server = await startServer(config)
  try {
    await deployTour(server)
    process.stdout.write(`\n  The tour  ${server.visitorUrl('tour')}\n`)
    process.stdout.write(summary(server))
    await stop
  } finally {
    await server.stop()
  }
}

/** Deploys the tour, unless this very tour is deployed already. */
async function deployTour(server: RunningServer): Promise<void> {
  const stamp = join(server.config.dataDirectory, 'tour.sha256')
  const wanted = fingerprint()
  const deployed = await readFile(stamp, 'utf8').catch(() => '')
  if (deployed === wanted && (await isDeployed(server, 'tour'))) return
  const greeter = join(tour, 'greeter')
  process.stdout.write('Deploying tour-greeter with wrangler ...\n')
  await wranglerDeploy(server, greeter, join(greeter, 'wrangler.jsonc'))
  process.stdout.write('Deploying tour with wrangler ...\n')
  await wranglerDeploy(server, tour, await tourConfig(server))
  await writeFile(stamp, wanted)
}

function fingerprint(): string {
  const hash = createHash('sha256')
  for (const file of globSync('**/*.{js,jsonc}', { cwd: tour }).toSorted()) {
    hash.update(file).update(readFileSync(join(tour, file)))
  }
  return hash.digest('hex')
}

async function isDeployed(server: RunningServer, name: string): Promise<boolean> {
  const client = await ApiClient.of(server.config.dataDirectory)
  const workers = await client.get(`/accounts/${client.account}/workers/scripts`)
  return Array.isArray(workers) && workers.some((worker) => worker.id === name)
}

const tourFile = z.looseObject({
  main: z.string(),
  assets: z.looseObject({ directory: z.string() }),
})

/** Writes the tour's configuration with the ids of what was made for it; gives its path. */
async function tourConfig(server: RunningServer): Promise<string> {
  const text = await readFile(join(tour, 'wrangler.jsonc'), 'utf8')
  // It has no comments: commas that trail are what JSON has not.
  const { main, assets, ...rest } = tourFile.parse(
    JSON.parse(text.replaceAll(/,(?=\s*[}\]])/g, '')),
  )
  const config = {
    ...rest,
    main: join(tour, main),
    assets: { ...assets, directory: join(tour, assets.directory) },
    secrets_store_secrets: [await tourSecret(server)],
  }
  const folder = join(server.config.dataDirectory, 'tour')
  await mkdir(folder, { recursive: true })
  const path = join(folder, 'wrangler.json')
  await writeFile(path, JSON.stringify(config, null, 2))
  return path
}

const made = z.object({ id: z.string(), name: z.string() })

/** A secret in a store, made if they are not there: wrangler makes neither as it deploys. */
async function tourSecret(server: RunningServer): Promise<object> {
  const client = await ApiClient.of(server.config.dataDirectory)
  const stores = `/accounts/${client.account}/secrets_store/stores`
  const known = z.array(made).parse(await client.get(`${stores}?per_page=100`))
  const store =
    known.find(({ name }) => name === 'tour') ??
    made.parse(await client.call('POST', stores, { name: 'tour' }))
  const secrets = `${stores}/${store.id}/secrets`
  const name = 'combination'
  const there = z.array(made).parse(await client.get(`${secrets}?search=${name}`))
  if (!there.some((secret) => secret.name === name)) {
    await client.call('POST', secrets, [{ name, value: '17-32-05', scopes: ['workers'] }])
  }
  return { binding: 'COMBINATION', store_id: store.id, secret_name: name }
}

/** Runs wrangler as a user would; what it printed is shown only if it failed. */
async function wranglerDeploy(
  server: RunningServer,
  folder: string,
  config: string,
): Promise<void> {
  const client = await ApiClient.of(server.config.dataDirectory)
  const child = spawn(
    process.execPath,
    [join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js'), 'deploy', '-c', config],
    {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: deployMs,
      env: { ...process.env, ...client.environment, CI: '1', WRANGLER_HIDE_BANNER: 'true' },
    },
  )
  let output = ''
  child.stdout.on('data', (data: Buffer) => (output += data.toString()))
  child.stderr.on('data', (data: Buffer) => (output += data.toString()))
  const code = await new Promise((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  )
  if (code !== 0) {
    throw new OperatorError(`wrangler could not deploy ${folder}. It said:\n${output}`)
  }
}
