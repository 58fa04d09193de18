import { messageOf, OperatorError } from '#contract/errors.ts'

type Verb = (args: readonly string[]) => Promise<void>

/**
 * Every verb of the command line. A verb resolves when it is done; `serve` when it was stopped. Each is
 * loaded when it is asked for: most need little, and to load the whole server takes half a second.
 */
const verbs: Readonly<Record<string, () => Promise<Verb>>> = {
  serve: async () => (await import('./serve.ts')).serve,
  start: async () => (await import('./start.ts')).start,
  token: async () => (await import('./token.ts')).token,
  account: async () => (await import('./account.ts')).account,
  domain: async () => (await import('./domain.ts')).domain,
  cells: async () => (await import('./cells.ts')).cells,
  do: async () => (await import('./objects.ts')).objects,
  cron: async () => (await import('./schedules.ts')).schedules,
  d1: async () => (await import('./d1.ts')).d1,
  's3-key': async () => (await import('./s3-key.ts')).s3Key,
  'proxy-config': async () => (await import('./proxy-config.ts')).proxyConfig,
  help: async () => printHelp,
  '--help': async () => printHelp,
  '-h': async () => printHelp,
}

async function printHelp(): Promise<void> {
  const { serveHelp } = await import('#config')
  const { tokenHelp } = await import('./token.ts')
  const { accountHelp } = await import('./account.ts')
  const { domainHelp } = await import('./domain.ts')
  const { objectsHelp } = await import('./objects.ts')
  const { cellsHelp } = await import('./cells.ts')
  const { schedulesHelp } = await import('./schedules.ts')
  const { d1Help } = await import('./d1.ts')
  const { s3KeyHelp } = await import('./s3-key.ts')
  const { proxyConfigHelp } = await import('./proxy-config.ts')
  process.stdout.write(`Bindery: Cloudflare Workers with every binding, on your own machines.

${serveHelp}
bindery start           serve, and deploy the example in examples/tour
${tokenHelp}
${accountHelp}
${domainHelp}
${objectsHelp}
${cellsHelp}
${schedulesHelp}
${d1Help}
${s3KeyHelp}
${proxyConfigHelp}
A client needs no more than   set -a; . DIR/admin.env; set +a
`)
}

async function main(): Promise<void> {
  const [name = 'help', ...args] = process.argv.slice(2)
  const load = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (!load) throw new OperatorError(`There is no verb "${name}". Try: bindery help`)
  if (args.includes('--help') || args.includes('-h')) return printHelp()
  const verb = await load()
  await verb(args)
}

try {
  await main()
} catch (error) {
  // What the operator can solve is one sentence; what is our fault comes with its stack.
  const isOperators = error instanceof OperatorError
  const text = !isOperators && error instanceof Error ? error.stack : messageOf(error)
  process.stderr.write(`bindery: ${text}\n`)
  process.exitCode = 1
}
