import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
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
  for (const [name, folder] of [
    ['tour-greeter', join(tour, 'greeter')],
    ['tour', tour],
  ] as const) {
    process.stdout.write(`Deploying ${name} with wrangler ...\n`)
    await wranglerDeploy(server, folder)
  }
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

/** Runs wrangler as a user would; what it printed is shown only if it failed. */
async function wranglerDeploy(server: RunningServer, folder: string): Promise<void> {
  const client = await ApiClient.of(server.config.dataDirectory)
  const child = spawn(
    process.execPath,
    [
      join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js'),
      'deploy',
      '-c',
      join(folder, 'wrangler.jsonc'),
    ],
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
