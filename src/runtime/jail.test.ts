import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { firstUid, noJail } from '#test/jails.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { workerdPath } from './binary.ts'
import { startFixture } from './fixture.ts'
import { type Jail, openJail } from './jail.ts'
import { seccompProgram } from './seccomp.ts'
import { systemCalls } from './system-calls.ts'

const mebibyte = 1024 * 1024

/** Why jails can't be tested here, or `false`. */
function missing(): string | false {
  if (!existsSync('/usr/bin/cc')) return 'there is no C compiler for what tries to get out'
  return noJail()
}

suite('the list of system calls', () => {
  test('is short, and has no way to make a namespace, a key or a ring', () => {
    const names = Object.keys(systemCalls)
    assert.ok(names.length <= 140, `${names.length}`)
    const never =
      'ptrace mount unshare setns bpf keyctl add_key io_uring_setup userfaultfd kill perf_event_open'
    for (const name of never.split(' ')) assert.ok(!names.includes(name), name)
  })

  for (const architecture of ['x64', 'arm64'] as const) {
    test(`is a program that the kernel takes on ${architecture}`, () => {
      const { length } = seccompProgram(architecture)
      assert.equal(length % 8, 0)
      // BPF_MAXINSNS
      assert.ok(length / 8 < 4096)
    })
  }
})

suite('a jail', { skip: missing() }, () => {
  let jail: Jail
  let evil = ''
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let server: Server
  let abstract: Server

  before(async () => {
    folder = await temporaryFolder()
    const runDirectory = join(folder.path, 'run')
    const opened = openJail({ workerdPath, runDirectory, firstUid })
    if ('reason' in opened) return assert.fail(opened.reason)
    jail = opened
    evil = join(folder.path, 'evil')
    const source = fileURLToPath(new URL('./evil.c', import.meta.url))
    execFileSync('/usr/bin/cc', ['-static', '-O1', '-w', '-o', evil, source])
    await mkdir(join(runDirectory, 'other'), { recursive: true })
    await mkdir(join(folder.path, 'objects/other'), { recursive: true })
    await writeFile(join(folder.path, 'objects/other/file'), 'secret')
    server = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => server.listen(join(runDirectory, 'other/b'), resolve))
    abstract = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => abstract.listen('\0bindery-test-abstract', resolve))
  })
  after(async () => {
    jail?.[Symbol.dispose]()
    server?.close()
    abstract?.close()
    await folder?.[Symbol.asyncDispose]()
  })

  let runs = 0
  /** Runs one attempt in a jail of its own, and says how it ended: its exit code, 128 + a signal. */
  async function attempt(words: readonly string[], memoryBytes = 256 * mebibyte): Promise<number> {
    runs += 1
    const own = join(folder.path, 'run', runs.toString(16).padStart(12, '0'))
    const objects = join(folder.path, 'objects', String(runs))
    await mkdir(own, { recursive: true })
    await mkdir(objects)
    await copyFile(evil, join(own, 'evil'))
    await using configuration = await open('/dev/null')
    const spawned = await jail.spawn({
      account: undefined,
      folder: own,
      objects: [objects],
      shared: [],
      limits: { memoryBytes, atLimit: 'kill' },
      environment: { PATH: '/bin' },
      configuration: { fd: configuration.fd, chown: async () => {} },
      program: [
        join(own, 'evil'),
        ...words.map((word) => word.replace('OWN', own).replace('OBJECTS', objects)),
      ],
    })
    const code = await new Promise<number>((resolve) => {
      spawned.child.once('close', (status) => resolve(status ?? -1))
    })
    await spawned.cleanUp()
    return code
  }

  const possible = [
    'nothing',
    'create OWN/file',
    'create OBJECTS/file',
    'create /tmp/file',
    'memory 64',
  ]
  for (const words of possible) {
    test(`lets a process do what it is for: ${words}`, async () => {
      assert.equal(await attempt(words.split(' ')), 0)
    })
  }

  const killed = 128 + 31
  const files = `read /etc/passwd|read /etc/shadow|list /home|list /root|list /work|list /run|list /var|list /sys
    |list /lib/modules|write /workerd|create /file|create /lib/file|create /dev/file|write /dev/sda|read /dev/kmsg
    |read /dev/mem|write /proc/sys/kernel/core_pattern|write /proc/sysrq-trigger|read /proc/kcore
    |write /proc/self/oom_score_adj_none|list RUN/other|read RUN/other/b|unix RUN/other/b|list OTHER|read OTHER/file
    |create OTHER/file|list /proc/3|read /proc/1/environ|list /proc/1/fd|read /proc/1/mem|list /proc/1/root|tgkill 1|abstract bindery-test-abstract|unix /run/systemd/private`
  const calls = `inet|inet6|packet|netlink|vsock|kill PARENT|tgkill PARENT|ptrace PARENT|ptrace 1|pidfd PARENT|peek PARENT
    |io_uring|mount|remount|umount|chroot|pivot|unshare|clone|clone3|setns|root|group|keyctl|add_key|bpf|userfaultfd
    |perf|handle|module|kexec|mknod|hostname|tiocsti|newer|fill|processes`
  for (const words of [...files.split('|'), ...calls.split('|')].map((text) => text.trim())) {
    test(`keeps a process from: ${words}`, async () => {
      const filled = words
        .replace('RUN', join(folder.path, 'run'))
        .replace('OTHER', join(folder.path, 'objects/other'))
        .replace('PARENT', String(process.pid))
      assert.ok([1, killed].includes(await attempt(filled.split(' '))))
    })
  }

  test('ends a process that takes more memory than it may', async (t) => {
    if (jail.isolation.cgroup === 'none') return t.skip('no control groups can be made here')
    assert.equal(await attempt(['memory', '300'], 512 * mebibyte), 0)
    assert.equal(await attempt(['memory', '300'], 128 * mebibyte), 128 + 9)
  })

  test('gives files away to somebody who is not root', async () => {
    await attempt(['create', 'OBJECTS/file'])
    const { uid } = await stat(join(folder.path, 'objects', String(runs), 'file'))
    assert.notEqual(uid, 0)
  })

  test('is what cells are in by themselves, and what checks are in', async () => {
    await using fixture = await startFixture()
    assert.equal(fixture.host.isolation.mode, 'jail')
    assert.ok(!fixture.log.some(({ message }) => message.includes('not jailed')))
    // Without limits this is more than a gigabyte by the time that a check may take.
    const bomb = 'const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1))'
    const report = await fixture.check('bomb', { code: `${bomb}\nexport default {}` })
    assert.equal(report.ok, false)
  })

  test('that is insisted on, and does not work, is told to the operator', async () => {
    const isolation = { mode: 'jail', firstUid } as const
    await assert.rejects(startFixture({ isolation, workerdPath: '/bin/false' }), {
      name: 'OperatorError',
      message: /^Cells can't be jailed here \(--isolation=jail\): /,
    })
  })

  test('leaves no control group', async () => {
    const left = await readdir('/sys/fs/cgroup', { recursive: true }).catch(() => [])
    assert.deepEqual(
      left.filter((path) => /\/bindery-[0-9a-f]{12}\/0{8}/.test(path)),
      [],
    )
  })
})
