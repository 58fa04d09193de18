import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { bindery } from '#test/command.ts'
import { ask, database, deployAsker } from '#test/d1-worker.ts'
import { ask as askApi, formOf, otherAccount, placeOf } from '#test/deployer.ts'
import { startTestServer, type TestServer } from '#test/server.ts'

// What SQL that users write might try to reach beside its own database.

let server: TestServer
const worker = 'asker'
before(async () => {
  server = await startTestServer()
  const place = placeOf(server)
  await deployAsker(place, worker, await database(place, 'main'))
  const schema = [
    'CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT)',
    'CREATE UNIQUE INDEX by_name ON person (name)',
    'CREATE TABLE pet (owner INTEGER REFERENCES person (id))',
  ]
  const made = await ask(server, worker, { operation: 'exec', sql: schema.join('\n') })
  assert.ok('result' in made, JSON.stringify(made))
})
after(() => server[Symbol.asyncDispose]())

test('an operator sees the process that a database is in', async () => {
  const { stdout } = await bindery(['cells', '--data', server.dataDirectory])
  assert.match(stdout, /^1 database \(d1\) +running +[\d.]+ [KM]i?B/m)
})

suite('there is no way out of a database', () => {
  const refused: readonly (readonly [sql: string, why: RegExp])[] = [
    [`ATTACH '/etc/passwd' AS other`, /not authorized/],
    [`ATTACH ':memory:' AS other`, /not authorized/],
    ['DETACH main', /not authorized/],
    [`VACUUM INTO '/tmp/stolen.db'`, /not authorized|cannot VACUUM/],
    [`SELECT load_extension('/lib/x.so')`, /not authorized|no such function/],
    [`SELECT readfile('/etc/passwd')`, /no such function|not authorized/],
    [`SELECT writefile('/tmp/x', 'y')`, /no such function|not authorized/],
    [`SELECT edit('x')`, /no such function|not authorized/],
    [`SELECT fts3_tokenizer('simple')`, /no such function|not authorized/],
    [`SELECT fts3_tokenizer('simple', x'00')`, /no such function|not authorized/],
    ['SELECT randomblob(10000000000)', /too big|TOOBIG/],
    ['SELECT zeroblob(100000000)', /too big|TOOBIG/],
    ['CREATE TEMP TABLE a (b)', /not authorized/],
    ['CREATE TEMP VIEW a AS SELECT 1', /not authorized/],
    ['CREATE TEMP TRIGGER a AFTER INSERT ON person BEGIN SELECT 1; END', /not authorized/],
    ['CREATE TABLE _cf_own (a)', /not authorized/],
    ['SELECT * FROM _cf_KV', /not authorized|no such table/],
    ['DROP TABLE _cf_METADATA', /not authorized|no such table/],
    [
      `INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0, '')`,
      /may not be modified|not authorized/,
    ],
    [`UPDATE sqlite_schema SET sql = ''`, /may not be modified|not authorized/],
    ['PRAGMA writable_schema = ON', /not authorized/],
    ['PRAGMA journal_mode = DELETE', /not authorized/],
    ['PRAGMA synchronous = OFF', /not authorized/],
    ['PRAGMA database_list', /not authorized/],
    ['PRAGMA temp_store_directory = "/tmp"', /not authorized/],
    ['PRAGMA max_page_count = 1', /not authorized/],
    ['PRAGMA page_size = 512', /not authorized/],
    ['PRAGMA wal_checkpoint(TRUNCATE)', /not authorized/],
    ['PRAGMA trusted_schema = ON', /not authorized/],
    ['PRAGMA mmap_size = 1000000', /not authorized/],
    ['SELECT * FROM pragma_database_list', /not authorized|no such table/],
    [`CREATE VIRTUAL TABLE d USING dbstat`, /not authorized|no such module/],
    [`CREATE VIRTUAL TABLE c USING csv(filename='/etc/passwd')`, /not authorized|no such module/],
    ['SELECT * FROM dbstat', /not authorized|no such table/],
    [`SELECT * FROM fsdir('/')`, /not authorized|no such table/],
    [`SELECT * FROM generate_series(1, 2)`, /not authorized|no such table/],
  ]
  for (const [sql, why] of refused) {
    test(sql, async () => {
      const answer = await ask(server, worker, { operation: 'all', sql })
      assert.ok('error' in answer, JSON.stringify(answer))
      assert.match(answer.error, why)
    })
  }

  const allowed = [
    'PRAGMA table_list',
    'PRAGMA table_info(person)',
    'PRAGMA table_xinfo(person)',
    'PRAGMA foreign_keys',
    'PRAGMA defer_foreign_keys = ON',
    'PRAGMA foreign_key_check',
    'PRAGMA foreign_key_list(pet)',
    'PRAGMA index_list(person)',
    'PRAGMA index_info(by_name)',
    'PRAGMA quick_check',
    'PRAGMA optimize',
    'SELECT name FROM sqlite_schema',
    'SELECT name FROM sqlite_master',
    `SELECT json_extract('{"a":[1]}', '$.a[0]'), '{"a":1}' ->> 'a', jsonb('1')`,
    `SELECT date('now'), strftime('%Y'), abs(-1), hex(randomblob(4)), sqrt(2), row_number() OVER ()`,
    'CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(a)',
    'CREATE VIRTUAL TABLE IF NOT EXISTS boxes USING rtree(id, a, b)',
    'EXPLAIN QUERY PLAN SELECT * FROM person',
  ]
  for (const sql of allowed) {
    test(sql, async () => {
      const answer = await ask(server, worker, { operation: 'all', sql })
      assert.ok('result' in answer, JSON.stringify(answer))
    })
  }

  test('a database of another account can not be bound, or be reached by the API', async () => {
    const other = await otherAccount(server, 'other')
    const id = await database(other, 'theirs')
    const mine = placeOf(server)
    const bindings = [{ type: 'd1', name: 'DB', id }]
    const form = formOf({ code: 'export default {}', bindings })
    const bound = await askApi(mine, 'PUT', '~/workers/scripts/thief', form)
    assert.equal(bound.success, false)
    assert.deepEqual(bound.errors, [
      {
        code: 10181,
        message: `D1 binding 'DB' references database '${id}' which was not found. Verify the database exists in your account and that the database_id in your configuration is correct.`,
      },
    ])
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/query'],
      ['POST', '/time_travel/restore'],
    ] as const) {
      const answer = await askApi(
        mine,
        method,
        `~/d1/database/${id}${path}`,
        method === 'POST' ? { sql: 'SELECT 1' } : undefined,
      )
      assert.deepEqual([answer.status, answer.errors[0]?.code], [404, 7404])
    }
  })
})
