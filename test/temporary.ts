import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder of the test's own, gone when it is disposed of. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'bindery-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Waits until `test` gives something other than `undefined` or `false`; rejects after a while. */
export async function eventually<Value>(
  test: () => Promise<Value | undefined | false> | Value | undefined | false,
  milliseconds = 10_000,
): Promise<Value> {
  const deadline = performance.now() + milliseconds
  for (;;) {
    const value = await test()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`not so after ${milliseconds} ms`)
    await new Promise((resolve) => void setTimeout(resolve, 10))
  }
}
