import { readConfig } from '#config'
import { startServer, type RunningServer } from '#main'

/** `bindery serve`: runs until SIGTERM or SIGINT, then drains. */
export async function serve(args: readonly string[]): Promise<void> {
  const config = readConfig(args, process.env)
  // Listened for from the beginning: a signal during the start is not lost, and stops nothing halfway.
  const stop = stopped()
  const server = await startServer(config)
  process.stdout.write(summary(server))
  await stop
  await server.stop()
}

/** Where everything is, for a person. */
export function summary(server: RunningServer): string {
  const { dataDirectory } = server.config
  return [
    '',
    `  Workers   ${server.visitorUrl('<worker>')}`,
    `  API       ${server.apiUrl}`,
    `  Data      ${dataDirectory}`,
    '',
    '  Point your own wrangler here:',
    `    set -a; . ${dataDirectory}/admin.env; set +a`,
    '    npx wrangler deploy',
    '',
    '',
  ].join('\n')
}

/** Resolves at the first SIGTERM or SIGINT. A second one ends the process at once. */
export function stopped(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off('SIGTERM', stop).off('SIGINT', stop)
      process.once('SIGINT', () => process.exit(130))
      resolve()
    }
    process.on('SIGTERM', stop).on('SIGINT', stop)
  })
}
