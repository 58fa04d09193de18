import { serveHelp } from '#config'
import { messageOf, OperatorError } from '#contract/errors.ts'
import { account, accountHelp } from './account.ts'
import { cells, cellsHelp } from './cells.ts'
import { d1, d1Help } from './d1.ts'
import { domain, domainHelp } from './domain.ts'
import { objects, objectsHelp } from './objects.ts'
import { proxyConfig, proxyConfigHelp } from './proxy-config.ts'
import { s3Key, s3KeyHelp } from './s3-key.ts'
import { schedules, schedulesHelp } from './schedules.ts'
import { serve } from './serve.ts'
import { start } from './start.ts'
import { token, tokenHelp } from './token.ts'

/** Every verb of the command line. A verb resolves when it is done; `serve` when it was stopped. */
const verbs: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  serve,
  start,
  token,
  account,
  domain,
  cells,
  do: objects,
  cron: schedules,
  d1,
  's3-key': s3Key,
  'proxy-config': proxyConfig,
  help: async () => print(help),
  '--help': async () => print(help),
  '-h': async () => print(help),
}

const help = `Bindery: Cloudflare Workers with every binding, on your own machines.

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
`

function print(text: string): void {
  process.stdout.write(text)
}

async function main(): Promise<void> {
  const [name = 'help', ...args] = process.argv.slice(2)
  const verb = verbs[name]
  if (!verb) throw new OperatorError(`There is no verb "${name}". Try: bindery help`)
  if (args.includes('--help') || args.includes('-h')) return print(help)
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
