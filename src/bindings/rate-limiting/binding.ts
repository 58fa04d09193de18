import { defineBinding, type LiveBinding } from '#contract/binding.ts'
import type { Ports } from '#contract/ports.ts'
import { Counters } from './counters.ts'
import { rateLimitEntry } from './schema.ts'
import { serveRateLimit } from './service.ts'
import { rateLimitWiring } from './wiring.ts'

export const rateLimit = defineBinding({
  type: 'ratelimit',
  entry: rateLimitEntry,
  wiring: rateLimitWiring,
  open: async (ports) => openRateLimits(ports),
})

/** Counters in memory, which end with the server. */
export function openRateLimits({ clock }: Pick<Ports, 'clock'>): LiveBinding {
  const counters = new Counters(clock)
  return {
    serve: (grant) => serveRateLimit(counters, grant),
    async [Symbol.asyncDispose]() {
      counters[Symbol.dispose]()
    },
  }
}
