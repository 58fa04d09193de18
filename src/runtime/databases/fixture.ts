import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { accountId } from '#contract/ids.ts'
import {
  DatabaseError,
  type DatabaseFailure,
  type DatabaseFile,
  type DatabaseFiles,
  type DatabaseReply,
} from '#contract/ports/databases.ts'
import { openBlobs } from '#drivers/blob/fs/driver.ts'
import { systemClock } from '#drivers/clock/system/driver.ts'
import { historyMigrations, openHistory } from '#drivers/history/local/driver.ts'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { systemRandom } from '#drivers/random/system/driver.ts'
import { openSqlite } from '#drivers/sql/sqlite/driver.ts'
import { readMigrations } from '#drivers/sql/sqlite/migrations.ts'
import { workerdPath } from '#runtime/binary.ts'
import { type Jail, openJail } from '#runtime/jail.ts'
import { firstUid } from '#test/jails.ts'
import { eventually, temporaryFolder } from '#test/temporary.ts'
import { openDatabases } from './databases.ts'
import type { DatabaseOptions } from './host-options.ts'
import { objectIdOf } from './paths.ts'

// Database cells as they are, with D1's engine and a real history, for the tests of this folder.

const product = 'd1'
const account = accountId.parse('a'.repeat(32))
const engine = new URL('../../bindings/d1/engine.worker.ts', import.meta.url)

const logged = z.looseObject({ message: z.string() })
type Logged = z.output<typeof logged>

export type FixtureOptions = Partial<
  Pick<DatabaseOptions, 'limits' | 'sleepMs' | 'workerdPath'>
> & {
  readonly isJailed?: boolean
  /** Instead of a folder of its own, which is removed. */
  readonly path?: string
}

export interface DatabasesFixture extends AsyncDisposable {
  readonly files: DatabaseFiles
  readonly path: string
  /** Messages of what was logged as a warning or worse. */
  readonly log: readonly Logged[]
  /** Where a file is on disk. */
  pathOf(file: DatabaseFile): string
  /** Ids of the processes that have a file open. */
  pidsOf(file: DatabaseFile): Promise<readonly number[]>
  /** SIGKILL to the process that has a file open, once there is one. */
  kill(file: DatabaseFile): Promise<void>
  /** Ends all of it, but for its folder. */
  stop(): Promise<void>
}

export async function startDatabases(options: FixtureOptions = {}): Promise<DatabasesFixture> {
  await using stack = new AsyncDisposableStack()
  const path = options.path ?? stack.use(await temporaryFolder()).path
  const closing = stack.use(new AsyncDisposableStack())
  const log: Logged[] = []
  const system = {
    log: jsonLog({
      write: (line) => void log.push(logged.parse(JSON.parse(line))),
      level: 'warn',
      now: Date.now,
    }),
    clock: systemClock,
    random: systemRandom,
  }
  await mkdir(path, { recursive: true })
  const runDirectory = join(path, 'run')
  const sql = closing.use(
    await openSqlite({
      path: join(path, 'history.db'),
      migrations: await readMigrations(historyMigrations),
      log: system.log,
    }),
  )
  const blob = await openBlobs({ path: join(path, 'segments') })
  const history = closing.use(openHistory({ ...system, sql, blob, path: join(path, 'journals') }))
  const jail = options.isJailed === true ? closing.use(jailIn(runDirectory)) : undefined
  const root = join(path, 'databases')
  const databases = closing.use(
    openDatabases({
      workerdPath,
      ...options,
      ...system,
      startTimeoutMs: 20_000,
      history,
      path: root,
      runDirectory,
      jail: async () => jail,
    }),
  )
  const owned = stack.move()
  const pathOf = (file: DatabaseFile): string =>
    join(root, file.account, product, `${objectIdOf(product, file)}.sqlite`)
  return {
    files: databases.open({ name: product, engine }),
    path,
    log,
    pathOf,
    pidsOf: (file) => pidsThatHave(`${objectIdOf(product, file)}.sqlite`),
    async kill(file) {
      const pids = await eventually(async () => {
        const found = await pidsThatHave(`${objectIdOf(product, file)}.sqlite`)
        return found.length > 0 && found
      })
      for (const pid of pids) process.kill(pid, 'SIGKILL')
    },
    stop: () => closing.disposeAsync(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function jailIn(runDirectory: string): Jail {
  const jail = openJail({ workerdPath, runDirectory, firstUid })
  return 'reason' in jail ? assert.fail(jail.reason) : jail
}

/** Processes of workerd that have a file open. */
async function pidsThatHave(name: string): Promise<readonly number[]> {
  const found: number[] = []
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry)
    const command = pid > 0 ? await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '') : ''
    if (command.trim() !== 'workerd') continue
    const numbers = await readdir(`/proc/${pid}/fd`).catch(() => [])
    const links = await Promise.all(
      numbers.map((number) => readlink(`/proc/${pid}/fd/${number}`).catch(() => '')),
    )
    if (links.some((link) => link.endsWith(`/${name}`))) found.push(pid)
  }
  return found
}

/** A file of a name's own. Those of the same cell number share a process, of two at least. */
export function fileOf(name: string, cell = 0, generation = 1): DatabaseFile {
  const rest = createHash('sha256').update(name).digest('hex').slice(0, 24)
  return { account, database: cell.toString(16).padStart(8, '0') + rest, generation }
}

export type Statement = { readonly sql: string; readonly params?: readonly unknown[] }

export function callOf(told: Statement | readonly Statement[]): Uint8Array {
  return Buffer.from(`q${JSON.stringify(told)}`)
}

export type Answer =
  | { readonly rows: readonly (readonly unknown[])[]; readonly bookmark: string }
  | { readonly error: string }

/** What the engine says to a statement: rows of the last, or its words. */
export async function ask(
  { files }: Pick<DatabasesFixture, 'files'>,
  file: DatabaseFile,
  ...told: readonly string[]
): Promise<Answer> {
  const [only = ''] = told
  const statements = told.map((sql) => ({ sql }))
  return answerOf(await files.call(file, callOf(told.length === 1 ? { sql: only } : statements)))
}

/** Rows of the last statement of a call that succeeds. */
export async function rows(
  fixture: Pick<DatabasesFixture, 'files'>,
  file: DatabaseFile,
  ...told: readonly string[]
): Promise<readonly (readonly unknown[])[]> {
  const answer = await ask(fixture, file, ...told)
  return 'rows' in answer ? answer.rows : assert.fail(answer.error)
}

const replied = z.union([
  z.object({ error: z.string() }),
  z.array(z.object({ results: z.object({ rows: z.array(z.array(z.unknown())) }) })),
])

export function answerOf({ reply, bookmark }: DatabaseReply): Answer {
  const told = replied.parse(JSON.parse(new TextDecoder().decode(reply)))
  if ('error' in told) return { error: told.error }
  return { rows: told.at(-1)?.results.rows ?? [], bookmark }
}

export const table = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)'

export function insertOf(a: string | number): string {
  return `INSERT INTO t (a) VALUES (${a})`
}

/** What was inserted, in order. */
export async function all(
  fixture: Pick<DatabasesFixture, 'files'>,
  file: DatabaseFile,
): Promise<readonly unknown[]> {
  return (await rows(fixture, file, 'SELECT a FROM t ORDER BY id')).flat()
}

export function bookmarkOf(answer: Answer): string {
  return 'bookmark' in answer ? answer.bookmark : assert.fail(answer.error)
}

/** For `assert.rejects`. */
export function failsWith(
  reason: DatabaseFailure,
  isRetryable?: boolean,
): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof DatabaseError, String(error))
    assert.equal(error.reason, reason)
    if (isRetryable !== undefined) assert.equal(error.isRetryable, isRetryable)
    return true
  }
}
