import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import Cloudflare, { APIError } from 'cloudflare'
import { z } from 'zod'
import { startTestServer, type TestServer } from '#test/server.ts'

// D1 by the official SDK, and what has no method there by its URLs.

let server: TestServer
let client: Cloudflare
let own: { readonly account_id: string }

before(async () => {
  server = await startTestServer()
  own = { account_id: server.environment['CLOUDFLARE_ACCOUNT_ID'] ?? '' }
  client = new Cloudflare({
    baseURL: server.environment['CLOUDFLARE_BASE_URL'] ?? '',
    apiToken: server.environment['CLOUDFLARE_API_TOKEN'] ?? '',
    maxRetries: 0,
  })
})
after(() => server[Symbol.asyncDispose]())

async function created(name: string): Promise<string> {
  const { uuid } = await client.d1.database.create({ ...own, name })
  return uuid ?? assert.fail('it has no id')
}

/** The rows of each statement. */
async function query(id: string, sql: string, params?: string[]): Promise<unknown[]> {
  const page = await client.d1.database.query(id, { ...own, sql, ...(params && { params }) })
  return page.result.map(({ results }) => results)
}

const refused =
  (status: number, code: number, message?: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof APIError, String(error))
    assert.deepEqual([error.status, error.errors[0]?.code], [status, code])
    assert.match(error.errors[0]?.message ?? '', message ?? /./)
    return true
  }

suite('databases', () => {
  test('are created, listed, shown, changed and deleted', async () => {
    const id = await created('managed')
    await created('managed-too')
    const names = []
    for await (const { name } of client.d1.database.list(own)) names.push(name)
    assert.deepEqual(new Set(names), new Set(['managed', 'managed-too']))
    const some = await client.d1.database.list({ ...own, name: 'too' })
    assert.deepEqual(
      some.result.map(({ name }) => name),
      ['managed-too'],
    )
    await query(id, 'CREATE TABLE a (b); CREATE TABLE c (d)')
    const shown = await client.d1.database.get(id, own)
    assert.deepEqual(
      { ...shown, created_at: '', file_size: 0 },
      {
        uuid: id,
        name: 'managed',
        version: 'production',
        created_at: '',
        jurisdiction: null,
        num_tables: 2,
        file_size: 0,
        running_in_region: 'WEUR',
        read_replication: { mode: 'disabled' },
      },
    )
    assert.ok((shown.file_size ?? 0) > 4096)
    assert.ok(Math.abs(Date.parse(shown.created_at ?? '') - Date.now()) < 60_000)
    assert.equal((await client.d1.database.get('managed', own)).uuid, id)
    const replicated = { ...own, read_replication: { mode: 'auto' as const } }
    assert.equal((await client.d1.database.edit(id, replicated)).read_replication?.mode, 'auto')
    const plain = { ...own, read_replication: { mode: 'disabled' as const } }
    assert.equal((await client.d1.database.update(id, plain)).read_replication?.mode, 'disabled')
    await client.d1.database.delete(id, own)
    await assert.rejects(client.d1.database.get(id, own), refused(404, 7404))
    await assert.rejects(client.d1.database.delete(id, own), refused(404, 7404))
    assert.notEqual(await created('managed'), id)
  })

  const made = (name: string, more = {}) => client.d1.database.create({ ...own, name, ...more })
  test('what can not be is refused', async () => {
    await created('taken')
    await assert.rejects(made('taken'), refused(400, 7502, /already exists/))
    for (const name of ['', 'a/b', 'ünï', 'x'.repeat(65), '-x']) {
      await assert.rejects(made(name), refused(400, 7400), name)
    }
    await assert.rejects(made('x', { jurisdiction: 'mars' }), refused(400, 7400))
    await assert.rejects(query('no-uuid', 'SELECT 1'), refused(400, 7400, /Invalid uuid/))
    await assert.rejects(
      query('00000000-0000-4000-8000-000000000000', 'SELECT 1'),
      refused(404, 7404),
    )
  })
})

suite('queries', () => {
  test('each statement of a text has its result; all are one transaction', async () => {
    const id = await created('queried')
    const text = `CREATE TABLE t (a, b);
      INSERT INTO t VALUES (1, 'x;y'), (2, NULL); -- a; comment
      CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = 'z' WHERE b IS NULL; END;
      INSERT INTO t VALUES (3, NULL);
      SELECT * FROM t ORDER BY a;`
    assert.deepEqual(await query(id, text), [
      [],
      [],
      [],
      [],
      [
        { a: 1, b: 'x;y' },
        { a: 2, b: 'z' },
        { a: 3, b: 'z' },
      ],
    ])
    assert.deepEqual(
      await query(id, 'DELETE FROM t WHERE a > 1; SELECT a FROM t WHERE b = ?', ['x;y']),
      [[], [{ a: 1 }]],
    )
    await assert.rejects(
      query(id, 'DELETE FROM t; SELECT * FROM nope'),
      refused(400, 7500, /no such table: nope: SQLITE_ERROR/),
    )
    assert.deepEqual(await query(id, 'SELECT count(*) AS n FROM t'), [[{ n: 1 }]])
    await assert.rejects(query(id, ' -- nothing'), refused(400, 7500, /No SQL statements detected/))
    const raw = await client.d1.database.raw(id, { ...own, sql: 'SELECT 1 AS a, 2 AS a' })
    assert.deepEqual(raw.result[0]?.results, { columns: ['a', 'a'], rows: [[1, 2]] })
    const batch = [
      { sql: 'INSERT INTO t VALUES (?, ?)', params: ['8', '9'] },
      { sql: 'SELECT b FROM t WHERE a = ?', params: ['8'] },
    ]
    const page = await client.d1.database.query(id, { ...own, batch })
    assert.deepEqual(
      page.result.map(({ results }) => results),
      [[], [{ b: '9' }]],
    )
    assert.equal(page.result[0]?.meta?.changes, 1)
  })

  test('a statement is sent in full, and errors of parameters are told', async () => {
    const id = await created('errors')
    await assert.rejects(
      query(id, 'SELECT ?', ['1', '2']),
      refused(400, 7500, /Wrong number of parameter/),
    )
    await assert.rejects(query(id, "ATTACH ':memory:' AS x"), refused(400, 7500, /not authorized/))
    await assert.rejects(
      query(id, 'BEGIN; SELECT 1; COMMIT'),
      refused(400, 7500, /To execute a transaction/),
    )
  })
})

/** The SDK does not know that word. */
const isActive = (answer: { readonly status?: string }): boolean => answer.status === 'active'
const md5 = (text: string): string => createHash('md5').update(text).digest('hex')
const started = z.object({ upload_url: z.url(), filename: z.string() })

suite('imports', () => {
  async function imported(id: string, sql: string) {
    const etag = md5(sql)
    const { upload_url: url, filename } = started.parse(
      await client.d1.database.import(id, { ...own, action: 'init', etag }),
    )
    const sent = await fetch(url, { method: 'PUT', body: sql })
    assert.equal(sent.status, 200, await sent.text())
    assert.equal(sent.headers.get('etag'), `"${etag}"`)
    let answer = await client.d1.database.import(id, { ...own, action: 'ingest', etag, filename })
    while (isActive(answer)) {
      const current_bookmark = answer.at_bookmark ?? assert.fail('no bookmark')
      answer = await client.d1.database.import(id, { ...own, action: 'poll', current_bookmark })
    }
    return answer
  }

  test('a file is one transaction', async () => {
    const id = await created('imported')
    const good = `CREATE TABLE t (a TEXT);\nINSERT INTO t VALUES ('1;'), ('two\nlines');\n-- end;\n`
    const done = await imported(id, good)
    assert.equal(done.status, 'complete', JSON.stringify(done))
    assert.equal(done.result?.num_queries, 2)
    assert.ok((done.result?.final_bookmark ?? '') > (done.at_bookmark ?? 'x'))
    assert.deepEqual(await query(id, 'SELECT a FROM t'), [[{ a: '1;' }, { a: 'two\nlines' }]])
    await server.restart()
    client.baseURL = server.environment['CLOUDFLARE_BASE_URL'] ?? ''
    const current_bookmark = done.at_bookmark ?? ''
    const again = await client.d1.database.import(id, { ...own, action: 'poll', current_bookmark })
    assert.deepEqual(again, done, 'how it ended is known after a restart')
    const failed = await imported(id, `INSERT INTO t VALUES ('3'); INSERT INTO nope VALUES (1);`)
    assert.equal(failed.status, 'error', JSON.stringify(failed))
    assert.match(failed.error ?? '', /no such table: nope/)
    assert.deepEqual(failed.messages, [])
    assert.deepEqual(await query(id, 'SELECT count(*) AS n FROM t'), [[{ n: 2 }]])
  })

  test('a file may write what refers to what follows, and leave nothing that refers to nothing', async () => {
    const id = await created('referring')
    const tables = `CREATE TABLE pet (owner REFERENCES person (id));
CREATE TABLE person (id INTEGER PRIMARY KEY);`
    const good = `PRAGMA defer_foreign_keys=TRUE;${tables}INSERT INTO pet VALUES (1);INSERT INTO person VALUES (1);`
    const done = await imported(id, good)
    assert.equal(done.status, 'complete', JSON.stringify(done))
    for (const pragma of ['defer_foreign_keys = TRUE', 'foreign_keys = OFF']) {
      const bad = `PRAGMA ${pragma}; INSERT INTO pet VALUES (1), (2);`
      const failed = await imported(id, bad)
      assert.equal(failed.status, 'error', JSON.stringify(failed))
      assert.match(failed.error ?? '', /^FOREIGN KEY constraint failed: SQLITE_CONSTRAINT/)
    }
    assert.deepEqual(await query(id, 'SELECT owner FROM pet'), [[{ owner: 1 }]])
  })

  test('what is sent must be what was announced; a URL is good for one file', async () => {
    const id = await created('guarded')
    const etag = md5('SELECT 1;')
    const { upload_url: url } = started.parse(
      await client.d1.database.import(id, { ...own, action: 'init', etag }),
    )
    assert.equal((await fetch(url, { method: 'PUT', body: 'SELECT 2;' })).status, 400)
    const wrong = await client.d1.database.import(id, {
      ...own,
      action: 'ingest',
      etag,
      filename: 'x',
    })
    assert.equal(wrong.success, false)
    assert.equal((await fetch(url)).status, 404)
    const last = url.at(-1) === 'A' ? 'B' : 'A'
    assert.equal((await fetch(url.slice(0, -1) + last, { method: 'PUT', body: 'x' })).status, 403)
    const idle = await client.d1.database.import(id, {
      ...own,
      action: 'poll',
      current_bookmark: 'none',
    })
    assert.deepEqual(idle, { success: false, error: 'Not currently importing anything.' })
  })
})

suite('exports', () => {
  async function exported(id: string, options = {}): Promise<string> {
    const asked = { ...own, output_format: 'polling' as const, dump_options: options }
    let answer = await client.d1.database.export(id, asked)
    while (isActive(answer)) {
      const current_bookmark = answer.at_bookmark ?? assert.fail('no bookmark')
      answer = await client.d1.database.export(id, { ...asked, current_bookmark })
    }
    assert.equal(answer.status, 'complete', JSON.stringify(answer))
    const response = await fetch(answer.result?.signed_url ?? '')
    assert.equal(response.status, 200)
    return response.text()
  }

  test('what is exported can be imported, and is the same', async () => {
    const id = await created('exported')
    const numbers = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT`
    await query(
      id,
      `CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, real REAL, text TEXT, bytes BLOB);
       INSERT INTO t (real, text, bytes) ${numbers} i / 3.0, 'it''s; ' || i || char(10), randomblob(50) FROM n;
       INSERT INTO t VALUES (9223372036854775807, -1e308, 'a' || char(0) || 'b', x''), (9007199254740993, NULL, '', NULL);
       CREATE TABLE "w ""q" (k TEXT, v, PRIMARY KEY (k, v)) WITHOUT ROWID;
       INSERT INTO "w ""q" ${numbers} i % 7, i FROM n;
       CREATE INDEX by_text ON t (text); CREATE VIEW long AS SELECT * FROM t WHERE length(text) > 9;
       CREATE TRIGGER tr AFTER DELETE ON t BEGIN SELECT 1; END`,
    )
    const text = await exported(id)
    const copy = await created('copied')
    const etag = md5(text)
    const { upload_url: url } = started.parse(
      await client.d1.database.import(copy, { ...own, action: 'init', etag }),
    )
    assert.equal((await fetch(url, { method: 'PUT', body: text })).status, 200)
    const answer = await client.d1.database.import(copy, {
      ...own,
      action: 'ingest',
      etag,
      filename: '',
    })
    assert.notEqual(answer.status, 'error', JSON.stringify(answer))
    const sums = `SELECT count(*), sum(length(quote(real) || quote(text) || hex(bytes))), quote(max(id)), group_concat(hex(bytes), '') FROM t;
      SELECT count(*), group_concat(k || v) FROM "w ""q"; SELECT quote(seq) FROM sqlite_sequence;
      SELECT type, name FROM sqlite_schema ORDER BY type, name`
    assert.deepEqual(await query(copy, sums), await query(id, sums))
    assert.equal(await exported(copy), text)
    const schema = await exported(id, { no_data: true })
    assert.doesNotMatch(schema, /INSERT/)
    assert.match(
      await exported(id, { tables: ['t'], no_schema: true }),
      /^PRAGMA.*\nINSERT INTO "t"/,
    )
  })
})

suite('Time Travel', () => {
  const travel = () => client.d1.database.timeTravel
  const now = async (id: string, timestamp?: string): Promise<string> => {
    const { bookmark } = await travel().getBookmark(id, { ...own, ...(timestamp && { timestamp }) })
    return bookmark ?? assert.fail('no bookmark')
  }
  const restore = async (id: string, bookmark: string) => {
    const { bookmark: reached = '', previous_bookmark: previous = '' } = await travel().restore(
      id,
      {
        ...own,
        bookmark,
      },
    )
    return { reached, previous }
  }

  test('a database is what it was, and is what it was before that', async () => {
    const id = await created('travelled')
    await query(id, 'CREATE TABLE t (a); INSERT INTO t VALUES (1)')
    const first = await now(id)
    await query(id, 'INSERT INTO t VALUES (2); DROP TABLE IF EXISTS none')
    const second = await now(id)
    assert.ok(second > first)
    const back = await restore(id, first)
    assert.equal(back.previous, second)
    assert.ok(back.reached > second)
    assert.deepEqual(await query(id, 'SELECT a FROM t'), [[{ a: 1 }]])
    assert.ok((await now(id)) > second)
    await query(id, 'INSERT INTO t VALUES (3)')
    await server.restart()
    client.baseURL = server.environment['CLOUDFLARE_BASE_URL'] ?? ''
    assert.deepEqual(await query(id, 'SELECT a FROM t'), [[{ a: 1 }, { a: 3 }]])
    await restore(id, back.previous)
    assert.deepEqual(await query(id, 'SELECT a FROM t'), [[{ a: 1 }, { a: 2 }]])
    assert.ok((await now(id, new Date().toISOString())) >= second)
  })

  test('what there is no way back to is refused', async () => {
    const id = await created('stuck')
    const other = await created('elsewhere')
    await query(other, 'CREATE TABLE t (a)')
    await assert.rejects(restore(id, 'nonsense'), refused(400, 7400))
    await assert.rejects(restore(id, await now(other)), refused(400, 7400))
    for (const timestamp of ['yesterday', '2020-01-01T00:00:00Z', '2999-01-01T00:00:00Z']) {
      await assert.rejects(now(id, timestamp), refused(400, 7400), timestamp)
    }
  })

  test('calls under way are answered before or after, and none is lost', async () => {
    const id = await created('busy')
    await query(id, 'CREATE TABLE t (a INTEGER PRIMARY KEY)')
    const earlier = await now(id)
    const inserts = Array.from({ length: 40 }, (_, at) =>
      query(id, 'INSERT INTO t VALUES (?)', [`${at}`]),
    )
    await restore(id, earlier)
    await Promise.all(inserts)
    const [[row] = []] = z
      .array(z.array(z.object({ n: z.number() })))
      .parse(await query(id, 'SELECT count(*) AS n FROM t'))
    assert.ok(row && row.n <= 40)
  })

  test('the archive makes the very database', async () => {
    const id = await created('verified')
    await query(id, 'CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(10000))')
    const verdict = z.object({ result: z.object({ is_same: z.boolean(), difference: z.null() }) })
    const { result } = verdict.parse(
      await client.post(`/accounts/${own.account_id}/d1/database/${id}/verify`),
    )
    assert.equal(result.is_same, true)
  })
})
