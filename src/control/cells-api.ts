import type { CellHost, CellStatus } from '#contract/cell.ts'
import { succeed } from '#contract/envelope.ts'
import type { JsonObject } from '#contract/json.ts'
import type { DatabaseCellStatus, Databases } from '#contract/ports/databases.ts'
import type { AccountCall, Route } from './call.ts'

/** `/cells`: how the processes of an account's Workers and databases are. Ours: Cloudflare has none. */
export function cellRoutes(
  host: Pick<CellHost, 'status'>,
  databases: Pick<Databases, 'status'>,
): readonly Route<AccountCall>[] {
  return [
    {
      method: 'GET',
      path: '/cells',
      permission: 'read',
      run: async ({ account }) =>
        succeed([
          ...host.status(account).map(ofWorkers),
          ...databases.status(account).map(ofDatabases),
        ]),
    },
  ]
}

function ofWorkers(cell: CellStatus): JsonObject {
  const { lastDeath } = cell
  return {
    workers: cell.workers,
    databases: null,
    preview: cell.isPreview,
    state: cell.state,
    pid: cell.pid ?? null,
    started_on: cell.startedAt ?? null,
    memory_bytes: cell.memoryBytes ?? null,
    cpu_ms: cell.cpuMs ?? null,
    deaths: cell.deaths,
    last_death: lastDeath
      ? { died_on: lastDeath.at, reason: lastDeath.reason, detail: lastDeath.detail }
      : null,
    next_start_on: cell.nextStartAt ?? null,
  }
}

function ofDatabases(cell: DatabaseCellStatus): JsonObject {
  return {
    workers: [],
    databases: { product: cell.product, open: cell.open },
    preview: false,
    state: 'running',
    pid: cell.pid,
    started_on: cell.startedAt,
    memory_bytes: cell.memoryBytes ?? null,
    cpu_ms: cell.cpuMs ?? null,
    deaths: 0,
    last_death: null,
    next_start_on: null,
  }
}
