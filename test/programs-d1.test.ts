import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { z } from 'zod'
import { Wrangler } from '#test/clients.ts'
import { drizzleAnswer, kyselyAnswer, prismaAnswer } from '#test/programs-d1-answers.ts'
import { type Visit, withoutOurs } from '#test/server.ts'

// What people have before D1, as npm has it, in one Worker, bundled and deployed by wrangler: drizzle, kysely,
// Prisma, better-auth.

const clients = fileURLToPath(new URL('clients', import.meta.url))
const wrangler = new Wrangler('4.164')
const name = 'd1'

before(async () => {
  await wrangler.start()
  const project = join(wrangler.server.folder, name)
  await symlink(join(clients, 'node_modules'), join(wrangler.server.folder, 'node_modules'))
  await cp(join(clients, 'programs', name), project, { recursive: true })
  await generatePrisma(project)
  await wrangler.ok(['deploy'], { cwd: name })
  const apply = ['d1', 'migrations', 'apply', 'DRIZZLE', '--remote']
  await wrangler.ok(apply, { cwd: name })
})
after(() => wrangler[Symbol.asyncDispose]())

/** Its schema engine, which has to be fetched, has no part in this. */
async function generatePrisma(cwd: string): Promise<void> {
  const program = join(clients, 'node_modules/prisma/build/index.js')
  const settings = { PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', CHECKPOINT_DISABLE: '1', HOME: cwd }
  const env = { ...withoutOurs(process.env), ...settings }
  await promisify(execFile)(process.execPath, [program, 'generate'], { cwd, env })
}

async function json(path: string, visit: Visit = {}): Promise<unknown> {
  const response = await wrangler.server.visit(name, path, visit)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return JSON.parse(text)
}

test('drizzle-orm: migrations of wrangler, queries, batches, relations', async () => {
  assert.deepEqual(await json('/drizzle'), drizzleAnswer)
})

test('kysely: its migrations, up and down, what it finds in the schema, and queries', async () => {
  assert.deepEqual(await json('/kysely'), kyselyAnswer)
})

test('Prisma: every type, nested writes, relations, and the codes of its errors', async () => {
  assert.deepEqual(await json('/prisma'), prismaAnswer)
})

suite('better-auth', () => {
  const email = 'ann@example.com'
  const password = 'correct horse'

  async function ask(path: string, body?: object, cookie = '') {
    const origin = `http://${name}.localhost`
    const response = await wrangler.server.visit(name, `/api/auth${path}`, {
      method: body ? 'POST' : 'GET',
      headers: { origin, cookie, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
    const told: unknown = await response.json()
    const [set = ''] = response.headers.getSetCookie()
    return { status: response.status, told, cookie: set.split(';')[0] ?? '' }
  }

  /** Whose session it is. */
  async function who(cookie: string): Promise<string | undefined> {
    const { status, told } = await ask('/get-session', undefined, cookie)
    assert.equal(status, 200)
    return z
      .object({ user: z.object({ email: z.string() }) })
      .nullable()
      .parse(told)?.user.email
  }

  const users = (): Promise<unknown> => json('/auth')

  test('its tables are made once', async () => {
    assert.deepEqual(await json('/auth', { method: 'POST' }), [4, 0])
  })

  test('a user signs up, once', async () => {
    const made = await ask('/sign-up/email', { email, password, name: 'Ann' })
    assert.equal(made.status, 200)
    assert.equal(await who(made.cookie), email)
    const again = await ask('/sign-up/email', { email, password, name: 'Ann' })
    assert.equal(again.status, 422)
    assert.deepEqual(await users(), [[email, 1]])
  })

  test('signs in, has a session, and signs out', async () => {
    const made = await ask('/sign-in/email', { email, password })
    assert.equal(made.status, 200)
    assert.equal(await who(made.cookie), email)
    assert.deepEqual(await users(), [[email, 2]])
    assert.equal((await ask('/sign-out', {}, made.cookie)).status, 200)
    assert.equal(await who(made.cookie), undefined)
    assert.deepEqual(await users(), [[email, 1]])
  })

  test('nobody else does', async () => {
    for (const wrong of [
      { email, password: 'wrong horse' },
      { email: 'ben@example.com', password },
    ]) {
      assert.equal((await ask('/sign-in/email', wrong)).status, 401)
    }
    assert.equal(await who(''), undefined)
    assert.equal(await who('better-auth.session_token=made.up'), undefined)
    assert.deepEqual(await users(), [[email, 1]])
  })
})
