import assert from 'node:assert/strict'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, before, beforeEach, suite, test } from 'node:test'
import type { Log } from '#contract/ports/log.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { type Authority, makeAuthority } from '#test/certificates.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { type Certificates, openCertificates } from './certificates.ts'

let authority: Authority
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let certificates: Certificates | undefined
let warnings: string[] = []

const log: Log = {
  debug() {},
  info() {},
  warn: (message, fields) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
  error() {},
  child: () => log,
}

async function open(): Promise<Certificates> {
  certificates = await openCertificates({ directory: folder.path, clock: systemClock, log })
  return certificates
}

async function write(name: string, hosts: readonly string[], days?: number): Promise<void> {
  const { cert, key } = await authority.issue(hosts, days)
  await writeFile(join(folder.path, `${name}.key`), key)
  await writeFile(join(folder.path, `${name}.crt`), cert)
}

suite('a folder of certificates', () => {
  before(async () => {
    authority = await makeAuthority()
  })
  beforeEach(async () => {
    folder = await temporaryFolder()
    warnings = []
  })
  afterEach(async () => {
    certificates?.[Symbol.dispose]()
    certificates = undefined
    await folder[Symbol.asyncDispose]()
  })

  test("pairs, files of both, a certbot's links and our own are found", async () => {
    await write('a', ['a.test'])
    const both = await authority.issue(['b.test'])
    await writeFile(join(folder.path, 'b.pem'), `${both.key}\n${both.cert}`)
    const archive = join(folder.path, 'archive')
    await mkdir(archive)
    await mkdir(join(folder.path, 'c'))
    const bots = await authority.issue(['c.test'])
    await writeFile(join(archive, 'cert1.pem'), bots.cert)
    await writeFile(join(archive, 'key1.pem'), bots.key)
    await symlink(join(archive, 'cert1.pem'), join(folder.path, 'c', 'fullchain.pem'))
    await symlink(join(archive, 'key1.pem'), join(folder.path, 'c', 'privkey.pem'))
    await mkdir(join(folder.path, 'acme'))
    const own = await authority.issue(['d.test'])
    await writeFile(join(folder.path, 'acme', 'd.test.pem'), `${own.key}\n${own.cert}`)
    await writeFile(join(folder.path, 'README'), 'not a certificate')
    await writeFile(join(folder.path, 'lonely.key'), 'not looked at')
    const found = await open()
    for (const [host, name] of [
      ['a.test', 'a'],
      ['b.test', 'b'],
      ['c.test', 'c'],
      ['d.test', 'acme/d.test'],
    ] as const) {
      assert.equal(found.find(host)?.name, name)
      assert.equal(found.contextFor(host), found.find(host)?.context)
    }
    assert.equal(found.find('e.test'), undefined)
    assert.equal(found.contextFor('e.test'), found.find('a.test')?.context)
    assert.deepEqual(warnings, [])
  })

  test('an empty folder is told of, and a missing one refused', async () => {
    const found = await open()
    assert.equal(found.contextFor('a.test'), undefined)
    assert.match(warnings.join(), /there is no certificate/)
    await assert.rejects(
      openCertificates({ directory: join(folder.path, 'x'), clock: systemClock, log }),
    )
  })

  test('what changes is in use soon, by itself', async () => {
    const found = await open()
    const fallbacks: string[] = []
    found.follow(({ hosts }) => void fallbacks.push(hosts.join()))
    await write('a', ['a.test'])
    await eventually(() => found.find('a.test') !== undefined, 3_000)
    await write('a', ['b.test'])
    await eventually(() => found.find('b.test') !== undefined, 3_000)
    assert.equal(found.find('a.test'), undefined)
    await rm(join(folder.path, 'a.crt'))
    await eventually(() => found.find('b.test') === undefined, 3_000)
    assert.deepEqual(fallbacks, ['a.test', 'b.test'])
  })

  test('a pair that is half written leaves the one before in use, and is told of once', async () => {
    await write('a', ['a.test'])
    const found = await open()
    const { cert, key } = await authority.issue(['new.test'])
    await writeFile(join(folder.path, 'a.crt'), cert)
    await found.refresh()
    await found.refresh()
    assert.ok(found.find('a.test'))
    assert.equal(warnings.length, 1, warnings.join('\n'))
    assert.match(
      warnings[0] ?? '',
      /can't be used.*"a".*not that of the certificate.*the one before/,
    )
    await writeFile(join(folder.path, 'a.key.new'), key)
    await rename(join(folder.path, 'a.key.new'), join(folder.path, 'a.key'))
    await found.refresh()
    assert.ok(found.find('new.test'))
    assert.equal(found.find('a.test'), undefined)
    assert.equal(warnings.length, 1)
  })

  test('a broken pair does not keep others from being used', async () => {
    await writeFile(join(folder.path, 'broken.crt'), 'nonsense')
    await write('whole', ['a.test'])
    const found = await open()
    assert.ok(found.find('a.test'))
    assert.equal(found.contextFor('b.test'), found.find('a.test')?.context)
    assert.equal(warnings.length, 1)
  })
})
