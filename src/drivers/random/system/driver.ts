import { randomBytes, randomUUID } from 'node:crypto'
import type { Random } from '#contract/ports/random.ts'

/** The kernel's random source. */
export const systemRandom: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  hex: (bytes) => randomBytes(bytes).toString('hex'),
  uuid: () => randomUUID(),
}
