import type { CellHost } from '#contract/cell.ts'
import { succeed } from '#contract/envelope.ts'
import type { AccountCall, Route } from './call.ts'

/** `/cells`: how the processes of an account's Workers are. Ours: Cloudflare has none. */
export function cellRoutes(host: Pick<CellHost, 'status'>): readonly Route<AccountCall>[] {
  return [
    {
      method: 'GET',
      path: '/cells',
      permission: 'read',
      run: async ({ account }) =>
        succeed(
          host.status(account).map((cell) => ({
            workers: cell.workers,
            preview: cell.isPreview,
            state: cell.state,
            pid: cell.pid ?? null,
            started_on: cell.startedAt ?? null,
            memory_bytes: cell.memoryBytes ?? null,
            cpu_ms: cell.cpuMs ?? null,
            deaths: cell.deaths,
            last_death: cell.lastDeath
              ? {
                  died_on: cell.lastDeath.at,
                  reason: cell.lastDeath.reason,
                  detail: cell.lastDeath.detail,
                }
              : null,
            next_start_on: cell.nextStartAt ?? null,
          })),
        ),
    },
  ]
}
