import { readConfig } from '#config'
import { startServer } from '#main'
import { stopped, summary } from './serve.ts'
import { deployTour, openTourBorder, withBorder } from './tour.ts'

/** `bindery start`: serves, and deploys the example with the unmodified wrangler. */
export async function start(args: readonly string[]): Promise<void> {
  // A person looks at this: what goes well needs no lines of JSON.
  const config = readConfig(args, { BINDERY_LOG_LEVEL: 'warn', ...process.env })
  const stop = stopped()
  await using border = await openTourBorder(config)
  const server = await startServer(withBorder(border, config))
  try {
    await deployTour(server.config, border)
    process.stdout.write(`\n  The tour  ${server.visitorUrl('tour')}\n`)
    process.stdout.write(summary(server))
    await stop
  } finally {
    await server.stop()
  }
}
