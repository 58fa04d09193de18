import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { GuestPort } from '#contract/guests.ts'
import { workerLoaderEntry } from './schema.ts'
import { serveWorkerLoader } from './service.ts'
import { workerLoaderWiring } from './wiring.ts'

/** `env.LOADER`: runs Workers that a Worker makes up by itself. */
export const workerLoader = defineBinding({
  type: 'worker_loader',
  entry: workerLoaderEntry,
  wiring: workerLoaderWiring,
  open: async () => openWorkerLoaders(),
})

/** Keeps nothing. Calls that come before it is started wait for that. */
export function openWorkerLoaders(): LiveBinding {
  const { promise: guests, resolve } = Promise.withResolvers<GuestPort>()
  return {
    serve: (grant) => serveWorkerLoader(guests, grant),
    start(house) {
      resolve(house.guests)
      return { async [Symbol.asyncDispose]() {} }
    },
    async [Symbol.asyncDispose]() {},
  }
}
