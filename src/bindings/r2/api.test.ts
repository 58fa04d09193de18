import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import type { House } from '#contract/binding.ts'
import { workerName } from '#contract/ids.ts'
import type { Json } from '#contract/json.ts'
import type { QueuePort } from '#contract/queues.ts'
import { apiOf, json } from '#test/api.ts'
import { account, caller, otherAccount, unused } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { openR2, r2Bucket } from './binding.ts'

const folder = await temporaryFolder()
const start = 1_800_000_000_000
const clock = movableClock(start)
const migrations = r2Bucket.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'r2'), migrations, clock })
const live = await openR2(ports)

/** What queues were told; a full one is told nothing. */
const told: { readonly queue: string; readonly body: Json }[] = []
const full = new Set<string>()
const queues: QueuePort = {
  nameOf: ({ account: owner, queue }) =>
    owner === account && queue !== 'none' ? `${queue}s` : undefined,
  send: async ({ queue }, bodies) => {
    if (full.has(queue)) throw new Error('full')
    told.push(...bodies.map((body) => ({ queue, body })))
  },
}
const nothing = { [Symbol.asyncDispose]: async () => {} }
/** Who has the zone `example.org`. */
const zoneOwner = { now: account }
const nobody = (): never => assert.fail('no Worker is given anything')
const house: House = {
  events: { handles: nobody, queue: nobody, scheduled: nobody, onDeployed: nobody },
  bindings: () => [],
  guests: { limitCpu: nobody, fullness: nobody },
  queues,
  domain: 'example.com',
  urlOf: (host) => `https://${host}`,
  ownerOf: (host) =>
    /(^|\.)example\.org$/.test(host)
      ? { account: zoneOwner.now, id: 'z1', name: 'example.org' }
      : undefined,
  usage: unused,
}
const started = live.start?.(house) ?? nothing
after(async () => {
  await started[Symbol.asyncDispose]()
  await live[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const { ask, send } = apiOf(live, '/r2')
const notifications = apiOf(live, '/event_notifications/r2')

async function newBucket(name: string): Promise<string> {
  assert.equal((await ask('POST', '/buckets', json({ name }))).status, 200)
  return `/buckets/${name}`
}

const keysOf = (answer: { readonly result: { key: string }[] }): string[] =>
  answer.result.map(({ key }) => key)

suite('buckets', () => {
  test('are made, shown, listed in pages, changed and removed', async () => {
    const made = await ask('POST', '/buckets', json({ name: 'one', locationHint: 'weur' }))
    const shown = {
      name: 'one',
      creation_date: '2027-01-15T08:00:00.000Z',
      location: 'WEUR',
      storage_class: 'Standard',
      jurisdiction: 'default',
    }
    assert.deepEqual(made.result, shown)
    assert.deepEqual((await ask('GET', '/buckets/one')).result, shown)
    await newBucket('three')
    await newBucket('two')
    const names: string[] = []
    let cursor = ''
    do {
      const page = await ask('GET', `/buckets?per_page=2&cursor=${cursor}`)
      names.push(...page.result.buckets.map(({ name }: { name: string }) => name))
      cursor = page.info.cursor
    } while (cursor !== '')
    assert.deepEqual(names, ['one', 'three', 'two'])
    const some = await ask('GET', '/buckets?name_contains=t&direction=desc')
    assert.equal(some.result.buckets[0].name, 'two')
    const headers = { 'cf-r2-storage-class': 'InfrequentAccess' }
    assert.equal(
      (await ask('PATCH', '/buckets/two', { headers })).result.storage_class,
      'InfrequentAccess',
    )
    assert.deepEqual((await ask('DELETE', '/buckets/two')).result, {})
    assert.deepEqual([(await ask('GET', '/buckets/two')).code], [10_006])
    assert.equal(
      (await ask('GET', '/buckets/one', { as: { ...caller, account: otherAccount } })).code,
      10_006,
    )
  })

  for (const name of ['', 'ab', '-ab', 'ab-', 'Abc', 'a_b', 'a.b', 'x'.repeat(64)]) {
    test(`"${name}" is no name`, async () => {
      assert.equal((await ask('POST', '/buckets', json({ name }))).code, 10_005)
    })
  }

  test('jurisdictions are apart', async () => {
    const headers = { 'cf-r2-jurisdiction': 'eu' }
    assert.equal((await ask('POST', '/buckets', { ...json({ name: 'law' }), headers })).status, 200)
    assert.equal((await ask('GET', '/buckets/law')).code, 10_006)
    assert.equal((await ask('GET', '/buckets/law', { headers })).result.jurisdiction, 'eu')
    const wrong = { 'cf-r2-jurisdiction': 'mars' }
    assert.equal((await ask('GET', '/buckets/law', { headers: wrong })).status, 400)
  })
})

suite('objects', () => {
  test('come back with their headers; what has not changed is not sent', async () => {
    const root = await newBucket('objects')
    const headers = {
      'content-type': 'text/x',
      'content-encoding': 'gzip',
      'cache-control': 'no-store',
      expires: 'Sun, 17 Mar 2030 17:46:40 GMT',
      'cf-r2-storage-class': 'InfrequentAccess',
    }
    const put = await ask('PUT', `${root}/objects/a%2Fb%20c/%C3%A9`, { body: 'hello', headers })
    const { version, ...rest } = put.result
    assert.match(version, /^[0-9a-f]{32}$/)
    assert.deepEqual(rest, {
      key: 'a/b c/é',
      etag: '5d41402abc4b2a76b9719d911017c592',
      size: '5',
      uploaded: '2027-01-15T08:00:00.000Z',
      storage_class: 'InfrequentAccess',
    })
    const got = await send('GET', `${root}/objects/a/b%20c/é`)
    assert.equal(await got.text(), 'hello')
    assert.deepEqual(Object.fromEntries(got.headers), {
      'cache-control': 'no-store',
      'content-encoding': 'gzip',
      'content-length': '5',
      'content-type': 'text/x',
      etag: '"5d41402abc4b2a76b9719d911017c592"',
      expires: 'Sun, 17 Mar 2030 17:46:40 GMT',
      'last-modified': 'Fri, 15 Jan 2027 08:00:00 GMT',
    })
    for (const [name, value, status] of [
      ['if-none-match', '"5d41402abc4b2a76b9719d911017c592"', 304],
      ['if-none-match', '"other"', 200],
      ['if-modified-since', 'Fri, 15 Jan 2027 08:00:00 GMT', 304],
      ['if-modified-since', 'Fri, 15 Jan 2027 07:59:59 GMT', 200],
      ['if-match', '"other"', 412],
    ] as const) {
      const answer = await send('GET', `${root}/objects/a/b%20c/é`, { headers: { [name]: value } })
      assert.equal(answer.status, status, `${name}: ${value}`)
    }
    assert.deepEqual((await ask('DELETE', `${root}/objects/a/b%20c/é`)).result, { key: 'a/b c/é' })
    assert.equal((await ask('GET', `${root}/objects/a/b%20c/é`)).code, 10_007)
  })

  test('are listed with prefix, delimiter and cursor, and deleted many at once', async () => {
    const root = await newBucket('listed')
    for (const key of ['a/1', 'a/2', 'b', 'c/1']) {
      await ask('PUT', `${root}/objects/${key}`, { body: key })
    }
    const all = await ask('GET', `${root}/objects?delimiter=/`)
    assert.deepEqual(keysOf(all), ['b'])
    assert.deepEqual(all.info, {
      cursor: '',
      is_truncated: false,
      delimited: ['a/', 'c/'],
      per_page: 1000,
    })
    const first = await ask('GET', `${root}/objects?per_page=3`)
    const next = await ask('GET', `${root}/objects?cursor=${first.info.cursor}`)
    assert.deepEqual([first.info.is_truncated, ...keysOf(next)], [true, 'c/1'])
    assert.deepEqual(next.result[0], {
      key: 'c/1',
      etag: createHash('md5').update('c/1').digest('hex'),
      size: 3,
      last_modified: '2027-01-15T08:00:00.000Z',
      http_metadata: { contentType: 'text/plain;charset=UTF-8' },
      custom_metadata: {},
      storage_class: 'Standard',
      ssec: false,
    })
    const removed = await ask('DELETE', `${root}/objects`, json(['a/1', 'b', 'none']))
    assert.equal(removed.status, 200)
    assert.deepEqual(keysOf(await ask('GET', `${root}/objects`)), ['a/2', 'c/1'])
  })

  test('too large is refused, known length or not', async () => {
    const root = await newBucket('large')
    const headers = { 'content-length': String(300 * 1024 * 1024 + 1) }
    assert.equal((await ask('PUT', `${root}/objects/k`, { body: 'x', headers })).code, 100_100)
    assert.equal((await ask('GET', `${root}/objects/k`)).code, 10_007)
  })
})

suite('rules', () => {
  const put = (root: string, key: string): Promise<unknown> =>
    ask('PUT', `${root}/objects/${key}`, { body: key })

  test('lifecycle: objects go or change their class in time, locked ones stay', async () => {
    const root = await newBucket('living')
    const age = (maxAge: number) => ({ condition: { type: 'Age', maxAge } })
    const rules = [
      {
        id: 'gone',
        enabled: true,
        conditions: { prefix: 'tmp/' },
        deleteObjectsTransition: age(7200),
      },
      { id: 'off', enabled: false, conditions: {}, deleteObjectsTransition: age(1) },
      {
        id: 'cold',
        enabled: true,
        storageClassTransitions: [{ ...age(3600), storageClass: 'InfrequentAccess' }],
      },
    ]
    assert.equal((await ask('PUT', `${root}/lifecycle`, json({ rules }))).status, 200)
    assert.deepEqual((await ask('GET', `${root}/lifecycle`)).result.rules, rules)
    const lock = {
      id: 'kept',
      enabled: true,
      prefix: 'tmp/kept',
      condition: { type: 'Indefinite' },
    }
    await ask('PUT', `${root}/lock`, json({ rules: [lock] }))
    for (const key of ['tmp/1', 'tmp/kept', 'other']) await put(root, key)
    assert.equal((await ask('DELETE', `${root}/objects/tmp/kept`)).code, 10_069)
    assert.equal((await ask('PUT', `${root}/objects/tmp/kept`, { body: 'new' })).code, 10_069)
    assert.equal((await ask('DELETE', `${root}/objects`, json(['other', 'tmp/kept']))).code, 10_069)
    const listed = async (): Promise<{ key: string; storage_class: string }[]> =>
      (await ask('GET', `${root}/objects`)).result
    const untilThere = async (expected: readonly string[]): Promise<void> => {
      await eventually(async () => {
        clock.moveBy(20)
        const now = (await listed()).map(({ key, storage_class: kind }) => `${key} ${kind}`)
        return now.join() === expected.join()
      })
    }
    clock.moveBy(3_600_000)
    await untilThere([
      'other InfrequentAccess',
      'tmp/1 InfrequentAccess',
      'tmp/kept InfrequentAccess',
    ])
    clock.moveBy(3_600_000)
    await untilThere(['other InfrequentAccess', 'tmp/kept InfrequentAccess'])
    await ask('PUT', `${root}/lock`, json({ rules: [] }))
    assert.equal((await ask('DELETE', `${root}/objects/tmp/kept`)).status, 200)
  })

  for (const [what, path, rules] of [
    [
      'an unknown type',
      'lifecycle',
      [{ id: 'a', enabled: true, deleteObjectsTransition: { condition: { type: 'Often' } } }],
    ],
    [
      'two of one id',
      'lock',
      [1, 2].map(() => ({ id: 'a', enabled: true, condition: { type: 'Indefinite' } })),
    ],
    ['an unknown method', 'cors', [{ allowed: { origins: ['*'], methods: ['BREW'] } }]],
  ] as const) {
    test(`${path} with ${what} is refused`, async () => {
      const root = '/buckets/refused'
      await ask('POST', '/buckets', json({ name: 'refused' }))
      assert.equal((await ask('PUT', `${root}/${path}`, json({ rules }))).status, 400)
    })
  }

  test('how much there is, by storage class', async () => {
    const before = (await ask('GET', '/metrics')).result.standard.published
    const root = await newBucket('counted')
    await put(root, 'ab')
    await put(root, 'abc')
    await ask('PUT', `${root}/objects/abc`, { body: '1234567' })
    const now = (await ask('GET', '/metrics')).result.standard.published
    assert.deepEqual([now.objects - before.objects, now.payloadSize - before.payloadSize], [2, 9])
    await ask('DELETE', `${root}/objects`, json(['ab', 'abc']))
    assert.deepEqual((await ask('GET', '/metrics')).result.standard.published, before)
  })
})

suite('notifications', () => {
  test('a queue is told of what its rules say, in order, and when it can take it', async () => {
    const root = await newBucket('watched')
    const of = `/watched/configuration/queues/q`
    const rules = [{ actions: ['PutObject', 'DeleteObject'], prefix: 'in/', suffix: '.jpg' }]
    assert.equal((await notifications.ask('PUT', of, json({ rules }))).status, 200)
    assert.equal((await notifications.ask('PUT', of, json({ rules }))).code, 11_020)
    const elsewhere = '/watched/configuration/queues/none'
    assert.equal((await notifications.ask('PUT', elsewhere, json({ rules }))).status, 404)
    full.add('q')
    for (const key of ['in/1.jpg', 'in/2.png', 'out/3.jpg']) {
      await ask('PUT', `${root}/objects/${key}`, { body: 'hello' })
    }
    await ask('DELETE', `${root}/objects/in/1.jpg`)
    await ask('DELETE', `${root}/objects/in/4.jpg`)
    assert.deepEqual(told, [])
    full.delete('q')
    await eventually(() => {
      clock.moveBy(1_000)
      return told.length === 2
    })
    const of1 = { account, bucket: 'watched' }
    const [first, second] = told.map(({ queue, body }) => ({
      queue,
      ...JSON.parse(JSON.stringify(body)),
    }))
    assert.match(first.eventTime, /^\d{4}-\d\d-\d\dT/)
    assert.deepEqual(
      [first, second].map((each) => ({ ...each, eventTime: '' })),
      [
        {
          ...of1,
          queue: 'q',
          eventTime: '',
          action: 'PutObject',
          object: { key: 'in/1.jpg', size: 5, eTag: '5d41402abc4b2a76b9719d911017c592' },
        },
        { ...of1, queue: 'q', eventTime: '', action: 'DeleteObject', object: { key: 'in/1.jpg' } },
      ],
    )
    const listed = await notifications.ask('GET', '/watched/configuration')
    assert.equal(listed.result.queues[0].queueName, 'qs')
    const { ruleId } = listed.result.queues[0].rules[0]
    await notifications.ask('DELETE', of, json({ ruleIds: ['other'] }))
    assert.equal((await notifications.ask('GET', of)).result.rules.length, 1)
    await notifications.ask('DELETE', of, json({ ruleIds: [ruleId] }))
    assert.equal((await notifications.ask('GET', of)).result.rules.length, 0)
  })
})

test('a public address is the bucket’s for good', async () => {
  const root = await newBucket('shown')
  const before = (await ask('GET', `${root}/domains/managed`)).result
  assert.match(before.domain, /^pub-[0-9a-f]{32}\.r2\.example\.com$/)
  assert.equal(before.enabled, false)
  const enabled = await ask('PUT', `${root}/domains/managed`, json({ enabled: true }))
  assert.deepEqual(enabled.result, { ...before, enabled: true })
})

test('custom domains are of zones of the account, and one bucket’s each', async () => {
  const root = `${await newBucket('domains')}/domains/custom`
  const other = `${await newBucket('domains-2')}/domains/custom`
  const add = (to: string, domain: string, more: object = {}) =>
    ask('POST', to, json({ domain, enabled: true, zoneId: 'z1', ...more }))
  assert.equal((await add(root, 'Media.example.org', { minTLS: '1.2' })).status, 200)
  assert.equal((await add(root, 'media.example.org')).code, 10_062)
  assert.equal((await add(other, 'media.example.org')).code, 10_062)
  assert.equal((await add(root, 'media.example.net')).code, 10_063)
  assert.equal((await add(root, 'other.example.org', { zoneId: 'z2' })).status, 400)
  assert.equal((await add(root, 'no name.example.org')).status, 400)
  const shown = {
    domain: 'media.example.org',
    enabled: true,
    status: { ownership: 'active', ssl: 'unknown' },
    minTLS: '1.2',
    zoneId: 'z1',
    zoneName: 'example.org',
  }
  assert.deepEqual((await ask('GET', root)).result, { domains: [shown] })
  const url = {
    method: 'GET',
    url: '/none',
    hostname: 'x',
    protocol: 'http',
    header: () => undefined,
  } as const
  assert.equal((await live.hosts?.find('media.example.org')?.(url))?.status, 404)
  await ask('PUT', `${root}/media.example.org`, json({ enabled: false }))
  assert.equal(live.hosts?.find('media.example.org'), undefined)
  await ask('PUT', `${root}/media.example.org`, json({ enabled: true }))
  zoneOwner.now = otherAccount
  assert.equal(live.hosts?.find('media.example.org'), undefined)
  assert.equal(
    (await ask('GET', `${root}/media.example.org`)).result.status.ownership,
    'deactivated',
  )
  zoneOwner.now = account
  await ask('DELETE', `${root}/media.example.org`)
  assert.equal((await ask('GET', `${root}/media.example.org`)).code, 10_060)
  assert.equal((await add(other, 'media.example.org')).status, 200)
})

test('a binding to a bucket that the account has not is refused', async () => {
  const owner = { account, worker: workerName.parse('w') }
  const entry = { type: 'r2_bucket', name: 'B', bucket_name: 'shown' }
  assert.deepEqual(await live.admit?.(entry, owner), entry)
  const other = { ...owner, account: otherAccount }
  await assert.rejects(async () => live.admit?.(entry, other), { code: 10_085 })
})
