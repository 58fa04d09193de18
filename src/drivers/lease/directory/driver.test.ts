import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { OperatorError } from '#contract/errors.ts'
import { leaseDirectory } from './driver.ts'

test('one holder at a time, and again after it let go', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'bindery-lease-'))
  try {
    const held = leaseDirectory(directory)
    assert.throws(() => leaseDirectory(directory), OperatorError)
    held[Symbol.dispose]()
    leaseDirectory(directory)[Symbol.dispose]()
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a holder that was killed holds nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'bindery-lease-'))
  const driver = new URL('./driver.ts', import.meta.url).href
  const script = `
    const { leaseDirectory } = await import(${JSON.stringify(driver)})
    globalThis.held = leaseDirectory(${JSON.stringify(directory)})
    process.stdout.write('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(child.stdout, 'data')
    assert.throws(() => leaseDirectory(directory), OperatorError)
    child.kill('SIGKILL')
    await once(child, 'exit')
    leaseDirectory(directory)[Symbol.dispose]()
  } finally {
    child.kill('SIGKILL')
    await rm(directory, { recursive: true })
  }
})
