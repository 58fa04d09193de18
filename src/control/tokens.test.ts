import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { accountId } from '#contract/ids.ts'
import { account, otherAccount } from '#test/backend.ts'
import { movableClock, openPorts } from '#test/ports.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { controlMigrations } from './control.ts'
import { Identities } from './identities.ts'
import { IdentityStore } from './identity-store.ts'
import { lastUsedMs } from './limits.ts'
import { demand, demandAccount, demandOfServer, type TokenGrant, Tokens } from './tokens.ts'

const start = Date.parse('2026-11-24T00:00:00Z')
const refused = { name: 'ApiError', code: 10000, status: 401 }

async function openTokens() {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await temporaryFolder())
  const clock = movableClock(start)
  const ports = stack.use(
    await openPorts({ path: join(path, 'db'), migrations: controlMigrations, clock }),
  )
  const store = new IdentityStore(ports.sql)
  const tokens = new Tokens({ ...ports, store })
  let published = 0
  const publish = async (): Promise<void> => void published++
  const identities = new Identities({ ...ports, store, tokens, publish })
  const owned = stack.move()
  return {
    clock,
    store,
    tokens,
    identities,
    published: () => published,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const grant: TokenGrant = { name: 'mine', account: null, permission: 'write', expiresAt: null }

function bearing(value: string): Headers {
  return new Headers({ authorization: `Bearer ${value}` })
}

suite('tokens', () => {
  test('a token opens the door in three spellings, and only its hash is kept', async () => {
    await using all = await openTokens()
    const { token, value } = await all.tokens.issue(grant)
    for (const headers of [
      bearing(value),
      new Headers({ authorization: `bearer   ${value}` }),
      new Headers({ 'x-auth-key': value, 'x-auth-email': 'me@example.com' }),
    ]) {
      assert.equal((await all.tokens.authenticate(headers)).id, token.id)
    }
    const stored = await all.store.token(token.id)
    assert.ok(!JSON.stringify(stored).includes(value.split('.')[1] ?? '?'))
    assert.equal(stored?.hash.length, 32)
  })

  test('anything else does not', async () => {
    await using all = await openTokens()
    const { value } = await all.tokens.issue(grant)
    const other = await all.tokens.issue(grant)
    const [id = '', secret = ''] = value.split('.')
    for (const wrong of [
      '',
      id,
      secret,
      `${id}.`,
      `${id}.${secret.slice(1)}`,
      `${id}.${secret}0`,
      `${id}.${secret.toUpperCase()}`,
      `${other.token.id}.${secret}`,
      `${'0'.repeat(32)}.${secret}`,
      ` ${value} x`,
      `${value}\u00e9`,
    ]) {
      if (wrong === `${id}.${secret.toUpperCase()}` && !/[a-f]/.test(secret)) continue
      await assert.rejects(all.tokens.authenticate(bearing(wrong)), refused, wrong)
    }
    await assert.rejects(all.tokens.authenticate(new Headers()), refused)
  })

  test('an expired one does not, to the millisecond; nor does a revoked one', async () => {
    await using all = await openTokens()
    const expiresAt = new Date(start + 1_000).toISOString()
    const { value } = await all.tokens.issue({ ...grant, expiresAt })
    all.clock.moveBy(999)
    await all.tokens.authenticate(bearing(value))
    all.clock.moveBy(1)
    await assert.rejects(all.tokens.authenticate(bearing(value)), refused)

    const revoked = await all.tokens.issue(grant)
    await all.store.revokeToken(revoked.token.id, new Date(all.clock.now()).toISOString())
    await assert.rejects(all.tokens.authenticate(bearing(revoked.value)), refused)
  })

  test('the last use is noted, and not at each use', async () => {
    await using all = await openTokens()
    const { token, value } = await all.tokens.issue(grant)
    const used = async (): Promise<string | null | undefined> =>
      (await all.store.token(token.id))?.lastUsedAt
    await all.tokens.authenticate(bearing(value))
    const first = await eventually(async () => (await used()) ?? undefined)
    all.clock.moveBy(lastUsedMs - 1)
    await all.tokens.authenticate(bearing(value))
    assert.equal(await used(), first)
    all.clock.moveBy(1)
    await all.tokens.authenticate(bearing(value))
    await eventually(async () => (await used()) !== first)
  })

  test('what a token allows', async () => {
    await using all = await openTokens()
    const ranks = ['read', 'write', 'admin'] as const
    for (const [has, permission] of ranks.entries()) {
      const { token } = await all.tokens.issue({ ...grant, permission })
      for (const [needs, demanded] of ranks.entries()) {
        const ask = (): void => demand(token, demanded)
        if (needs <= has) ask()
        else assert.throws(ask, { code: 10000, status: 403 })
      }
    }
    const { token } = await all.tokens.issue(grant)
    demandAccount(token, account)
    demandAccount({ ...token, account }, account)
    const elsewhere = (): void => demandAccount({ ...token, account }, otherAccount)
    assert.throws(elsewhere, { code: 10000, status: 403 })
  })

  test('the administrator of one account is none of the server', async () => {
    await using all = await openTokens()
    const { token } = await all.tokens.issue({ ...grant, permission: 'admin' })
    demandOfServer(token, 'admin')
    const bound = { ...token, account }
    demand(bound, 'admin')
    demandOfServer(bound, 'write')
    assert.throws(() => demandOfServer(bound, 'admin'), { code: 10000, status: 403 })
  })
})

suite('identities', () => {
  test('the first start makes an account and its administrator; later ones find both', async () => {
    await using all = await openTokens()
    const first = await all.identities.administrator(undefined)
    assert.deepEqual(await all.identities.administrator(first.token), first)
    assert.equal((await all.store.tokens({ offset: 0, limit: 10 })).total, 1)
    assert.equal((await all.store.account(first.account))?.isFirst, true)
  })

  test('a token that opens no door, or not all, is replaced', async () => {
    await using all = await openTokens()
    const first = await all.identities.administrator(undefined)
    const writer = await all.tokens.issue(grant)
    const bound = await all.tokens.issue({ ...grant, permission: 'admin', account: first.account })
    for (const known of ['', 'nonsense', writer.value, bound.value]) {
      const again = await all.identities.administrator(known)
      assert.equal(again.account, first.account)
      assert.notEqual(again.token, known)
      const token = await all.tokens.authenticate(bearing(again.token))
      assert.deepEqual([token.permission, token.account], ['admin', null])
    }
  })

  test('accounts are named after what they are called, each otherwise', async () => {
    await using all = await openTokens()
    await all.identities.administrator(undefined)
    const cases: readonly (readonly [name: string, subdomain: RegExp])[] = [
      ['Acme', /^acme$/],
      ['ACME', /^acme-[0-9a-f]{8}$/],
      ['Über uns & Co.', /^uber-uns-co$/],
      ['日本', /^a-[0-9a-f]{8}$/],
      ['---', /^a-[0-9a-f]{8}$/],
      [`${'x'.repeat(49)} y`, /^x{49}$/],
    ]
    for (const [name, subdomain] of cases) {
      const made = await all.identities.createAccount(name)
      assert.match(made.subdomain, subdomain)
      assert.equal(made.isFirst, false)
      assert.ok(accountId.safeParse(made.id).success)
    }
    assert.equal(all.published(), cases.length)
    const listed = await all.store.accounts(null, { offset: 1, limit: 2 })
    assert.equal(listed.total, cases.length + 1)
    assert.deepEqual(
      listed.items.map(({ name }) => name),
      ['Acme', 'ACME'],
    )
  })

  test('a subdomain belongs to one account', async () => {
    await using all = await openTokens()
    const one = await all.identities.createAccount('one')
    const two = await all.identities.createAccount('two')
    const taken = { code: 10031, status: 409 }
    await assert.rejects(all.identities.setSubdomain(two.id, one.subdomain), taken)
    await all.identities.setSubdomain(two.id, 'three')
    assert.equal((await all.store.account(two.id))?.subdomain, 'three')
    // Published for each that was made, and for the one that was renamed.
    assert.equal(all.published(), 3)
  })
})
