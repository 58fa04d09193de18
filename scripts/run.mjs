// What the npm scripts do: `node scripts/run.mjs start | serve | test | soak | bench [arguments]`.
// Plain JavaScript for Node 18 and later: see install.mjs.

import { join } from 'node:path'
import { globSync } from './glob.mjs'
import { ensureInstalled, root, runNode, runTool } from './install.mjs'
import { ensurePackages } from './packages.mjs'

const [task = '', ...rest] = process.argv.slice(2)

const tasks = {
  start: () => runNode([join(root, 'src/cli/main.ts'), 'start', ...rest]),
  serve: () => runNode([join(root, 'src/cli/main.ts'), 'serve', ...rest]),
  // `npm run bench -- neighbours` is bench/neighbours.ts.
  bench: () => {
    const name = /^[a-z][a-z0-9]*$/.test(rest[0] ?? '') ? rest.shift() : 'main'
    return runNode([join(root, 'bench', `${name}.ts`), ...rest])
  },
  test: async () => {
    await ensureInstalled(join(root, 'test/clients'))
    await ensurePackages()
    return (await check()) || (await test(rest))
  },
  // The same tests as in `npm test`, for longer.
  soak: async () => {
    const { BINDERY_TEST_KILLS } = process.env
    const soak = (file, kills) => {
      process.env.BINDERY_TEST_KILLS = BINDERY_TEST_KILLS ?? kills
      return test([file], { timeoutMs: 3_600_000 })
    }
    process.env.BINDERY_TEST_SOAK_SECONDS ??= '600'
    process.env.BINDERY_TEST_WRANGLERS ??= 'all'
    process.env.BINDERY_TEST_FLIPS ??= '300'
    process.env.BINDERY_TEST_DAMAGES ??= '200'
    process.env.BINDERY_TEST_D1_MEGABYTES ??= '1000'
    process.env.BINDERY_TEST_LOADED_WORKERS ??= '10000'
    return (
      (await test(['test/soak.test.ts'], { timeoutMs: 3_600_000 })) ||
      (await soak('test/crash.test.ts', '200')) ||
      (await soak('test/objects-crash.test.ts', '1000')) ||
      (await soak('test/d1-crash.test.ts', '1000')) ||
      (await soak('test/secrets-store-crash.test.ts', '50')) ||
      (await test(
        [
          'src/drivers/history/local/faults.test.ts',
          'test/d1-large.test.ts',
          'test/d1-damage.test.ts',
        ],
        {
          timeoutMs: 3_600_000,
        },
      )) ||
      (await test(['test/worker-loader.test.ts'], { timeoutMs: 3_600_000 })) ||
      // 250 messages a kill.
      (await soak('test/queues-crash.test.ts', '400')) ||
      (await test(globSync(root, ['test'], /wrangler-[a-z0-9]+\.test\.ts$/)))
    )
  },
}

if (!(task in tasks)) {
  process.stderr.write(`Unknown task "${task}": one of ${Object.keys(tasks).join(', ')}.\n`)
  process.exit(1)
}
await ensureInstalled()
process.exitCode = await tasks[task]()

/** Types, lint and format: a second or two, so the tests include them. */
async function check() {
  const paths = ['src', 'test', 'bench']
  return (
    (await runTool('tsc', ['-p', join(root, 'tsconfig.node.json')])) ||
    (await runTool('tsc', ['-p', join(root, 'tsconfig.worker.json')])) ||
    (await runTool('oxlint', paths)) ||
    (await runTool('oxfmt', ['--check', ...paths, 'scripts', 'examples']))
  )
}

/** Runs the given test files, or all. */
async function test(files, { timeoutMs = 240_000 } = {}) {
  const all = files.length > 0 ? files : globSync(root, ['src', 'test'], /\.test\.ts$/)
  // See compileCache in test/server.ts. A server that is killed leaves nothing there: the command line does.
  await runNode([join(root, 'src/cli/main.ts'), 'help'], { cwd: root, capture: true })
  return runNode([join(root, 'scripts/tests.mjs'), String(timeoutMs), ...all], { cwd: root })
}
