import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'
import { call, placeOf } from '#test/deployer.ts'

// Cron triggers, with the unmodified wranglers that projects pin.

const answer = z.object({ schedules: z.array(z.object({ cron: z.string() })) })
const files = { 'index.js': 'export default { scheduled() {} }' }

withNewestAndOldest('cron triggers', (wrangler) => {
  async function deploy(triggers?: object): Promise<string> {
    await wrangler.project('timed', triggers ? { triggers } : {}, files)
    return wrangler.ok(['deploy'], { cwd: 'timed' })
  }

  async function crons(): Promise<readonly string[]> {
    const place = placeOf(wrangler.server)
    return answer
      .parse(await call(place, 'GET', '~/workers/scripts/timed/schedules'))
      .schedules.map(({ cron }) => cron)
  }

  test('are what the configuration says, if it says any', async () => {
    const said = await deploy({ crons: ['*/5 * * * *', '0 17 * * SUN', '59 23 LW * *'] })
    assert.match(said, /schedule: \*\/5 \* \* \* \*/)
    assert.deepEqual(await crons(), ['*/5 * * * *', '0 17 * * SUN', '59 23 LW * *'])
    await deploy()
    assert.equal((await crons()).length, 3)
    await deploy({ crons: ['0 0 * * 2#1'] })
    assert.deepEqual(await crons(), ['0 0 * * 2#1'])
    await deploy({ crons: [] })
    assert.deepEqual(await crons(), [])
  })

  test('what is none is said to be none', async () => {
    await wrangler.project('timed', { triggers: { crons: ['0 0 31 2 *'] } }, files)
    await wrangler.fails(['deploy'], /invalid cron string: 0 0 31 2 \*: there is no such day/, {
      cwd: 'timed',
    })
    assert.deepEqual(await crons(), [])
  })
})
