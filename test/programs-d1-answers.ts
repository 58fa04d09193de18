// What the programs of `test/clients/programs/d1` answer, where D1 is as at Cloudflare.

export const drizzleAnswer = {
  made: [
    { id: 2, name: 'Ann', joined: '2020-01-01T00:00:00.000Z' },
    { id: 3, name: 'Ben', joined: '2020-01-01T00:00:00.000Z' },
  ],
  batch: [
    [{ id: 2 }],
    2,
    1,
    [
      { title: 'Kept', price: null },
      { title: 'One', price: 9.5 },
      { title: 'Two', price: 2 },
      { title: 'Three', price: 1 },
    ],
  ],
  refused:
    'UNIQUE constraint failed: authors.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)',
  orphan:
    'D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)',
  transaction: 'D1_ERROR: To execute a transaction',
  upserted: [{ id: 3, name: 'Ben', joined: '1970-01-01T00:00:00.000Z' }],
  related: [
    { name: 'Old; one', joined: '1970-01-01T00:00:00.000Z', books: [{ title: 'Kept', tags: [] }] },
    {
      name: 'Ann',
      joined: '2020-01-01T00:00:00.000Z',
      books: [
        { title: 'One', tags: ['a', 'é'] },
        { title: 'Two', tags: [] },
      ],
    },
    { name: 'Ben', joined: '1970-01-01T00:00:00.000Z', books: [{ title: 'Three', tags: [] }] },
  ],
  joined: [
    { id: 1, book: 1, name: 'Old; one', cover: null },
    { id: 2, book: 2, name: 'Ann', cover: [0, 1, 255] },
    { id: 2, book: 3, name: 'Ann', cover: null },
    { id: 3, book: 4, name: 'Ben', cover: null },
  ],
  grouped: [
    { name: 'Old; one', many: 1, price: null },
    { name: 'Ann', many: 2, price: 11.5 },
    { name: 'Ben', many: 1, price: 1 },
  ],
  dear: [[{ title: 'One' }, { title: 'Two' }], { title: 'One' }],
  changes: [2, 3],
  left: 2,
}

export const kyselyAnswer = {
  migrated: [
    {
      error: null,
      results: [
        { migrationName: '1_people', direction: 'Up', status: 'Success' },
        { migrationName: '2_pets', direction: 'Up', status: 'Success' },
      ],
    },
    { error: null, results: [] },
    { error: null, results: [{ migrationName: '2_pets', direction: 'Down', status: 'Success' }] },
    { error: null, results: [{ migrationName: '2_pets', direction: 'Up', status: 'Success' }] },
  ],
  tables: [
    {
      name: 'owner',
      isView: true,
      columns: [
        ['id', 'INTEGER', true, false, false],
        ['name', 'TEXT', true, false, false],
      ],
    },
    {
      name: 'person',
      isView: false,
      columns: [
        ['id', 'INTEGER', true, true, false],
        ['name', 'TEXT', false, false, false],
        ['made', 'TEXT', false, false, true],
      ],
    },
    {
      name: 'pet',
      isView: false,
      columns: [
        ['id', 'INTEGER', true, true, false],
        ['owner', 'INTEGER', false, false, false],
        ['kind', 'varchar(20)', true, false, false],
      ],
    },
  ],
  made: [{ id: 1, name: 'Ann', made: 'then' }],
  inserted: [3, 2],
  pets: 3,
  updated: [2, 0],
  upserted: { made: 'again' },
  unique:
    'D1_ERROR: UNIQUE constraint failed: person.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)',
  check:
    "D1_ERROR: CHECK constraint failed: kind in ('cat', 'dog'): SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_CHECK)",
  transaction: 'Transactions are not supported yet.',
  joined: [
    { name: 'Ben', kind: 'cat', many: 2 },
    { name: 'Cat', kind: 'cat', many: 2 },
  ],
  deleted: 4,
  left: 1,
}

export const prismaAnswer = {
  ann: {
    id: 1,
    email: 'ann@example.com',
    active: true,
    score: 0.5,
    big: '9007199254740991',
    seen: '2020-01-02T03:04:05.678Z',
    picture: [0, 1, 255],
    extra: { a: [1, 'é'] },
    posts: [
      { id: 1, title: 'One', authorId: 1 },
      { id: 2, title: 'Two', authorId: 1 },
    ],
    groups: [{ name: 'staff' }],
  },
  many: { count: 3 },
  unique: 'P2002',
  foreign: 'P2003',
  missing: 'P2025',
  moved: [{ title: 'Three' }, { title: 'Two' }],
  found: [
    { email: 'ben@example.com', active: true, _count: { posts: 2 } },
    { email: 'cat@example.com', active: true, _count: { posts: 0 } },
  ],
  transaction: [{ count: 2 }, 2, { _sum: { score: 2.75 }, _max: { id: 4 } }],
  upserted: { email: 'cat@example.com', score: 7 },
  raw: [{ title: 'One' }],
  staff: { name: 'staff', users: [{ email: 'ann@example.com' }, { email: 'ben@example.com' }] },
  left: [{ title: 'Three' }, { title: 'Two' }],
}
