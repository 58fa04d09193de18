import type { Module, WorkerPlan } from '#contract/cell.ts'
import { messageOf } from '#contract/errors.ts'
import type { BlobKey } from '#contract/ids.ts'

/** Gives the bytes of a module, which are all in memory. */
export type Read = (module: Module) => Uint8Array

/**
 * Reads the bytes of every module of some Workers, once each. One that can't be read throws when it
 * is asked for: it keeps its cell from starting, and no other.
 */
export async function loadModules(
  readModule: (key: BlobKey) => Promise<Uint8Array>,
  workers: readonly WorkerPlan[],
): Promise<Read> {
  const keys = [...new Set(workers.flatMap(({ code }) => code.modules.map(({ key }) => key)))]
  const read = await Promise.allSettled(keys.map((key) => readModule(key)))
  const results = new Map(keys.map((key, index) => [key, read[index]]))
  return ({ key, name }) => {
    const result = results.get(key)
    if (result?.status === 'fulfilled') return result.value
    throw new Error(`the module ${name} can't be read: ${messageOf(result?.reason)}`)
  }
}
