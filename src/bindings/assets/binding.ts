import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import { sessionApi, uploadApi } from './api.ts'
import { assetsEntry } from './schema.ts'
import { serveAssets } from './service.ts'
import { openSites } from './sites.ts'
import { assetsWiring } from './wiring.ts'

export const assets = defineBinding({
  type: 'assets',
  entry: assetsEntry,
  wiring: assetsWiring,
  migrations: new URL('./migrations/', import.meta.url),
  open: async (ports) => openAssets(ports),
})

export function openAssets(ports: Ports): LiveBinding {
  const { sites, uploads } = openSites(ports)
  return {
    sites,
    serve: (grant) => serveAssets(sites, grant),
    api: [sessionApi(uploads)],
    guardedApi: [uploadApi(uploads)],
    [Symbol.asyncDispose]: () => sites[Symbol.asyncDispose](),
  }
}
