import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { temporaryFolder } from '#test/temporary.ts'
import {
  checkCompatibility,
  type Compatibility,
  defaultDate,
  experimentalFlags,
  newestDate,
  runtimeDate,
} from './compatibility.ts'
import * as limits from './limits.ts'

const today = Date.parse('2026-11-20T00:00:00.000Z')

suite('compatibility: checked', () => {
  const accepted: readonly (readonly [string, Partial<Compatibility>])[] = [
    ['nothing', {}],
    ['a date', { date: '2024-09-23' }],
    ['a leap day', { date: '2024-02-29' }],
    ['today', { date: '2026-11-20' }],
    ['flags', { date: '2026-11-20', flags: ['nodejs_compat', 'no_global_navigator'] }],
    ['a flag that nobody knows: the check will say so', { flags: ['no_such_flag'] }],
    ['a name that every object has', { flags: ['constructor'] }],
    ['flags without a date', { flags: ['nodejs_compat'] }],
    ['as many flags as allowed', { flags: Array(limits.compatibilityFlags).fill('a') }],
  ]
  for (const [title, { date, flags = [] }] of accepted) {
    test(title, () => checkCompatibility({ date, flags }, today))
  }

  const invalid = /^Invalid compatibility date: /
  const future = /^Can't set compatibility date in the future: /
  const refused: readonly (readonly [string, Partial<Compatibility>, RegExp])[] = [
    ['an empty date', { date: '' }, invalid],
    ['a day that February has not', { date: '2025-02-29' }, invalid],
    ['a thirteenth month', { date: '2025-13-01' }, invalid],
    ['a day zero', { date: '2025-01-00' }, invalid],
    ['a date without leading zeros', { date: '2025-1-1' }, invalid],
    ['a date with a time', { date: '2025-01-01T00:00:00Z' }, invalid],
    ['a date with a newline', { date: '2025-01-01\n' }, invalid],
    ['a date of five digits', { date: '12025-01-01' }, invalid],
    ['a word', { date: 'latest' }, invalid],
    ['tomorrow', { date: '2026-11-21' }, future],
    ['the last day of all', { date: '9999-12-31' }, future],
    ['too many flags', { flags: Array(limits.compatibilityFlags + 1).fill('a') }, /More than 100/],
    ['an experimental flag', { flags: ['experimental'] }, /flag experimental is experimental/],
    [
      'one among others',
      { flags: ['nodejs_compat', 'unsafe_module'] },
      /flag unsafe_module is exp/,
    ],
  ]
  for (const [title, { date, flags = [] }, message] of refused) {
    test(`refused: ${title}`, () => {
      assert.throws(() => checkCompatibility({ date, flags }, today), {
        name: 'ApiError',
        code: 10021,
        status: 400,
        message,
      })
    })
  }

  test('a day begins at midnight, universal time', () => {
    const compatibility = { date: '2026-11-20', flags: [] }
    checkCompatibility(compatibility, today)
    assert.throws(() => checkCompatibility(compatibility, today - 1), { message: future })
  })
})

suite('compatibility: the date to run with', () => {
  const cases: readonly (readonly [string, string | undefined, string])[] = [
    ['none: the oldest', undefined, defaultDate],
    ['an old one', '2022-01-01', '2022-01-01'],
    ['the newest', newestDate, newestDate],
    ['the day after', dayAfter(newestDate), newestDate],
    ['one of the far future', '9999-12-31', newestDate],
  ]
  for (const [title, date, expected] of cases) {
    test(title, () => assert.equal(runtimeDate(date), expected))
  }
})

suite('compatibility: held against the binary', () => {
  const beyond = /newest date supported by this server binary is "([^"]+)"/

  test('the newest date is taken, the day after is not', async () => {
    assert.doesNotMatch(await complaints({ date: newestDate, flags: [] }), beyond)
    const [, newest] =
      beyond.exec(await complaints({ date: dayAfter(newestDate), flags: [] })) ?? []
    assert.equal(newest, newestDate)
  })

  test('the default date is taken', async () => {
    assert.equal(await complaints({ date: defaultDate, flags: [] }), '')
  })

  // workerd says of each flag what is wrong with it. Every word that its file has in the place of
  // a name is asked: a flag that a new version brings is among them.
  test('the experimental flags are those and no others', async () => {
    const binary = await readFile(workerdPath, 'latin1')
    const words = new Set(binary.match(/[a-z][a-z0-9_]{2,99}(?=\0)/g))
    const said = await complaints({ date: defaultDate, flags: [...words, 'no_such_flag'] })
    const unknown = new Set(matches(said, /No such compatibility flag: (\w+)/g))
    const known = [...words].filter((word) => !unknown.has(word))
    assert.ok(unknown.has('no_such_flag'))
    assert.ok(known.length > 300 && known.length < 1_000, `${known.length} flags`)
    const experimental = matches(said, /flag (\w+) is experimental .* must pass --experimental/g)
    assert.deepEqual(experimental.toSorted(), [...experimentalFlags].toSorted())
  })
})

const { default: workerdPath } = z
  .object({ default: z.string() })
  .parse(createRequire(import.meta.url)('workerd'))

/** What workerd has against a Worker without `--experimental`. It has nobody to serve, and ends. */
async function complaints({ date, flags }: { date: string; flags: string[] }): Promise<string> {
  await using folder = await temporaryFolder()
  const path = join(folder.path, 'config.capnp')
  await writeFile(
    path,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    compatibilityDate = "${date}",
    compatibilityFlags = ${JSON.stringify(flags)},
    modules = [(name = "worker.js", esModule = "export default {}")],
  ))],
);`,
  )
  const { promise, resolve } = Promise.withResolvers<string>()
  const options = { maxBuffer: 64 * 1024 * 1024, timeout: 30_000 }
  execFile(workerdPath, ['serve', path], options, (_error, _stdout, stderr) => resolve(stderr))
  const said = await promise
  for (const line of said.split('\n').slice(0, -1)) assert.match(line, /^service main: /)
  return said
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].flatMap((match) => match[1] ?? [])
}

function dayAfter(date: string): string {
  return new Date(Date.parse(date) + 24 * 60 * 60 * 1000).toISOString().slice(0, 10)
}
