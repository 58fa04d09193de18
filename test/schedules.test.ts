import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import { minuteMs } from '#contract/cron.ts'
import { bindery } from '#test/command.ts'
import { ask, call, deploy, namespace, otherAccount, type Place, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'
import { eventually } from '#test/temporary.ts'

// Cron triggers on a whole server: set, called when it is time, and not a second time after a crash.

/** Writes down in KV how often it was called for what. */
const code = `
  export default {
    async scheduled({ cron, scheduledTime, noRetry }, env, ctx) {
      const calls = (await env.SPACE.get('calls', 'json')) ?? []
      await env.SPACE.put('calls', JSON.stringify([...calls, [cron, scheduledTime]]))
      if (cron === '1 1 1 1 *') throw new Error('no')
    },
    async fetch(request, env) {
      return new Response((await env.SPACE.get('calls')) ?? '[]')
    },
  }`

const schedulesOf = z.object({
  schedules: z.array(
    z.object({ cron: z.string(), created_on: z.string(), modified_on: z.string() }),
  ),
})
const events = z.array(
  z.object({ cron: z.string(), scheduled_time: z.string(), outcome: z.string().nullable() }),
)

suite('cron triggers', () => {
  let server: TestServer
  let place: Place
  before(async () => {
    server = await startTestServer()
    place = placeOf(server)
    const bindings = [
      { type: 'kv_namespace', name: 'SPACE', namespace_id: await namespace(place, 's') },
    ]
    await deploy(place, 'w', { code, bindings })
  })
  after(() => server[Symbol.asyncDispose]())

  const path = '~/workers/scripts/w/schedules'
  const set = async (crons: readonly string[]) => {
    const body = crons.map((cron) => ({ cron }))
    return schedulesOf.parse(await call(place, 'PUT', path, body))
  }
  const cronsOf = async (): Promise<readonly string[]> => {
    const { schedules } = schedulesOf.parse(await call(place, 'GET', path))
    return schedules.map(({ cron }) => cron)
  }
  const calls = async () =>
    z.array(z.tuple([z.string(), z.number()])).parse(await (await server.visit('w')).json())

  test('are set, kept with their times, told once, and removed', async () => {
    assert.deepEqual(await cronsOf(), [])
    const first = await set(['0 0 * * MON', '*/5 1 * * *', '0 0 * * MON'])
    assert.deepEqual(await cronsOf(), ['0 0 * * MON', '*/5 1 * * *'])
    const second = await set(['1 1 1 1 *', '0 0 * * MON'])
    assert.deepEqual(await cronsOf(), ['1 1 1 1 *', '0 0 * * MON'])
    assert.equal(second.schedules[1]?.created_on, first.schedules[0]?.created_on)
    await server.restart()
    place = placeOf(server)
    assert.deepEqual(await cronsOf(), ['1 1 1 1 *', '0 0 * * MON'])
    await set([])
    assert.deepEqual(await cronsOf(), [])
  })

  const refused: Readonly<Record<string, readonly [body: unknown, status: number, why: RegExp]>> = {
    'no expression': [[{ cron: 'often' }], 400, /^invalid cron string: often: .*five fields/],
    'a weekday of Unix': [[{ cron: '* * * * 0' }], 400, /"0" is no day of week \(1-7\)/],
    'one of two is wrong': [[{ cron: '* * * * *' }, { cron: '60 * * * *' }], 400, /"60"/],
    'too many': [
      Array.from({ length: 251 }, (_, n) => ({ cron: `${n % 60} ${n % 24} * * *` })),
      400,
      /250/,
    ],
    'no list': [{ crons: ['* * * * *'] }, 400, /./],
    'a list of texts': [['* * * * *'], 400, /./],
  }
  for (const [title, [body, status, why]] of Object.entries(refused)) {
    test(`refused, and nothing changes: ${title}`, async () => {
      await set(['0 0 1 1 *'])
      const answer = await ask(place, 'PUT', path, body)
      assert.equal(answer.status, status)
      assert.match(answer.errors[0]?.message ?? '', why)
      assert.deepEqual(await cronsOf(), ['0 0 1 1 *'])
    })
  }

  test('250 in an account, over all its Workers', async () => {
    const other = await otherAccount(server, 'crons')
    const many = Array.from({ length: 250 }, (_, n) => ({
      cron: `${n % 60} ${n % 24} ${1 + (n % 28)} * *`,
    }))
    for (const name of ['a', 'b']) await deploy(other, name, { code: 'export default {}' })
    await call(other, 'PUT', '~/workers/scripts/a/schedules', many)
    const more = await ask(other, 'PUT', '~/workers/scripts/b/schedules', [{ cron: '* * * * *' }])
    assert.equal(more.status, 403)
    assert.match(more.errors[0]?.message ?? '', /250 cron triggers/)
    await call(other, 'DELETE', '~/workers/scripts/a')
    await call(other, 'PUT', '~/workers/scripts/b/schedules', [{ cron: '0 0 1 1 *' }])
  })

  test('of a Worker that is not there', async () => {
    const nobody = '~/workers/scripts/nobody/schedules'
    const answers = [
      await ask(place, 'GET', nobody),
      await ask(place, 'PUT', nobody, []),
      await ask(place, 'GET', `${nobody}/events`),
      await ask(place, 'POST', `${nobody}/run`, {}),
    ]
    assert.deepEqual(
      answers.map(({ errors: [error] }) => error?.code),
      [10007, 10007, 10007, 10007],
    )
  })

  test('a handler is called by hand, and its outcome told', async () => {
    const run = (body: object) => call(place, 'POST', `${path}/run`, body)
    const scheduled_time = Date.parse('2026-11-24T00:00:00.000Z')
    const at = { scheduled_time: '2026-11-24T00:00:00.000Z' }
    assert.deepEqual(await run({ cron: '0 0 * * 2', scheduled_time }), {
      cron: '0 0 * * 2',
      ...at,
      outcome: 'ok',
      no_retry: false,
    })
    assert.deepEqual(await run({ cron: '1 1 1 1 *', scheduled_time }), {
      cron: '1 1 1 1 *',
      ...at,
      outcome: 'exception',
      no_retry: false,
    })
    assert.deepEqual((await calls()).slice(-2), [
      ['0 0 * * 2', scheduled_time],
      ['1 1 1 1 *', scheduled_time],
    ])
    assert.equal((await ask(place, 'POST', `${path}/run`, { cron: 'x' })).status, 400)
    const cli = (...args: readonly string[]) =>
      bindery(['cron', ...args, '--data', server.dataDirectory])
    assert.equal((await cli('run', 'w', '--cron', '5 5 5 5 *')).stdout, '5 5 5 5 *: ok\n')
    assert.equal((await cli('run', 'w', '--cron', '1 1 1 1 *')).code, 1)
    assert.match((await cli('run', 'nobody')).stderr, /This Worker does not exist/)
    assert.match((await cli('run')).stderr, /Usage:\nbindery cron events WORKER/)
  })

  test('a minute is called for once, also by a server that is killed in it', async () => {
    await set(['* * * * *'])
    const earlier = (await calls()).length
    const seen = await eventually(async () => (await calls()).slice(earlier)[0], 70_000)
    assert.equal(seen[0], '* * * * *')
    assert.equal(seen[1] % minuteMs, 0)
    assert.ok(Math.abs(Date.now() - seen[1]) < 10_000, 'it is called when it is time')
    await server.kill()
    await server.restart()
    place = placeOf(server)
    const log = events.parse(await call(place, 'GET', `${path}/events`))
    assert.equal(log[0]?.scheduled_time, new Date(seen[1]).toISOString())
    assert.match(log[0].outcome ?? '', /^(ok|canceled)$/)
    const ofMinute = (await calls()).filter(([, time]) => time === seen[1])
    assert.deepEqual(ofMinute, [seen])
    const { stdout } = await bindery(['cron', 'events', 'w', '--data', server.dataDirectory])
    assert.match(stdout, /^TIME +CRON +OUTCOME/)
    assert.match(stdout, /\* \* \* \* \* +(ok|canceled)/)
  })

  test('are gone with their Worker', async () => {
    await call(place, 'DELETE', '~/workers/scripts/w')
    await deploy(place, 'w', { code: 'export default { scheduled() {} }' })
    assert.deepEqual(await cronsOf(), [])
    assert.deepEqual(await call(place, 'GET', `${path}/events`), [])
  })
})
