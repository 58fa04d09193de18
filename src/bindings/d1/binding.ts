import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import { d1Api } from './api.ts'
import { Calls } from './calls.ts'
import { d1Datasets } from './datasets.ts'
import { boundDatabaseNotFound } from './errors.ts'
import { Exports } from './exports.ts'
import { fileApi } from './file-api.ts'
import { Imports } from './imports.ts'
import { Insights } from './insights.ts'
import { Jobs } from './jobs.ts'
import { Links } from './links.ts'
import { d1Entry, databaseId } from './schema.ts'
import { serveD1 } from './service.ts'
import { openStore } from './store.ts'
import { TransferStore } from './transfer-store.ts'
import { Upkeep } from './upkeep.ts'
import { d1Wiring } from './wiring.ts'

export const d1 = defineBinding({
  type: 'd1',
  entry: d1Entry,
  wiring: d1Wiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: (ports) => openD1(ports),
})

/** Databases with all that belongs to them. */
export async function openD1(ports: Ports): Promise<LiveBinding> {
  const { clock, log } = ports
  const store = await openStore(ports)
  const engine = new URL('./engine.worker.ts', import.meta.url)
  const files = ports.databases.open({ name: 'd1', engine })
  await files.sweep(store.files)
  const insights = new Insights(clock)
  const calls = new Calls({ store, files, clock, insights })
  const transfers = new TransferStore(ports)
  const links = new Links(ports)
  const jobs = new Jobs(ports)
  const imports = new Imports({ files, calls, transfers, jobs, log })
  const exports = new Exports({ store, files, transfers, links, jobs, clock, log })
  const state = { store, files, calls, insights, transfers, imports, exports, links, clock, log }
  const upkeep = new Upkeep(state)
  return {
    async admit(entry, { account }) {
      const { name, id } = d1Entry.parse(entry)
      const read = databaseId.safeParse(id)
      if (!read.success || !store.find(account, read.data)) throw boundDatabaseNotFound(name, id)
      return entry
    },
    serve: (grant) => serveD1({ calls, log }, grant),
    datasets: d1Datasets({ store, insights }),
    api: [d1Api(state)],
    guardedApi: [fileApi(state)],
    async [Symbol.asyncDispose]() {
      await jobs[Symbol.asyncDispose]()
      await upkeep[Symbol.asyncDispose]()
    },
  }
}
