// Runs the test files that it is given as `node --test` does, which would sort them by name: those that
// take longest begin first, so that the end of a run does not wait for one of them. Needs the pinned Node.

import { basename } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const [timeoutMs, ...files] = process.argv.slice(2)

/** Longest first. What is not here takes less. */
const long = [
  'wrangler',
  'wrangler-versions',
  'wrangler-r2',
  'wrangler-routes',
  'objects-crash',
  'd1-crash',
  'wrangler-d1',
  'programs-d1',
  'objects-cli',
  'wrangler-assets',
  'schedules',
  'wrangler-previews',
  'acme',
  'releases',
  'wrangler-kv',
  'wrangler-secrets-store',
  'wrangler-queues',
  'objects',
  'programs',
  'upgrade',
  'cli',
  'proxies',
  'soak',
  'programs-chat',
  'queues-crash',
  'real-sites',
  'crash',
  'faults',
  'commits',
]

/** Three on two cores: a quarter of their time is waiting. */
const atOnce = 3

function rank(file) {
  const found = long.indexOf(basename(file, '.test.ts'))
  return found < 0 ? long.length : found
}

const sorted = files.toSorted((a, b) => rank(a) - rank(b))
const stream = run({ files: sorted, concurrency: atOnce, timeout: Number(timeoutMs) })
stream.on('test:summary', ({ file, success }) => {
  if (file === undefined && !success) process.exitCode = 1
})
stream.compose(spec).pipe(process.stdout)
