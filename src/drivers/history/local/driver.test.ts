import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after } from 'node:test'
import { historySuite } from '#contract/ports/history.suite.ts'
import type { History } from '#contract/ports/history.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { HandClock, openIn } from './fixture.ts'

const folder = await temporaryFolder()
const clock = new HandClock()
const closed: (() => Promise<void>)[] = []
let folders = 0

after(async () => {
  for (const close of closed) await close()
  await folder[Symbol.asyncDispose]()
})

async function newFolder(): Promise<string> {
  const path = join(folder.path, `${folders++}`)
  await mkdir(path)
  return path
}

historySuite('local', {
  folder: newFolder,
  pass: (milliseconds) => clock.pass(milliseconds),
  open: async () => {
    const path = await newFolder()
    const reopen = async (): Promise<History> => {
      const opened = await openIn(path, clock)
      closed.push(async () => opened[Symbol.asyncDispose]())
      return opened.history
    }
    return { history: await reopen(), reopen }
  },
})
