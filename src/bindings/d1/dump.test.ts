import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { suite, test } from 'node:test'
import { z } from 'zod'
import { DumpError, dumpOf, type Read } from './dump.ts'
import type { DumpOptions } from './schema.ts'

/** Reads with Node's SQLite what an engine reads with workerd's. */
function readerOf(database: DatabaseSync): Read {
  const values = z.array(z.union([z.string(), z.number(), z.null()]))
  const given = z.array(z.union([z.string(), z.number()]))
  return async (statements) =>
    statements.map(({ sql, params = [] }) => {
      const statement = database.prepare(sql)
      statement.setReturnArrays(true)
      return statement.all(...given.parse(params)).map((row) => values.parse(row))
    })
}

async function linesOf(database: DatabaseSync, options: DumpOptions = {}): Promise<string[]> {
  return Array.fromAsync(dumpOf(readerOf(database), options))
}

function opened(sql: string): DatabaseSync {
  const database = new DatabaseSync(':memory:')
  database.exec(sql)
  return database
}

const shop = `
CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, "full name" TEXT NOT NULL);
CREATE TABLE "order" (id TEXT PRIMARY KEY, customer INTEGER REFERENCES customer (id), total REAL,
  double REAL AS (total * 2) STORED) WITHOUT ROWID;
CREATE VIEW totals AS SELECT sum(total) AS total FROM "order";
CREATE INDEX by_customer ON "order" (customer);
CREATE TRIGGER gone AFTER DELETE ON customer BEGIN DELETE FROM "order" WHERE customer = OLD.id; END;
INSERT INTO customer VALUES (7, 'Ann''s'), (8, 'Bob
two lines; and a semicolon');
INSERT INTO "order" (id, customer, total) VALUES ('b', 7, 0.1), ('a', 8, 1e300);
`

suite('an export', () => {
  test('has what SQLite would write', async () => {
    using database = opened(shop)
    assert.deepEqual(await linesOf(database), [
      'PRAGMA defer_foreign_keys=TRUE;',
      'CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, "full name" TEXT NOT NULL);',
      `INSERT INTO "customer" ("id","full name") VALUES(7,'Ann''s');`,
      `INSERT INTO "customer" ("id","full name") VALUES(8,'Bob\ntwo lines; and a semicolon');`,
      'CREATE TABLE IF NOT EXISTS "order" (id TEXT PRIMARY KEY, customer INTEGER REFERENCES customer (id), total REAL,\n  double REAL AS (total * 2) STORED) WITHOUT ROWID;',
      `INSERT INTO "order" ("id","customer","total") VALUES('a',8,1.0e+300);`,
      `INSERT INTO "order" ("id","customer","total") VALUES('b',7,0.1);`,
      'DELETE FROM sqlite_sequence;',
      `INSERT INTO "sqlite_sequence" ("name","seq") VALUES('customer',8);`,
      'CREATE VIEW totals AS SELECT sum(total) AS total FROM "order";',
      'CREATE INDEX by_customer ON "order" (customer);',
      'CREATE TRIGGER gone AFTER DELETE ON customer BEGIN DELETE FROM "order" WHERE customer = OLD.id; END;',
    ])
  })

  const chosen: readonly (readonly [DumpOptions, RegExp, RegExp])[] = [
    [{ no_data: true }, /CREATE TABLE[^]*CREATE TRIGGER/, /INSERT|sqlite_sequence/],
    [{ no_schema: true }, /INSERT INTO "customer"[^]*INSERT INTO "order"/, /CREATE/],
    [{ tables: ['order'] }, /"order"[^]*INDEX by_customer/, /CREATE TABLE customer|VIEW|sequence/],
    [{ tables: ['none'] }, /^PRAGMA defer_foreign_keys=TRUE;$/, /CREATE/],
    [{ tables: [] }, /CREATE TABLE customer/, /writable/],
  ]
  for (const [options, has, hasNot] of chosen) {
    test(JSON.stringify(options), async () => {
      using database = opened(shop)
      const text = (await linesOf(database, options)).join('\n')
      assert.match(text, has)
      assert.doesNotMatch(text, hasNot)
    })
  }

  test('every kind of value comes back as it was', async () => {
    using database = opened('CREATE TABLE v (a, "say ""a""", rowid, oid, _rowid_)')
    const insert = database.prepare('INSERT INTO v (a) VALUES (?)')
    const values = [
      null,
      0,
      -1,
      9223372036854775807n,
      -9223372036854775808n,
      0.1,
      -0.0,
      1 / 3,
      5e-324,
      1.7976931348623157e308,
      Infinity,
      -Infinity,
      '',
      "'",
      'a\u0000b',
      'ünï\ud83d\ude00',
      '\r\n--;/*',
      new Uint8Array(),
      new Uint8Array([0, 255, 39]),
    ]
    for (const value of values) insert.run(value)
    using copy = opened((await linesOf(database)).join('\n'))
    const all = 'SELECT typeof(a), quote(a), hex(a) FROM v ORDER BY 2, 3'
    assert.deepEqual(copy.prepare(all).all(), database.prepare(all).all())
    assert.equal(copy.prepare('SELECT count(*) AS count FROM v').get()?.['count'], values.length)
  })

  for (const kind of ['', ' WITHOUT ROWID']) {
    test(`many rows and large ones, in pages of a bounded weight${kind}`, async () => {
      using database = opened(`CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)${kind};
        INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
          SELECT printf('%06d', i * 7919 % 20011), CASE WHEN i % 1000 = 0 THEN hex(zeroblob(400000)) ELSE i END FROM n`)
      const read = readerOf(database)
      let heaviest = 0
      const lines = await Array.fromAsync(
        dumpOf(async (statements) => {
          const rows = await read(statements)
          heaviest = Math.max(heaviest, JSON.stringify(rows).length)
          return rows
        }, {}),
      )
      assert.ok(heaviest < 3_000_000, `${heaviest}`)
      using copy = opened(lines.join('\n'))
      const sums = 'SELECT count(*), sum(length(v)), sum(CAST(k AS INTEGER)) FROM t'
      assert.deepEqual(copy.prepare(sums).all(), database.prepare(sums).all())
    })
  }

  test('as many columns as a table may have', async () => {
    const columns = Array.from({ length: 100 }, (_, index) => `c${index}`)
    using database = opened(`CREATE TABLE wide (${columns.join(',')});
      INSERT INTO wide VALUES (${columns.map((_, index) => index).join(',')})`)
    const [, , insert = ''] = await linesOf(database)
    assert.match(insert, /,98,99\);$/)
  })

  test('virtual tables are refused, unless only the shell is to read it', async () => {
    using database = opened(`CREATE TABLE t (a); CREATE VIRTUAL TABLE words USING fts5(a);
      INSERT INTO words VALUES ('it''s here'); INSERT INTO t VALUES (1)`)
    await assert.rejects(
      linesOf(database),
      new DumpError('D1 Export error: cannot export databases with Virtual Tables (fts5)'),
    )
    assert.deepEqual(await linesOf(database, { tables: ['t'] }), [
      'PRAGMA defer_foreign_keys=TRUE;',
      'CREATE TABLE t (a);',
      'INSERT INTO "t" ("a") VALUES(1);',
    ])
    const lines = await linesOf(database, { compatibility: 'sqlite3_cli_only' })
    using copy = new DatabaseSync(':memory:', { defensive: false })
    copy.exec(lines.join('\n'))
    // Whoever reads such a file opens it anew.
    copy.exec('PRAGMA writable_schema=RESET')
    const found = copy.prepare(`SELECT a FROM words WHERE words MATCH 'here'`).all()
    assert.deepEqual(
      found.map((row) => row['a']),
      ["it's here"],
    )
  })
})
