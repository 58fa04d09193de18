import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { suite, test } from 'node:test'
import { isReadOnly, statementsOf } from './split.ts'

const trigger = `CREATE TRIGGER t1 AFTER INSERT ON t BEGIN
  UPDATE t SET a = CASE WHEN a > 1 THEN 'x;y' ELSE 2 END;
  DELETE FROM t WHERE a IS NULL; -- it's gone;
END`

const cases: readonly (readonly [text: string, statements: readonly string[]])[] = [
  ['', []],
  [' \r\n\t', []],
  [';;; ;', []],
  ['-- nothing', []],
  ['/* nothing; */ ; -- at; all', []],
  ['/* unclosed; SELECT 1', []],
  ['SELECT 1', ['SELECT 1']],
  ['SELECT 1;', ['SELECT 1']],
  ['SELECT 1; SELECT 2;\n', ['SELECT 1', 'SELECT 2']],
  ['SELECT 1;\r\nSELECT 2\r\n', ['SELECT 1', 'SELECT 2']],
  ["SELECT ';'; SELECT 2", ["SELECT ';'", 'SELECT 2']],
  ["SELECT 'it''s;'; SELECT 2", ["SELECT 'it''s;'", 'SELECT 2']],
  ["SELECT 'a\\'; SELECT 2", ["SELECT 'a\\'", 'SELECT 2']],
  ["SELECT '--'; SELECT '/*'; SELECT 2", ["SELECT '--'", "SELECT '/*'", 'SELECT 2']],
  ["SELECT 'two\nlines;'; SELECT 2", ["SELECT 'two\nlines;'", 'SELECT 2']],
  ['SELECT "a;""b"; SELECT 2', ['SELECT "a;""b"', 'SELECT 2']],
  ['SELECT `a;``b`; SELECT 2', ['SELECT `a;``b`', 'SELECT 2']],
  ['SELECT [a;b"]; SELECT 2', ['SELECT [a;b"]', 'SELECT 2']],
  ["SELECT X'00'; SELECT 2", ["SELECT X'00'", 'SELECT 2']],
  ['SELECT 1 -- one;\n; SELECT 2', ['SELECT 1 -- one;', 'SELECT 2']],
  ['SELECT 1 /* one; */; SELECT 2', ['SELECT 1 /* one; */', 'SELECT 2']],
  ['SELECT 4 - -2; SELECT 4 / 2 * 1', ['SELECT 4 - -2', 'SELECT 4 / 2 * 1']],
  ['-- first\nSELECT 1; -- last', ['-- first\nSELECT 1']],
  ['SELECT /* a -- b */ 1; SELECT 2', ['SELECT /* a -- b */ 1', 'SELECT 2']],
  ["SELECT 'unclosed; SELECT 2", ["SELECT 'unclosed; SELECT 2"]],
  ["SELECT 'ünï;'; SELECT 'ö'", ["SELECT 'ünï;'", "SELECT 'ö'"]],
  ['SELECT CASE WHEN 1 THEN 2 END; SELECT 2', ['SELECT CASE WHEN 1 THEN 2 END', 'SELECT 2']],
  ['BEGIN; SELECT 1; END;', ['BEGIN', 'SELECT 1', 'END']],
  ['CREATE TABLE "trigger" (a); SELECT 1', ['CREATE TABLE "trigger" (a)', 'SELECT 1']],
  ['CREATE TABLE trigger_log (a); SELECT 1', ['CREATE TABLE trigger_log (a)', 'SELECT 1']],
  [`${trigger}; SELECT 1`, [trigger, 'SELECT 1']],
  [trigger, [trigger]],
  [`${trigger}\n;`, [trigger]],
  [`${trigger.toLowerCase()};SELECT 1`, [trigger.toLowerCase(), 'SELECT 1']],
  [
    `${trigger.replaceAll('\n', '\r\n')};\r\nSELECT 1;\r\n`,
    [trigger.replaceAll('\n', '\r\n'), 'SELECT 1'],
  ],
  [
    'CREATE /* ; */ TEMP -- ;\n TRIGGER a AFTER DELETE ON t BEGIN SELECT 1; /* ; */ END /* x */ ; SELECT 2',
    [
      'CREATE /* ; */ TEMP -- ;\n TRIGGER a AFTER DELETE ON t BEGIN SELECT 1; /* ; */ END /* x */',
      'SELECT 2',
    ],
  ],
  [
    'CREATE TRIGGER IF NOT EXISTS "a;b" BEFORE UPDATE OF x ON t WHEN NEW.x = CASE 1 WHEN 1 THEN 2 END BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3; END; SELECT 4',
    [
      'CREATE TRIGGER IF NOT EXISTS "a;b" BEFORE UPDATE OF x ON t WHEN NEW.x = CASE 1 WHEN 1 THEN 2 END BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3; END',
      'SELECT 4',
    ],
  ],
  [
    "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO l VALUES ('; END;'); END; SELECT 1",
    ["CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO l VALUES ('; END;'); END", 'SELECT 1'],
  ],
  [
    'EXPLAIN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END; SELECT 2',
    ['EXPLAIN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END', 'SELECT 2'],
  ],
  [
    'CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1), (2);',
    ['CREATE TABLE t (a)', 'CREATE INDEX i ON t (a)', 'INSERT INTO t VALUES (1), (2)'],
  ],
  ['(;)', ['(', ')']],
]

suite('several statements in one text', () => {
  for (const [text, statements] of cases) {
    test(JSON.stringify(text.slice(0, 60)), () => {
      assert.deepEqual(
        statementsOf(text).map((each) => each.text),
        statements,
      )
    })
  }

  test('SQLite runs each of them', () => {
    using database = new DatabaseSync(':memory:')
    database.exec('CREATE TABLE t (a); CREATE TABLE l (a)')
    const all = `${trigger}; INSERT INTO t VALUES (7); SELECT a FROM t; /* ; */ SELECT ';' AS a`
    const rows = statementsOf(all).map(({ text }) => database.prepare(text).all())
    assert.deepEqual(JSON.parse(JSON.stringify(rows)), [[], [], [{ a: 'x;y' }], [{ a: ';' }]])
  })

  test('a long text takes time in proportion', () => {
    const many = `INSERT INTO t VALUES ('${'x;'.repeat(50)}');\n`.repeat(20_000)
    const started = performance.now()
    assert.equal(statementsOf(many).length, 20_000)
    assert.equal(statementsOf(`SELECT '${"x''".repeat(2_000_000)}'; SELECT 1`).length, 2)
    assert.ok(performance.now() - started < 10_000)
  })
})

test('what only reads is told apart', () => {
  const reading = [
    'SELECT 1',
    ' -- a\nselect 1;',
    'VALUES (1)',
    'EXPLAIN SELECT 1',
    'SELECT 1; SELECT 2',
  ]
  const others = [
    'DELETE FROM t',
    'SELECT 1; DELETE FROM t',
    'WITH a AS (SELECT 1) DELETE FROM t',
    'PRAGMA foreign_keys = 0',
    '(',
  ]
  assert.deepEqual(
    reading.filter((sql) => !isReadOnly(sql)),
    [],
  )
  assert.deepEqual(others.filter(isReadOnly), [])
})
