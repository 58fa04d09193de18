import { DurableObject } from 'cloudflare:workers'
import { eq, sql } from 'drizzle-orm'
import { drizzle, type DrizzleSqliteDODatabase } from 'drizzle-orm/durable-sqlite'
import { migrate } from 'drizzle-orm/durable-sqlite/migrator'
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { migrations } from '../drizzle/migrations'

type Env = { TODOS: DurableObjectNamespace<Todos> }

const lists = sqliteTable('lists', {
  id: integer().primaryKey({ autoIncrement: true }),
  name: text().notNull().unique(),
})

const todos = sqliteTable('todos', {
  id: integer().primaryKey({ autoIncrement: true }),
  listId: integer('list_id')
    .notNull()
    .references(() => lists.id),
  text: text().notNull(),
  tags: text({ mode: 'json' }).$type<string[]>().notNull().default([]),
})

/** An object whose tables are drizzle's, migrated when it starts. */
export class Todos extends DurableObject<Env> {
  #db: DrizzleSqliteDODatabase

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.#db = drizzle(ctx.storage)
    void ctx.blockConcurrencyWhile(() => migrate(this.#db, migrations))
  }

  /** Adds all of a list or, if one is empty, nothing. */
  add(name: string, texts: readonly string[]): void {
    this.#db.transaction((tx) => {
      const [list] = tx.insert(lists).values({ name }).returning().all()
      for (const text of texts) {
        if (text === '') tx.rollback()
        tx.insert(todos)
          .values({ listId: list?.id ?? 0, text, tags: [name, text] })
          .run()
      }
    })
  }

  async all(): Promise<unknown> {
    return this.#db
      .select({ list: lists.name, text: todos.text, tags: todos.tags })
      .from(todos)
      .innerJoin(lists, eq(todos.listId, lists.id))
      .orderBy(todos.id)
  }

  columns(): unknown[] {
    return this.#db.all(sql`SELECT name FROM pragma_table_info('todos')`)
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const stub = env.TODOS.getByName('mine')
    const url = new URL(request.url)
    if (url.pathname === '/columns') return Response.json(await stub.columns())
    const name = url.searchParams.get('list')
    if (name !== null) await stub.add(name, url.searchParams.getAll('text'))
    return Response.json(await stub.all())
  },
}
