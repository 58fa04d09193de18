import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import type { Entry, House } from '#contract/binding.ts'
import { type WorkerName, workerName } from '#contract/ids.ts'
import type { LogFields } from '#contract/ports/log.ts'
import type { Usage } from '#contract/usage.ts'
import { apiOf, json } from '#test/api.ts'
import { account, caller, nowhere, otherAccount } from '#test/backend.ts'
import { makeAuthority } from '#test/certificates.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { mtlsCertificate, openMtls } from './binding.ts'

const folder = await temporaryFolder()
const clock = movableClock(Date.now())
const migrations = mtlsCertificate.migrations ?? assert.fail()
const ports = await openPorts({ path: join(folder.path, 'mtls'), migrations, clock })
const logged: { message: string; fields: LogFields }[] = []
const warn = (message: string, fields: LogFields = {}): void =>
  void logged.push({ message, fields })
const live = await openMtls({ ...ports, log: { ...ports.log, warn } })
const { ask } = apiOf(live)

const authority = await makeAuthority('CN=Root')
const owner = { account, worker: workerName.parse('w') }
const other = { account: otherAccount, worker: workerName.parse('w') }

/** What is deployed: entries, by the Workers that have them. */
const deployed = new Map<WorkerName, readonly Entry[]>()
const usage: Usage = {
  async usersOf(of, isMeant) {
    return of === account
      ? [...deployed].flatMap(([worker, entries]) => (entries.some(isMeant) ? [worker] : []))
      : []
  },
  async unlessUsed(of, isMeant, run) {
    const users = await usage.usersOf(of, isMeant)
    if (users.length === 0) await run()
    return users
  },
}
const nobody = (): never => assert.fail('no Worker is given anything')
const house: House = {
  ...nowhere,
  usage,
  events: { handles: nobody, queue: nobody, scheduled: nobody, onDeployed: nobody },
  bindings: () => [],
  queues: undefined,
}
let started: AsyncDisposable | undefined

after(async () => {
  await started?.[Symbol.asyncDispose]()
  await live[Symbol.asyncDispose]()
  await ports[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

async function upload(given: object = {}, days = 1): Promise<string> {
  const { cert: certificates, key: private_key } = await authority.issue(['client.test'], days)
  const body = { certificates, private_key, ca: false, ...given }
  const { status, result, message } = await ask('POST', '', json(body))
  assert.equal(status, 200, message)
  return String(result.id)
}

function entryOf(id: string): Entry {
  return { type: 'mtls_certificate', name: 'CERT', certificate_id: id }
}

suite('the API of mTLS certificates', () => {
  test('before it is known what is used, nothing is deleted', async () => {
    const id = await upload()
    assert.equal((await ask('DELETE', `/${id}`)).status, 503)
    assert.equal((await ask('GET', `/${id}`)).status, 200)
    started = live.start?.(house)
  })

  test('a certificate is uploaded, shown, listed and deleted; its key is never shown', async () => {
    const { cert, key } = await authority.issue(['client.test'])
    const body = { name: 'one', certificates: cert, private_key: key, ca: false }
    const { result } = await ask('POST', '', json(body))
    assert.deepEqual(Object.keys(result), [
      'id',
      'name',
      'ca',
      'type',
      'certificates',
      'issuer',
      'serial_number',
      'signature',
      'expires_on',
      'uploaded_on',
    ])
    assert.deepEqual([result.ca, result.issuer, result.name], [false, 'CN=Root', 'one'])
    assert.equal(result.uploaded_on, new Date(clock.now()).toISOString())
    assert.deepEqual((await ask('GET', `/${result.id}`)).result, result)
    assert.deepEqual((await ask('GET', '?name=one')).result, [result])
    const all = JSON.stringify([await ask('GET', ''), result])
    assert.ok(!all.includes('PRIVATE KEY'))
    assert.deepEqual((await ask('DELETE', `/${result.id}`)).result, result)
    assert.equal((await ask('GET', `/${result.id}`)).code, 1415)
    assert.equal((await ask('DELETE', `/${result.id}`)).status, 404)
  })

  test('a list is for names, for authorities or not, for types, in pages, the newest first', async () => {
    const ca = await ask('POST', '', json({ name: 'a', certificates: authority.cert, ca: true }))
    assert.equal(ca.status, 200, ca.message)
    clock.moveBy(1)
    const second = await upload({ name: 'a' })
    clock.moveBy(1)
    const third = await upload({ name: 'b' })
    const ids = async (query: string): Promise<string[]> => {
      const { result, message } = await ask('GET', query)
      assert.ok(Array.isArray(result), message)
      return result.map(({ id }) => id)
    }
    assert.deepEqual(await ids('?name=a'), [second, ca.result.id])
    assert.deepEqual(await ids('?name=a&ca=false'), [second])
    assert.deepEqual(await ids('?ca=true'), [ca.result.id])
    assert.deepEqual((await ids('')).slice(0, 2), [third, second])
    assert.deepEqual(await ids('?per_page=1&page=2'), [second])
    assert.deepEqual(await ids('?type=gateway_managed'), [])
    assert.ok((await ids('?type=access_managed,custom')).includes(third))
    assert.equal((await ask('GET', '?per_page=1')).info.total_count, 4)
    assert.equal((await ask('GET', '?ca=perhaps')).code, 1400)
  })

  test('another account sees none of it', async () => {
    const id = await upload()
    const as = { ...caller, account: otherAccount }
    assert.deepEqual((await ask('GET', '', { as })).result, [])
    for (const [method, path] of [
      ['GET', `/${id}`],
      ['DELETE', `/${id}`],
      ['GET', `/${id}/associations`],
    ] as const) {
      assert.equal((await ask(method, path, { as })).code, 1415)
    }
    await assert.rejects(async () => live.admit?.(entryOf(id), other), { code: 1418, status: 400 })
    await assert.rejects(async () => live.clientCertificates?.keyPair(otherAccount, id), {
      code: 1415,
    })
  })

  const refused: [what: string, body: string, status: number, code: number][] = [
    ['no JSON', 'hello', 400, 1400],
    ['no certificates', '{}', 400, 1400],
    ['a number for certificates', '{"certificates":1}', 400, 1400],
    [
      'a name that is too long',
      JSON.stringify({ name: 'x'.repeat(256), certificates: '' }),
      400,
      1400,
    ],
    [
      'certificates that are too long',
      JSON.stringify({ certificates: 'x'.repeat(524_289) }),
      400,
      1400,
    ],
    [
      'a key that is too long',
      JSON.stringify({ certificates: '', private_key: 'x'.repeat(32_769) }),
      400,
      1400,
    ],
    ['"ca" that is no boolean', '{"certificates":"","ca":"true"}', 400, 1400],
    [
      'a body that is too large',
      JSON.stringify({ certificates: 'x'.repeat(1_048_576) }),
      413,
      1401,
    ],
    ['garbage', '{"certificates":"hello","private_key":"hello"}', 400, 1402],
  ]
  for (const [what, body, status, code] of refused) {
    test(`refused: ${what}`, async () => {
      const answer = await ask('POST', '', { body })
      assert.deepEqual([answer.status, answer.code], [status, code], answer.message)
    })
  }

  test('an account has room for so many characters, and no more', async () => {
    const as = { ...caller, account: otherAccount }
    const bundle = { certificates: authority.cert.repeat(500), ca: true }
    const answers: number[] = []
    const size = authority.cert.trim().length * 500
    for (let stored = 0; stored < 17 * 1024 * 1024; stored += size) {
      answers.push((await ask('POST', '', { ...json(bundle), as })).code)
    }
    assert.equal(answers[0], 0)
    assert.equal(answers.at(-1), 1414)
  })

  test('what is not there', async () => {
    assert.equal((await ask('GET', '/no-such-id')).code, 1415)
    assert.equal((await ask('PUT', '/no-such-id')).code, 7003)
    assert.equal((await ask('GET', '/a/b/c')).code, 7003)
  })

  test('one that is used is not deleted, and says by whom', async () => {
    const id = await upload()
    deployed.set(workerName.parse('first'), [entryOf(id)])
    deployed.set(workerName.parse('second'), [
      { type: 'plain_text', name: 'T', text: id },
      entryOf(id),
    ])
    deployed.set(workerName.parse('third'), [{ type: 'plain_text', name: 'T', text: id }])
    const answer = await ask('DELETE', `/${id}`)
    assert.deepEqual([answer.status, answer.code], [409, 1416])
    assert.match(answer.message, /used by the Workers first, second\./)
    assert.deepEqual((await ask('GET', `/${id}/associations`)).result, [
      { service: 'workers/first', status: 'active' },
      { service: 'workers/second', status: 'active' },
    ])
    deployed.clear()
    assert.deepEqual((await ask('GET', `/${id}/associations`)).result, [])
    assert.equal((await ask('DELETE', `/${id}`)).status, 200)
  })
})

suite('a binding to a certificate', () => {
  test('needs one that is there, and is no authority', async () => {
    const id = await upload()
    assert.deepEqual(await live.admit?.(entryOf(id), owner), entryOf(id))
    assert.deepEqual(await live.prepare?.(entryOf(id), owner), entryOf(id))
    const ca = await ask('POST', '', json({ certificates: authority.cert, ca: true }))
    const gone = '5b3e9dd2-5fc5-4b10-a3e2-0aeb9c8d7b11'
    for (const step of ['admit', 'prepare'] as const) {
      const take = async (of: string): Promise<unknown> => live[step]?.(entryOf(of), owner)
      await assert.rejects(take(gone), { code: 1418, status: 400 })
      await assert.rejects(take(String(ca.result.id)), { code: 1419 })
    }
    await assert.rejects(async () => live.clientCertificates?.keyPair(account, ca.result.id), {
      code: 1415,
    })
  })

  test('becomes a way out', () => {
    const version = { id: 'v', tag: '', createdAt: '' }
    const wire = { type: 'exit', certificate: 'some-id' }
    const entry = mtlsCertificate.parse({ ...entryOf('some-id'), remote: true })
    assert.deepEqual(mtlsCertificate.wiring(entry, version), wire)
    for (const id of [undefined, '', 7, 'x'.repeat(101)]) {
      assert.throws(() => mtlsCertificate.parse({ ...entryOf('x'), certificate_id: id }))
    }
  })

  test('gives out the key pair, which no file has in the clear', async () => {
    const { cert, key } = await authority.issue(['secret.test'])
    const id = await upload({ certificates: cert, private_key: key })
    const pair = await live.clientCertificates?.keyPair(account, id)
    assert.deepEqual(pair, { certificates: cert.trim() + '\n', privateKey: key })
    const line = key.split('\n')[1] ?? assert.fail()
    for (const name of await readdir(folder.path, { recursive: true })) {
      const bytes = await readFile(join(folder.path, name)).catch(() => Buffer.alloc(0))
      assert.ok(!bytes.includes(line), name)
      assert.ok(!bytes.includes(Buffer.from(line, 'base64')), name)
    }
  })

  test('the log warns of those in use that expire, every day', async () => {
    const [soon, later] = [await upload({ name: 'soon' }, 3), await upload({ name: 'later' }, 40)]
    const idle = await upload({}, 3)
    deployed.set(workerName.parse('w'), [entryOf(soon), entryOf(later)])
    const warned = () =>
      logged.map(({ message, fields }) => [message, fields['name'], fields['workers']])
    const dayMs = 86_400_000
    logged.length = 0
    clock.moveBy(dayMs)
    await eventually(async () => logged.length > 0)
    assert.deepEqual(warned(), [['a client certificate in use expires soon', 'soon', 'w']])
    assert.ok(!JSON.stringify(logged).includes(idle))
    logged.length = 0
    await eventually(async () => {
      clock.moveBy(dayMs)
      return logged.some(({ message }) => message.endsWith('has expired'))
    })
    const last = logged.at(-1)
    assert.deepEqual([last?.fields['certificate'], last?.fields['account']], [soon, account])
    assert.equal((await live.clientCertificates?.keyPair(account, soon)) !== undefined, true)
  })
})
