import { numbersFrom } from '#test/random.ts'

// Programs of SQL, made by chance: whoever runs one as SQLite does gets one result. So queries are ordered
// by all that they give, and nothing depends on the time, or on which of several equal values is kept.

export type Param = string | number | null | readonly number[]
export type Statement = { readonly sql: string; readonly params: readonly Param[] }
/** A transaction: one statement or more. */
export type Step = readonly Statement[]

const schema: Step = [
  'CREATE TABLE root (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c REAL, d BLOB, e NUMERIC, f)',
  `CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, up INTEGER REFERENCES root (id) ON DELETE CASCADE ON UPDATE CASCADE,
  name TEXT UNIQUE, n INTEGER NOT NULL DEFAULT 7 CHECK (n <> 13))`,
  `CREATE TABLE leaf (k TEXT, v INTEGER, w, up REFERENCES child (id) ON DELETE SET NULL, own REFERENCES root (id),
  twice AS (v * 2), PRIMARY KEY (k, v)) WITHOUT ROWID`,
  'CREATE TABLE told (id INTEGER PRIMARY KEY, what TEXT, at INTEGER, was)',
  'CREATE INDEX root_a ON root (a)',
  'CREATE INDEX root_b ON root (lower(b), c) WHERE a IS NOT NULL',
  'CREATE UNIQUE INDEX leaf_w ON leaf (w COLLATE NOCASE) WHERE w IS NOT NULL',
  'CREATE INDEX child_up ON child (up, n DESC)',
  `CREATE TRIGGER root_in AFTER INSERT ON root WHEN NEW.a > 3 BEGIN
  INSERT INTO told (what, at, was) VALUES ('in;', NEW.id, NEW.f); UPDATE child SET n = n + 1 WHERE up = NEW.id AND n < 12; END`,
  `CREATE TRIGGER root_change AFTER UPDATE OF b ON root BEGIN INSERT INTO told (what, at, was) VALUES ('change', NEW.id, OLD.b); END`,
  `CREATE TRIGGER child_out AFTER DELETE ON child BEGIN INSERT INTO told (what, at, was) VALUES ('out', OLD.id, OLD.name); END`,
  `CREATE TRIGGER leaf_before BEFORE INSERT ON leaf WHEN NEW.v = 99 BEGIN SELECT raise(ABORT, 'not 99'); END`,
  `CREATE TRIGGER leaf_half BEFORE INSERT ON leaf WHEN NEW.v = 98 BEGIN SELECT raise(FAIL, 'not 98'); END`,
  'CREATE VIEW both AS SELECT child.id AS id, child.name AS name, child.n AS n, root.b AS b, root.a AS a FROM child LEFT JOIN root ON root.id = child.up',
].map((sql) => ({ sql, params: [] }))

const columns = {
  root: ['id', 'a', 'b', 'c', 'd', 'e', 'f'],
  child: ['id', 'up', 'name', 'n'],
  leaf: ['k', 'v', 'w', 'up', 'own', 'twice'],
  told: ['id', 'what', 'at', 'was'],
  both: ['id', 'name', 'n', 'b', 'a'],
} as const
type Source = keyof typeof columns

const texts = [
  '',
  'a',
  'A',
  "it's",
  'ünï',
  '日本',
  '😀',
  'a%b_c',
  '1',
  '-1.50',
  ' 7 ',
  '1e3',
  'x;y',
  '--',
  '"',
  '\\',
  '\t\r\n',
  '{"a":[1]}',
]
const boundTexts = [...texts, 'nul\u0000nul', '\u2028', 'z'.repeat(300)]
const integers = [
  0, 1, -1, 2, 3, 7, 12, 13, 98, 99, 255, 2147483648, -4294967297, 9007199254740991,
  -9007199254740991,
]
const reals = [0.5, -2.25, 1.5, 3.0, 1e10, 0.125, -1e-3, 123456.75]

/** The schema, and then as many steps as asked for. */
export function programOf(seed: number, steps: number): readonly Step[] {
  const maker = new Maker(numbersFrom(seed))
  return [schema, ...Array.from({ length: steps }, () => maker.step())]
}

class Maker {
  readonly #random: () => number
  #params: Param[] = []

  constructor(random: () => number) {
    this.#random = random
  }

  step(): Step {
    const count = this.#below(5) === 0 ? 2 + this.#below(4) : 1
    return Array.from({ length: count }, () => this.#statement())
  }

  #statement(): Statement {
    this.#params = []
    const sql = this.#one([
      () => this.#insertRoot(),
      () => this.#insertRoot(),
      () => this.#insertChild(),
      () => this.#insertChild(),
      () => this.#insertLeaf(),
      () => this.#insertLeaf(),
      () => this.#insertFrom(),
      () => this.#update(),
      () => this.#update(),
      () => this.#updateFrom(),
      () => this.#delete(),
      () => this.#index(),
      () => this.#select(),
      () => this.#select(),
      () => this.#join(),
      () => this.#aggregate(),
      () => this.#window(),
      () => this.#common(),
      () => this.#compound(),
    ])()
    return { sql, params: this.#params }
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #one<Item>(items: readonly [Item, ...Item[]] | readonly Item[]): Item {
    const item = items[this.#below(items.length)]
    if (item === undefined) throw new Error('of nothing')
    return item
  }

  #maybe(text: string, of = 3): string {
    return this.#below(of) === 0 ? text : ''
  }

  // Values

  #id(): string {
    return String(1 + this.#below(40))
  }

  #value(): string {
    return this.#below(3) === 0 ? this.#bound() : this.#literal()
  }

  #bound(): string {
    this.#params.push(
      this.#one<() => Param>([
        () => this.#one(boundTexts),
        () => this.#one(integers),
        () => this.#one(reals),
        () => null,
        () => Array.from({ length: this.#below(5) }, () => this.#below(256)),
      ])(),
    )
    return '?'
  }

  #literal(): string {
    return this.#one([
      () => quoted(this.#one(texts)),
      () => String(this.#one(integers)),
      () => this.#one(['0.5', '-2.25', '1.5', '3.0', '1e10', '0.125', '123456.75']),
      () => 'NULL',
      () => this.#one(["x''", "x'00'", "x'00ff10'", "x'61'"]),
    ])()
  }

  #small(): string {
    return String(this.#below(16))
  }

  #name(): string {
    return quoted(`${this.#one(['n', 'N', 'ñ', 'x y'])}${this.#below(30)}`)
  }

  /** A value of the columns of a source; `by` comes before each name. */
  #expression(source: Source, by = '', depth = 2): string {
    const column = (): string => `${by}${this.#one(columns[source])}`
    if (depth === 0) return this.#below(3) === 0 ? this.#value() : column()
    const inner = (): string => this.#expression(source, by, depth - 1)
    return this.#one([
      column,
      () => this.#value(),
      () => `(${inner()} ${this.#one(['+', '-', '*', '/', '%', '||', '&', '|'])} ${inner()})`,
      () => this.#condition(source, by, depth - 1),
      () =>
        `${this.#one(['abs', 'typeof', 'length', 'hex', 'upper', 'lower', 'trim', 'quote', 'unicode', '-', 'NOT '])}(${column()})`,
      () => `coalesce(${inner()}, ${inner()})`,
      () => `nullif(${inner()}, ${inner()})`,
      () =>
        `CASE WHEN ${this.#condition(source, by, depth - 1)} THEN ${inner()} ELSE ${inner()} END`,
      () => `CAST(${column()} AS ${this.#one(['INTEGER', 'REAL', 'NUMERIC'])})`,
      () => `substr(${column()}, ${this.#one(['1', '-2', '2'])}, 2)`,
      () => `iif(${inner()}, 1, 'no')`,
      () => `json_array(${this.#one(['1', "'a'", 'NULL'])}, ${this.#small()})`,
      () => `replace(${column()}, 'a', '<>')`,
      () =>
        `(SELECT ${this.#one(['count(*)', 'max(id)', 'sum(id)'])} FROM ${this.#one(['root', 'child', 'told'])} WHERE id < ${this.#id()})`,
    ])()
  }

  #condition(source: Source, by = '', depth = 1): string {
    const left = (): string => this.#expression(source, by, depth === 0 ? 0 : depth - 1)
    const right = (): string => this.#expression(source, by, 0)
    return this.#one([
      () =>
        `(${left()} ${this.#one(['=', '<', '>', '<=', '>=', '<>', 'IS', 'IS NOT'])} ${right()})`,
      () => `(${left()} = ${right()} COLLATE NOCASE)`,
      () =>
        `(${left()} ${this.#maybe('NOT ')}IN (${this.#value()}, ${this.#value()}, ${this.#small()}))`,
      () => `(${left()} BETWEEN ${this.#value()} AND ${this.#value()})`,
      () => `(${left()} LIKE ${quoted(this.#one(['%a%', '_', 'n1%', 'Ü%', '%']))})`,
      () => `(${left()} GLOB ${quoted(this.#one(['*a*', '?', '[a-z]*']))})`,
      () => `(${left()} IS NULL)`,
      () => `(${left()} ${this.#one(['AND', 'OR'])} ${right()})`,
      () => `(${this.#maybe('NOT ')}EXISTS (SELECT 1 FROM child AS c WHERE c.n = ${left()}))`,
      () => `(${left()} IN (SELECT ${this.#one(['a', 'id', 'b'])} FROM root))`,
    ])()
  }

  // Statements that write

  #into(): string {
    return this.#one([
      'INSERT',
      'INSERT',
      'INSERT',
      'INSERT OR IGNORE',
      'INSERT OR REPLACE',
      'REPLACE',
      'INSERT OR FAIL',
      'INSERT OR ABORT',
    ])
  }

  #rows(row: () => string): string {
    return Array.from({ length: 1 + this.#below(3) }, row).join(', ')
  }

  #insertRoot(): string {
    const id = (): string => (this.#below(3) === 0 ? this.#id() : 'NULL')
    const row = (): string => `(${id()}, ${[1, 2, 3, 4, 5, 6].map(() => this.#value()).join(', ')})`
    const upsert = `INSERT INTO root VALUES ${row()} ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = b || excluded.b${this.#maybe(' WHERE a IS NOT 1')}`
    if (this.#below(4) === 0)
      return upsert + this.#maybe(' RETURNING id AS c0, a AS c1, b AS c2', 2)
    this.#params = []
    return `${this.#into()} INTO root VALUES ${this.#rows(row)}${this.#maybe(' RETURNING id AS c0, typeof(e) AS c1, f AS c2')}`
  }

  #insertChild(): string {
    const row = (): string =>
      `(${this.#maybe('NULL', 6) || this.#id()}, ${this.#name()}, ${this.#small()})`
    const conflict = this.#one([
      '',
      '',
      ' ON CONFLICT DO NOTHING',
      ' ON CONFLICT (name) DO UPDATE SET n = n + excluded.n',
      ' ON CONFLICT (name) DO UPDATE SET up = excluded.up WHERE n < excluded.n',
    ])
    const into = conflict === '' ? this.#into() : 'INSERT'
    return `${into} INTO child (up, name, n) VALUES ${this.#rows(row)}${conflict}${this.#maybe(' RETURNING id AS c0, name AS c1, n AS c2')}`
  }

  #insertLeaf(): string {
    const own = (): string => this.#one(['NULL', 'NULL', this.#id()])
    const v = (): string => (this.#below(12) === 0 ? this.#one(['98', '99']) : this.#small())
    const row = (): string => `(${this.#name()}, ${v()}, ${this.#value()}, ${own()}, ${own()})`
    const conflict = this.#one([
      '',
      ' ON CONFLICT (k, v) DO UPDATE SET w = NULL',
      ' ON CONFLICT DO NOTHING',
    ])
    const into = conflict === '' ? this.#into() : 'INSERT'
    return `${into} INTO leaf (k, v, w, up, own) VALUES ${this.#rows(row)}${conflict}${this.#maybe(' RETURNING k AS c0, twice AS c1')}`
  }

  #insertFrom(): string {
    const most = 1 + this.#below(4)
    return this.#one([
      () =>
        `INSERT INTO told (what, at, was) SELECT 'from', id, ${this.#expression('root')} FROM root ORDER BY id LIMIT ${most}`,
      () =>
        `INSERT INTO child (up, name) SELECT id, 'of ' || id FROM root WHERE true ORDER BY id DESC LIMIT ${most} ON CONFLICT DO NOTHING`,
      () =>
        `WITH few AS (SELECT id, a FROM root ORDER BY id LIMIT ${most}) INSERT INTO root (a, b) SELECT a, 'copy' FROM few`,
    ])()
  }

  #update(): string {
    const id = this.#id()
    return this.#one([
      () =>
        `UPDATE root SET ${this.#one(['a', 'b', 'c', 'd', 'e', 'f'])} = ${this.#expression('root')} WHERE ${this.#condition('root')}`,
      () =>
        `UPDATE root SET a = ${this.#value()}, (b, c) = (${this.#value()}, ${this.#value()}) WHERE id = ${id} RETURNING id AS c0, b AS c1, typeof(c) AS c2`,
      () =>
        `UPDATE ${this.#one(['', 'OR IGNORE ', 'OR REPLACE ', 'OR FAIL '])}root SET id = ${this.#id()} WHERE id = ${id}`,
      () =>
        `UPDATE ${this.#one(['', 'OR IGNORE ', 'OR REPLACE '])}child SET name = ${this.#name()}, n = ${this.#small()} WHERE id = ${id}`,
      () => `UPDATE child SET n = n + 1 WHERE n < ${this.#small()}`,
      () => `UPDATE leaf SET up = ${this.#one(['NULL', id])} WHERE v = ${this.#small()}`,
    ])()
  }

  #updateFrom(): string {
    return `UPDATE child SET n = coalesce(root.a % 10, 1) FROM root WHERE root.id = child.up AND child.id < ${this.#id()} AND ${this.#condition('root', 'root.')}`
  }

  #delete(): string {
    const id = this.#id()
    return this.#one([
      () => `DELETE FROM root WHERE id = ${id} RETURNING id AS c0, a AS c1, d AS c2`,
      () => `DELETE FROM root WHERE id > 30 AND ${this.#condition('root')}`,
      () => `DELETE FROM child WHERE id = ${id}`,
      () => `DELETE FROM leaf WHERE v = ${this.#small()} AND ${this.#condition('leaf')}`,
      () => `DELETE FROM told WHERE id % 3 = ${this.#below(3)}`,
      () => 'DELETE FROM told',
    ])()
  }

  #index(): string {
    const name = `more_${this.#below(4)}`
    return this.#one([
      `DROP INDEX IF EXISTS ${name}`,
      `CREATE INDEX ${name} ON root (${this.#one(['e', 'f', 'a, b', 'typeof(f)'])})`,
      `CREATE INDEX IF NOT EXISTS ${name} ON told (${this.#one(['at', 'what, was'])})`,
      `CREATE UNIQUE INDEX ${name} ON told (at)`,
    ])
  }

  // Statements that read

  /** Names for what is selected, and an order by all of it. */
  #shown(expressions: readonly string[], from: string): string {
    const list = expressions.map((each, at) => `${each} AS c${at}`).join(', ')
    const order = expressions.map((_, at) => `c${at} COLLATE BINARY`).join(', ')
    return `SELECT ${list} ${from} ORDER BY ${order} LIMIT 40`
  }

  #select(): string {
    const source = this.#one(['root', 'root', 'child', 'leaf', 'told', 'both'] as const)
    const expressions = [1, 2, 3].map(() => this.#expression(source))
    return this.#shown(expressions, `FROM ${source} WHERE ${this.#condition(source)}`)
  }

  #join(): string {
    const kind = this.#one(['JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN'])
    const expressions = [
      'x.id',
      this.#expression('root', 'x.', 1),
      'y.id',
      this.#expression('child', 'y.', 1),
    ]
    return this.#shown(
      expressions,
      `FROM root AS x ${kind} child AS y ON y.up = x.id WHERE ${this.#condition('root', 'x.')}`,
    )
  }

  #aggregate(): string {
    const key = this.#one(['a', 'typeof(f)', 'b', 'e', 'a % 3'])
    const over = this.#one([
      'count(*)',
      'count(DISTINCT a)',
      'sum(a % 1000)',
      'min(id)',
      'max(b)',
      'total(a % 7)',
      'group_concat(id ORDER BY id)',
      'json_group_array(id ORDER BY id)',
      'max(length(d))',
      'count(*) FILTER (WHERE a > 1)',
      'sum(a)',
    ])
    const where = `FROM root WHERE ${this.#condition('root')}`
    if (this.#below(4) === 0) return this.#shown([over, 'count(*)'], where)
    return this.#shown(
      [key, over],
      `${where} GROUP BY ${key} HAVING ${this.#one(['count(*) > 0', 'count(*) > 1', 'max(a) IS NOT NULL'])}`,
    )
  }

  #window(): string {
    const partition = this.#one(['', 'PARTITION BY a ', 'PARTITION BY typeof(f) '])
    const frame = this.#one([
      '',
      ' ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING',
      ' ROWS UNBOUNDED PRECEDING',
    ])
    const over = this.#one([
      'row_number()',
      'count(*)',
      'lag(b, 1, 0)',
      'lead(id)',
      'first_value(b)',
      'sum(a % 100)',
      'ntile(3)',
      'dense_rank()',
      'last_value(c)',
    ])
    return this.#shown(
      ['id', `${over} OVER (${partition}ORDER BY id${frame})`],
      `FROM root WHERE ${this.#condition('root')}`,
    )
  }

  #common(): string {
    return this.#one([
      () =>
        `WITH RECURSIVE n (i, s) AS (SELECT ${this.#small()}, '' UNION ALL SELECT i + 1, s || i FROM n WHERE i < ${20 + this.#below(20)}) SELECT i AS c0, s AS c1 FROM n ORDER BY i`,
      () =>
        `WITH few AS (${this.#shown(['id', this.#expression('root')], 'FROM root')}) ${this.#shown(['few.c0', 'few.c1', 'child.name'], 'FROM few LEFT JOIN child ON child.up = few.c0')}`,
      () =>
        `WITH per AS MATERIALIZED (SELECT up, count(*) AS many FROM child GROUP BY up) ${this.#shown(['root.id', 'per.many'], 'FROM root JOIN per ON per.up = root.id')}`,
    ])()
  }

  #compound(): string {
    const operator = this.#one(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT'])
    const second = this.#one([
      'SELECT id, n FROM child',
      'SELECT at, id FROM told',
      'VALUES (1, 2), (3, NULL)',
    ])
    return `SELECT id AS c0, a AS c1 FROM root WHERE ${this.#condition('root')} ${operator} ${second} ORDER BY c0, c1 LIMIT 40`
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
