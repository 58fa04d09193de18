import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'

// D1, with the unmodified wranglers that projects pin, and Workers that look on.

const reader = `export default {
  async fetch(request, env) {
    const sql = decodeURIComponent(new URL(request.url).search.slice(1))
    return Response.json((await env.DB.prepare(sql).all()).results)
  },
}`

const listed = z.array(z.object({ uuid: z.uuid(), name: z.string() }))
const results = z.array(z.object({ results: z.array(z.record(z.string(), z.unknown())) }))

withNewestAndOldest('D1', (wrangler) => {
  const d1 = (...args: string[]): Promise<string> => wrangler.ok(['d1', ...args])
  /** Two versions ask for the same; a run of wrangler takes more than a second. */
  const once = { skip: wrangler.version === '3.114' && 'as the newer one' }
  // Unless one says otherwise, the local copy of `wrangler dev` is meant.
  const remote = '--remote'

  async function rows(database: string, sql: string) {
    const args = ['d1', 'execute', database, remote, '--json', '--command', sql]
    return (await wrangler.json(results, args)).map((each) => each.results)
  }

  wrangler.testAlike('databases are created, listed, shown and deleted', async () => {
    assert.match(await d1('create', 'first'), /database_id/)
    await wrangler.fails(['d1', 'create', 'first'], /already exists/)
    const all = await wrangler.json(listed, ['d1', 'list', '--json'])
    assert.deepEqual(
      all.map(({ name }) => name),
      ['first'],
    )
    await rows('first', 'CREATE TABLE t (a); INSERT INTO t VALUES (1)')
    const info = await d1('info', 'first')
    assert.match(info, /num_tables\W+1\b/)
    assert.match(info, /write_queries_24h\W+2\b/)
    await d1('delete', 'first', '--skip-confirmation')
    await wrangler.fails(['d1', 'info', 'first'], /Couldn't find/)
  })

  test('commands and files are executed', async () => {
    await d1('create', 'executed')
    assert.deepEqual(
      await rows(
        'executed',
        `CREATE TABLE t (a); INSERT INTO t VALUES ('x;y'), (2); SELECT a FROM t`,
      ),
      [[], [], [{ a: 'x;y' }, { a: 2 }]],
    )
    await wrangler.fails(
      ['d1', 'execute', 'executed', remote, '--command', 'SELECT * FROM nope'],
      /no such table: nope/,
    )
    const file = join(wrangler.server.folder, 'file.sql')
    const execute = ['execute', 'executed', remote, '--yes', '--file', 'file.sql']
    await writeFile(
      file,
      `INSERT INTO t VALUES (3);\r\n-- a comment;\r\nINSERT INTO t VALUES ('4;');\r\n`,
    )
    assert.match(await d1(...execute), /Executed 2 queries[^]*Total queries executed/)
    assert.deepEqual(await rows('executed', 'SELECT count(*) AS n FROM t'), [[{ n: 4 }]])
    await writeFile(file, 'INSERT INTO t VALUES (5); INSERT INTO nope VALUES (1);')
    await wrangler.fails(['d1', ...execute], /no such table: nope/)
    // It is there already: that is what is said, and it fails again.
    await wrangler.fails(['d1', ...execute], /already uploaded[^]*no such table: nope/)
    assert.deepEqual(await rows('executed', 'SELECT count(*) AS n FROM t'), [[{ n: 4 }]])
  })

  test('migrations are applied once', async () => {
    const made = await d1('create', 'migrated')
    const [id = ''] = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(made) ?? []
    await wrangler.project(
      'migrated',
      { d1_databases: [{ binding: 'DB', database_name: 'migrated', database_id: id }] },
      {
        'index.js': reader,
        'migrations/0001_first.sql': `-- first\nCREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);\n`,
        'migrations/0002_second.sql': `CREATE TRIGGER named AFTER INSERT ON person BEGIN\r\n  UPDATE person SET name = CASE WHEN name IS NULL THEN 'nobody;' ELSE name END WHERE id = NEW.id;\r\nEND;\r\nINSERT INTO person (name) VALUES (NULL);`,
      },
    )
    const cwd = { cwd: 'migrated' }
    const apply = ['d1', 'migrations', 'apply', 'DB', remote]
    assert.match(await wrangler.ok(apply, cwd), /0001_first\.sql[^]*0002_second\.sql/)
    assert.match(
      await wrangler.ok(['d1', 'migrations', 'list', 'DB', remote], cwd),
      /No migrations/,
    )
    await wrangler.ok(['d1', 'migrations', 'create', 'DB', 'broken'], cwd)
    const broken = join(wrangler.server.folder, 'migrated/migrations/0003_broken.sql')
    await writeFile(broken, 'INSERT INTO person (name) VALUES (1); SELECT * FROM nope;')
    await wrangler.fails(apply, /no such table: nope/, cwd)
    await wrangler.ok(['deploy'], cwd)
    const visited = await wrangler.visit(
      'migrated',
      `/?${encodeURIComponent('SELECT name FROM person')}`,
    )
    assert.deepEqual(JSON.parse(visited), [{ name: 'nobody;' }])
  })

  wrangler.testAlike('a database is exported', async () => {
    await d1('create', 'exported')
    await rows(
      'exported',
      `CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'it''s'), (0.5, x'00ff'); CREATE INDEX i ON t (a)`,
    )
    await d1('export', 'exported', remote, '--output', 'dump.sql')
    assert.equal(
      await readFile(join(wrangler.server.folder, 'dump.sql'), 'utf8'),
      `PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE t (a, b);
INSERT INTO "t" ("a","b") VALUES(1,'it''s');
INSERT INTO "t" ("a","b") VALUES(0.5,X'00FF');
CREATE INDEX i ON t (a);
`,
    )
    await d1('export', 'exported', remote, '--output', 'schema.sql', '--no-data')
    const schema = await readFile(join(wrangler.server.folder, 'schema.sql'), 'utf8')
    assert.doesNotMatch(schema, /INSERT/)
    await rows('exported', 'CREATE VIRTUAL TABLE v USING fts5(a)')
    await wrangler.fails(
      ['d1', 'export', 'exported', remote, '--output', 'no.sql'],
      /cannot export databases with Virtual Tables \(fts5\)/,
    )
  })

  test('Time Travel shows bookmarks and goes back to one', once, async () => {
    await d1('create', 'travelled')
    await rows('travelled', 'CREATE TABLE t (a); INSERT INTO t VALUES (1)')
    const known = z.object({ bookmark: z.string() })
    const { bookmark } = await wrangler.json(known, [
      'd1',
      'time-travel',
      'info',
      'travelled',
      '--json',
    ])
    await rows('travelled', 'DELETE FROM t')
    const back = ['d1', 'time-travel', 'restore', 'travelled', '--json', `--bookmark=${bookmark}`]
    const { previous_bookmark: previous } = await wrangler.json(
      known.extend({ previous_bookmark: z.string() }),
      back,
    )
    assert.deepEqual(await rows('travelled', 'SELECT a FROM t'), [[{ a: 1 }]])
    assert.ok(previous > bookmark)
    await wrangler.fails(
      ['d1', 'time-travel', 'restore', 'travelled', '--json', '--bookmark=0-0'],
      /Invalid bookmark/,
    )
  })

  test('insights: what was run, and how often', once, async () => {
    await d1('create', 'seen')
    for (let n = 0; n < 2; n++)
      await rows('seen', 'CREATE TABLE IF NOT EXISTS t (a); SELECT a FROM t')
    const insight = z.object({ query: z.string(), numberOfTimesRun: z.number() })
    const insights = ['d1', 'insights', 'seen', '--json', '--sort-by', 'count', '--limit', '10']
    const found = await wrangler.json(z.array(insight), insights)
    const times = new Map(found.map(({ query, numberOfTimesRun }) => [query, numberOfTimesRun]))
    assert.equal(times.get('SELECT a FROM t'), 2)
    assert.equal(times.get('CREATE TABLE IF NOT EXISTS t (a)'), 2)
  })

  test('a database that is not there is made by a deploy, or not bound', async () => {
    const unbound = { d1_databases: [{ binding: 'DB', database_name: 'provisioned' }] }
    const files = { 'index.js': reader }
    if (wrangler.lacks('automatic provisioning')) {
      const id = '00000000-0000-4000-8000-000000000000'
      const config = { d1_databases: [{ binding: 'DB', database_name: 'none', database_id: id }] }
      await wrangler.project('unbound', config, files)
      return wrangler.fails(['deploy'], /D1 binding 'DB' references database[^]*10181/, {
        cwd: 'unbound',
      })
    }
    await wrangler.project('unbound', unbound, files)
    await wrangler.ok(['deploy'], { cwd: 'unbound' })
    await wrangler.project(
      'nameless',
      { d1_databases: [{ binding: 'MY_DB' }] },
      { 'index.js': reader.replace('DB', 'MY_DB') },
    )
    await wrangler.ok(['deploy'], { cwd: 'nameless' })
    const names = (await wrangler.json(listed, ['d1', 'list', '--json'])).map(({ name }) => name)
    assert.deepEqual(
      ['provisioned', 'nameless-my-db'].filter((name) => !names.includes(name)),
      [],
    )
    assert.equal(await wrangler.visit('nameless', '/?SELECT%201%20AS%20a'), '[{"a":1}]')
    // The same again is the same.
    await wrangler.ok(['deploy'], { cwd: 'nameless' })
  })
})
