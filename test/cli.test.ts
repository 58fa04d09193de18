import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { bindery } from '#test/command.ts'
import { ask, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer, withoutOurs } from '#test/server.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'

// The command line as an operator meets it.

const root = fileURLToPath(new URL('..', import.meta.url))

const free = ['--listen', '127.0.0.1:0', '--api', '127.0.0.1:0']

suite('what an operator can get wrong: one sentence and exit code 1', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
  })
  after(() => server[Symbol.asyncDispose]())

  const cases: Readonly<
    Record<string, (folder: string) => Promise<readonly [readonly string[], RegExp]>>
  > = {
    'the visitors’ port is in use': async (folder) => [
      ['--data', folder, '--listen', `127.0.0.1:${server.visitorPort}`, '--api', '127.0.0.1:0'],
      /another program does\. Name another address with --listen\./,
    ],
    'the API’s port is in use': async (folder) => [
      ['--data', folder, '--listen', '127.0.0.1:0', '--api', new URL(server.apiUrl).host],
      /another program does\. Name another address with --api\./,
    ],
    'an address of another machine': async (folder) => [
      ['--data', folder, '--listen', '192.0.2.1:0', '--api', '127.0.0.1:0'],
      /192\.0\.2\.1.* can't be listened on: /,
    ],
    'a second server on the same data': async () => [
      ['--data', server.dataDirectory, ...free],
      /Another server runs on .*Stop it, or name another directory with --data\./,
    ],
    'a data directory below a file': async (folder) => {
      await writeFile(join(folder, 'file'), '')
      return [['--data', join(folder, 'file', 'data'), ...free], /can't be written .*--data/]
    },
    'a data directory that is a broken link': async (folder) => {
      await symlink(join(folder, 'nowhere', 'else'), join(folder, 'link'))
      return [['--data', join(folder, 'link'), ...free], /can't be written .*--data/]
    },
    'a port that is none': async () => [['--listen', 'x:99999'], /--listen must be HOST:PORT/],
    'a flag that is none': async () => [['--prot', '1'], /Unknown option '--prot'/],
    'a proxy that is none': async (folder) => [
      ['--data', folder, '--trusted-proxies', 'nginx', ...free],
      /--trusted-proxies: "nginx" is not an address/,
    ],
    'a domain that is none': async () => [['--domain', 'a b'], /--domain must be a host name/],
  }
  for (const [title, prepare] of Object.entries(cases)) {
    test(title, async () => {
      await using folder = await temporaryFolder()
      const [args, message] = await prepare(folder.path)
      const ended = await bindery(['serve', ...args])
      assert.match(ended.stderr, message)
      assert.equal(ended.stderr.trimEnd().split('\n').length, 1, ended.stderr)
      assert.equal(ended.code, 1)
    })
  }

  test('a master key of another server', async () => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'data')
    await using other = await startTestServer({
      environment: { BINDERY_MASTER_KEY: '1'.repeat(64) },
    })
    await other.stop()
    const ended = await bindery(['serve', '--data', other.dataDirectory, ...free], {
      BINDERY_MASTER_KEY: '2'.repeat(64),
    })
    assert.match(ended.stderr, /master key/i)
    assert.equal(ended.code, 1)
    const malformed = await bindery(['serve', '--data', data, ...free], { BINDERY_MASTER_KEY: 'x' })
    assert.match(malformed.stderr, /BINDERY_MASTER_KEY|master key/i)
    assert.equal(malformed.code, 1)
  })

  test('a verb that is none, and help', async () => {
    const wrong = await bindery(['sreve'])
    assert.match(wrong.stderr, /There is no verb "sreve"\. Try: bindery help/)
    assert.equal(wrong.code, 1)
    const help = await bindery(['help'])
    assert.match(help.stdout, /bindery serve .*\n[\s\S]*BINDERY_DATA[\s\S]*bindery token create/)
    assert.equal(help.code, 0)
  })

  test('no server to talk to', async () => {
    await using folder = await temporaryFolder()
    const none = await bindery(['token', 'list', '--data', folder.path])
    assert.match(none.stderr, /name the data directory of a server with --data/)
    assert.equal(none.code, 1)
  })
})

suite('serve', () => {
  test('writes admin.env for the owner alone, with all that a client needs', async () => {
    await using server = await startTestServer()
    const path = join(server.dataDirectory, 'admin.env')
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    const names = (await readFile(path, 'utf8')).split('\n').map((line) => line.split('=')[0])
    assert.deepEqual(names, [
      'CLOUDFLARE_API_BASE_URL',
      'CLOUDFLARE_API_TOKEN',
      'CLOUDFLARE_ACCOUNT_ID',
      'CLOUDFLARE_BASE_URL',
      'WRANGLER_SEND_METRICS',
      '',
    ])
    assert.equal((await stat(join(server.dataDirectory, 'master.key'))).mode & 0o777, 0o600)
  })

  test('keeps account and token over restarts; exits 0 on SIGTERM', async () => {
    await using server = await startTestServer()
    const { CLOUDFLARE_API_TOKEN: token, CLOUDFLARE_ACCOUNT_ID: account } = server.environment
    await server.restart()
    assert.equal(server.environment['CLOUDFLARE_API_TOKEN'], token)
    assert.equal(server.environment['CLOUDFLARE_ACCOUNT_ID'], account)
    assert.equal((await ask(placeOf(server), 'GET', '/user/tokens/verify')).status, 200)
    await server.stop()
  })

  test('works where the path is too long for sockets', async () => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'd'.repeat(60), 'e'.repeat(60))
    await mkdir(data, { recursive: true })
    const child = spawn(process.execPath, ['src/cli/main.ts', 'serve', '--data', data, ...free], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...withoutOurs(process.env), NODE_NO_WARNINGS: '1' },
    })
    const exited = new Promise((resolve) => child.once('close', resolve))
    let said = ''
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes('"ready"')) resolve()
      })
      void exited.then(() => resolve())
    })
    child.kill('SIGTERM')
    assert.equal(await exited, 0, said)
  })

  test('a SIGTERM during the start is not lost', async () => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'data')
    const child = spawn(process.execPath, ['src/cli/main.ts', 'serve', '--data', data, ...free], {
      cwd: root,
      stdio: 'ignore',
      env: { ...withoutOurs(process.env), NODE_NO_WARNINGS: '1' },
    })
    const exited = new Promise((resolve) => child.once('close', resolve))
    await eventually(() => existsSync(join(data, 'lock')))
    child.kill('SIGTERM')
    assert.equal(await exited, 0)
  })

  test('says so when workerd is missing or can not run', async () => {
    // The same program on a copy of the packages' list that lacks the binary's own.
    await using folder = await temporaryFolder()
    const hook = join(folder.path, 'hide.mjs')
    await writeFile(
      hook,
      `import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
const real = fs.existsSync
fs.existsSync = (path) => !String(path).endsWith('bin/workerd') && real(path)
syncBuiltinESMExports()
`,
    )
    const ended = await bindery(['serve', '--data', join(folder.path, 'data'), ...free], {
      NODE_OPTIONS: `--import ${hook}`,
    })
    assert.match(ended.stderr, /^bindery: workerd is missing at .*\n$/)
    assert.equal(ended.code, 1)
  })
})

suite('token', () => {
  test('create, list, revoke', async () => {
    await using server = await startTestServer()
    const at = ['--data', server.dataDirectory]
    const made = await bindery(['token', 'create', '--name', 'ci', '--permission', 'read', ...at])
    assert.equal(made.code, 0, made.stderr)
    const place = { ...placeOf(server), token: made.stdout.trim() }
    assert.equal((await ask(place, 'GET', '~/workers/scripts')).status, 200)
    const refused = await ask(place, 'POST', '~/storage/kv/namespaces', { title: 'x' })
    assert.deepEqual([refused.status, refused.errors[0]?.code], [403, 10000])
    const listed = await bindery(['token', 'list', ...at])
    const row = listed.stdout.split('\n').find((line) => line.includes(' ci ')) ?? ''
    assert.match(row, /^[0-9a-f]{32} {2}ci +active +read +[0-9a-f]{32} +never$/)
    assert.ok(!listed.stdout.includes(place.token.split('.')[1] ?? '?'))
    const revoked = await bindery(['token', 'revoke', row.slice(0, 32), ...at])
    assert.equal(revoked.code, 0, revoked.stderr)
    assert.equal((await ask(place, 'GET', '~/workers/scripts')).status, 401)
    const twice = await bindery(['token', 'revoke', 'f'.repeat(32), ...at])
    assert.match(twice.stderr, /There is no such token\./)
    assert.equal(twice.code, 1)
  })

  test('an account of its own', async () => {
    await using server = await startTestServer()
    const at = ['--data', server.dataDirectory]
    const made = await bindery(['account', 'create', 'Team Ö', ...at])
    assert.equal(made.code, 0, made.stderr)
    const [id = ''] = made.stdout.split('\n')
    const token = await bindery(['token', 'create', '--account', id, ...at])
    const place = { ...placeOf(server), account: id, token: token.stdout.trim() }
    assert.equal((await ask(place, 'GET', '~/workers/scripts')).status, 200)
    const listed = await bindery(['account', 'list', ...at])
    assert.match(listed.stdout, /Team Ö +team-o/)
    const wrong = await bindery(['token', 'create', '--expires', 'tomorrow', ...at])
    assert.match(wrong.stderr, /expires_on/)
    assert.equal(wrong.code, 1)
  })
})

test('the environment says the same as the flags', async () => {
  await using folder = await temporaryFolder()
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const ended = await bindery(['serve', '--data', join(folder.path, 'd'), '--api', '127.0.0.1:0'], {
    BINDERY_LISTEN: `127.0.0.1:${port}`,
  })
  assert.match(ended.stderr, new RegExp(`127\\.0\\.0\\.1:${port} can't be listened on`))
  assert.equal(ended.code, 1)
  taken.close()
})
