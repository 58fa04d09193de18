import assert from 'node:assert/strict'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { OperatorError } from '#contract/errors.ts'
import { accountId } from '#contract/ids.ts'
import { sql } from '#contract/ports/sql.ts'
import type { Sql } from '#contract/ports/sql.ts'
import { vaultSuite } from '#contract/ports/vault.suite.ts'
import { jsonLog } from '#drivers/log/json/driver.ts'
import { openSqlite } from '#drivers/sql/sqlite/driver.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { openVault, vaultMigrations } from './driver.ts'

const folder = await temporaryFolder()
const databases: Sql[] = []
after(async () => {
  for (const database of databases) await database[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})
const log = jsonLog({ write: (line) => process.stderr.write(line), level: 'warn', now: Date.now })
const account = accountId.parse('a'.repeat(32))
let files = 0

async function newDatabase(): Promise<{ database: Sql; masterKeyPath: string }> {
  const path = join(folder.path, `${files++}`)
  const text = await readFile(new URL('0001.sql', vaultMigrations), 'utf8')
  const migrations = [{ id: '0001', text }]
  const database = await openSqlite({ path: `${path}.db`, migrations, log })
  databases.push(database)
  return { database, masterKeyPath: `${path}.key` }
}

vaultSuite('local', async () => {
  const { database, masterKeyPath } = await newDatabase()
  return openVault({ sql: database, masterKeyPath })
})

suite('local: the master key', () => {
  test('is made for its owner alone, and used again', async () => {
    const { database, masterKeyPath } = await newDatabase()
    const first = await openVault({ sql: database, masterKeyPath })
    assert.equal((await stat(masterKeyPath)).mode & 0o777, 0o600)
    const sealed = await first.seal(account, 'secret', 'c')
    const second = await openVault({ sql: database, masterKeyPath })
    assert.equal(await second.open(account, sealed, 'c'), 'secret')
    const masterKey = (await readFile(masterKeyPath, 'utf8')).trim()
    for (const key of [masterKey, Buffer.from(masterKey, 'hex').toString('base64')]) {
      await rm(masterKeyPath, { force: true })
      const third = await openVault({ sql: database, masterKeyPath, masterKey: key })
      assert.equal(await third.open(account, sealed, 'c'), 'secret')
    }
  })

  test('that is another is refused, and so is one that went missing', async () => {
    const { database, masterKeyPath } = await newDatabase()
    await openVault({ sql: database, masterKeyPath })
    await rm(masterKeyPath)
    await assert.rejects(openVault({ sql: database, masterKeyPath }), OperatorError)
    await assert.rejects(stat(masterKeyPath))
    await writeFile(masterKeyPath, '00'.repeat(32))
    await assert.rejects(openVault({ sql: database, masterKeyPath }), OperatorError)
  })

  for (const text of [
    '',
    'abc',
    '00'.repeat(31),
    '00'.repeat(33),
    'zz'.repeat(32),
    'A'.repeat(42),
  ]) {
    test(`${text.length} characters ${text.slice(0, 3)} are no key, and not shown`, async () => {
      const { database, masterKeyPath } = await newDatabase()
      await assert.rejects(
        openVault({ sql: database, masterKeyPath, masterKey: text }),
        (error) => error instanceof OperatorError && (text === '' || !error.message.includes(text)),
      )
    })
  }

  test('is not in the database, nor is any data key', async () => {
    const { database, masterKeyPath } = await newDatabase()
    const vault = await openVault({ sql: database, masterKeyPath })
    const sealed = await vault.seal(account, 'secret', 'c')
    const rows = await database.read(sql`SELECT wrapped FROM data_key`)
    assert.equal(rows.length, 1)
    const other = await newDatabase()
    const stranger = await openVault({ sql: other.database, masterKeyPath: other.masterKeyPath })
    await stranger.seal(account, 'x', 'c')
    await assert.rejects(stranger.open(account, sealed, 'c'))
  })
})
