import { asc, count, eq, gt, relations, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { blob, index, integer, real, sqliteTable, text } from 'drizzle-orm/sqlite-core'

const authors = sqliteTable('authors', {
  id: integer().primaryKey({ autoIncrement: true }),
  name: text().notNull().unique(),
  joined: integer({ mode: 'timestamp' })
    .notNull()
    .default(sql`(unixepoch())`),
})

const books = sqliteTable(
  'books',
  {
    id: integer().primaryKey({ autoIncrement: true }),
    authorId: integer('author_id')
      .notNull()
      .references(() => authors.id, { onDelete: 'cascade' }),
    title: text().notNull(),
    price: real(),
    tags: text({ mode: 'json' }).$type<string[]>().notNull().default([]),
    cover: blob({ mode: 'buffer' }),
  },
  (table) => [index('books_author').on(table.authorId)],
)

const ofAuthors = relations(authors, ({ many }) => ({ books: many(books) }))
const ofBooks = relations(books, ({ one }) => ({
  author: one(authors, { fields: [books.authorId], references: [authors.id] }),
}))

/** What is wrong, as D1 says it: drizzle's own error is around it. */
const wrong = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => null,
    (error: Error & { cause?: Error }) => error.cause?.message ?? error.message,
  )

export async function drizzleProgram(database: D1Database): Promise<unknown> {
  const db = drizzle(database, { schema: { authors, books, ofAuthors, ofBooks } })
  const joined = new Date('2020-01-01T00:00:00Z')
  const made = await db
    .insert(authors)
    .values([
      { name: 'Ann', joined },
      { name: 'Ben', joined },
    ])
    .returning()
  const [ann, ben] = made
  const cover = Buffer.from([0, 1, 255])
  const batch = await db.batch([
    db
      .insert(books)
      .values({ authorId: ann.id, title: 'One', price: 9.5, tags: ['a', 'é'], cover })
      .returning({ id: books.id }),
    db.insert(books).values([
      { authorId: ann.id, title: 'Two' },
      { authorId: ben.id, title: 'Three', price: 1 },
    ]),
    db.update(books).set({ price: 2 }).where(eq(books.title, 'Two')),
    db.select({ title: books.title, price: books.price }).from(books).orderBy(books.id),
  ])
  const refused = await wrong(
    db.batch([
      db.insert(books).values({ authorId: ben.id, title: 'Never' }),
      db.insert(authors).values({ name: 'Ann' }),
    ]),
  )
  const orphan = await wrong(db.insert(books).values({ authorId: 999, title: 'Orphan' }).run())
  const transaction = await wrong(
    db.transaction((tx) => tx.insert(authors).values({ name: 'Never' })),
  )
  const upserted = await db
    .insert(authors)
    .values({ name: 'Ben', joined: new Date(0) })
    .onConflictDoUpdate({ target: authors.name, set: { joined: sql`excluded.joined` } })
    .returning()
  const related = await db.query.authors.findMany({
    columns: { name: true, joined: true },
    with: { books: { columns: { title: true, tags: true }, orderBy: [asc(books.id)] } },
    orderBy: [asc(authors.id)],
  })
  const joinedRows = await db
    .select({ id: authors.id, book: books.id, name: authors.name, cover: books.cover })
    .from(books)
    .innerJoin(authors, eq(books.authorId, authors.id))
    .orderBy(books.id)
  const grouped = await db
    .select({ name: authors.name, many: count(books.id), price: sql<number>`sum(${books.price})` })
    .from(authors)
    .leftJoin(books, eq(books.authorId, authors.id))
    .groupBy(authors.id)
    .orderBy(authors.id)
  const prepared = db
    .select({ title: books.title })
    .from(books)
    .where(gt(books.price, sql.placeholder('price')))
    .orderBy(books.title)
    .prepare()
  const dear = [await prepared.all({ price: 1.5 }), await prepared.get({ price: 9 })]
  const { meta } = await db.update(books).set({ price: 0 }).where(eq(books.authorId, ann.id))
  const gone = await db.delete(authors).where(eq(authors.name, 'Ann'))
  return {
    made,
    batch: [batch[0], batch[1].meta.changes, batch[2].meta.changes, batch[3]],
    refused,
    orphan,
    transaction: String(transaction).slice(0, 34),
    upserted,
    related,
    joined: joinedRows.map((row) => ({ ...row, cover: row.cover && [...row.cover] })),
    grouped,
    dear,
    changes: [meta.changes, gone.meta.changes],
    left: await db.$count(books),
  }
}
