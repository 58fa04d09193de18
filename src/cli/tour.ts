import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { Config } from '#config'
import { OperatorError } from '#contract/errors.ts'
import { ApiClient } from './api-client.ts'
import { type Border, openBorder } from './border.ts'

// `examples/tour`: what wrangler does not make as it deploys is made here, by the API.

const root = fileURLToPath(new URL('../..', import.meta.url))
const tour = join(root, 'examples', 'tour')
const deployMs = 120_000

/** Whom the tour shows its client certificate to, where it was before. The caller disposes of it. */
export async function openTourBorder(config: Config): Promise<Border> {
  return openBorder(join(tour, 'border'), await borderPort(config))
}

/** Workers may reach the tour's border, which is on this machine. */
export function withBorder({ allow, authority }: Border, config: Config): Config {
  const { egress } = config
  return {
    ...config,
    egress: {
      allow: [...egress.allow, allow],
      certificates: [...egress.certificates, authority],
    },
  }
}

/** Deploys the tour, unless this very tour is deployed already. */
export async function deployTour(config: Config, border: Border): Promise<void> {
  const stamp = join(config.dataDirectory, 'tour.sha256')
  const wanted = fingerprint(border.url)
  const deployed = await readFile(stamp, 'utf8').catch(() => '')
  if (deployed === wanted && (await isDeployed(config, 'tour'))) return
  const greeter = join(tour, 'greeter')
  process.stdout.write('Deploying tour-greeter with wrangler ...\n')
  await wranglerDeploy(config, greeter, join(greeter, 'wrangler.jsonc'))
  process.stdout.write('Deploying tour with wrangler ...\n')
  await wranglerDeploy(config, tour, await tourConfig(config, border))
  await writeFile(stamp, wanted)
}

function fingerprint(borderUrl: string): string {
  const hash = createHash('sha256').update(borderUrl)
  for (const file of globSync('**/*.{js,jsonc,pem}', { cwd: tour }).toSorted()) {
    hash.update(file).update(readFileSync(join(tour, file)))
  }
  return hash.digest('hex')
}

async function isDeployed(config: Config, name: string): Promise<boolean> {
  const client = await ApiClient.of(config.dataDirectory)
  const workers = await client.get(`/accounts/${client.account}/workers/scripts`)
  return Array.isArray(workers) && workers.some((worker) => worker.id === name)
}

const tourFile = z.looseObject({
  main: z.string(),
  assets: z.looseObject({ directory: z.string() }),
  vars: z.looseObject({}),
})

/** Writes the tour's configuration with the ids of what was made for it; gives its path. */
async function tourConfig(config: Config, border: Border): Promise<string> {
  const text = await readFile(join(tour, 'wrangler.jsonc'), 'utf8')
  // It has no comments: commas that trail are what JSON has not.
  const { main, assets, vars, ...rest } = tourFile.parse(
    JSON.parse(text.replaceAll(/,(?=\s*[}\]])/g, '')),
  )
  const written = {
    ...rest,
    main: join(tour, main),
    assets: { ...assets, directory: join(tour, assets.directory) },
    vars: { ...vars, BORDER: border.url },
    secrets_store_secrets: [await tourSecret(config)],
    mtls_certificates: [await tourCertificate(config)],
  }
  const path = tourConfigPath(config)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, JSON.stringify(written, null, 2))
  return path
}

const made = z.object({ id: z.string(), name: z.string() })

/** A secret in a store, made if they are not there: wrangler makes neither as it deploys. */
async function tourSecret(config: Config): Promise<object> {
  const client = await ApiClient.of(config.dataDirectory)
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

function tourConfigPath({ dataDirectory }: Config): string {
  return join(dataDirectory, 'tour', 'wrangler.json')
}

/** The port that the tour was deployed with; 0 if it was not. */
async function borderPort(config: Config): Promise<number> {
  const text = await readFile(tourConfigPath(config), 'utf8').catch(() => '')
  return Number(/"BORDER": "https:\/\/border\.localhost:(\d+)\/"/.exec(text)?.[1] ?? 0)
}

/** A client certificate, uploaded if it is not there: wrangler does not do that as it deploys. */
async function tourCertificate(config: Config): Promise<object> {
  const client = await ApiClient.of(config.dataDirectory)
  const path = `/accounts/${client.account}/mtls_certificates`
  const name = 'tour-traveller'
  const known = z
    .array(z.object({ id: z.string() }))
    .parse(await client.get(`${path}?name=${name}`))
  const upload = async (): Promise<unknown> =>
    client.call('POST', path, {
      name,
      certificates: await readFile(join(tour, 'border', 'traveller.pem'), 'utf8'),
      private_key: await readFile(join(tour, 'border', 'traveller.key'), 'utf8'),
      ca: false,
    })
  const { id } = known[0] ?? z.object({ id: z.string() }).parse(await upload())
  return { binding: 'PASSPORT', certificate_id: id }
}

/** Runs wrangler as a user would; what it printed is shown only if it failed. */
async function wranglerDeploy(config: Config, folder: string, file: string): Promise<void> {
  const client = await ApiClient.of(config.dataDirectory)
  const child = spawn(
    process.execPath,
    [join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js'), 'deploy', '-c', file],
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
