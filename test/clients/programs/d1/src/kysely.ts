import { Kysely, sql } from 'kysely'
import { D1Dialect } from 'kysely-d1'
import { type Migration, Migrator } from 'kysely/migration'

const migrations: Record<string, Migration> = {
  '1_people': {
    async up(db) {
      await db.schema
        .createTable('person')
        .addColumn('id', 'integer', (column) => column.primaryKey().autoIncrement())
        .addColumn('name', 'text', (column) => column.notNull().unique())
        .addColumn('made', 'text', (column) => column.defaultTo(sql`'then'`).notNull())
        .execute()
    },
    down: (db) => db.schema.dropTable('person').execute(),
  },
  '2_pets': {
    async up(db) {
      await db.schema
        .createTable('pet')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('owner', 'integer', (column) =>
          column.references('person.id').onDelete('cascade').notNull(),
        )
        .addColumn('kind', 'varchar(20)', (column) => column.check(sql`kind in ('cat', 'dog')`))
        .execute()
      await db.schema.createIndex('pet_owner').on('pet').columns(['owner', 'kind']).execute()
      await db.schema
        .createView('owner')
        .as(db.selectFrom('person').select(['id', 'name']))
        .execute()
    },
    async down(db) {
      await db.schema.dropView('owner').execute()
      await db.schema.dropTable('pet').execute()
    },
  },
}

type Tables = {
  person: { id: number; name: string; made: string }
  pet: { id: number; owner: number; kind: string | null }
}

const wrong = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => null,
    (error: Error) => error.message,
  )

export async function kyselyProgram(database: D1Database): Promise<unknown> {
  const db = new Kysely<any>({ dialect: new D1Dialect({ database }) }) as Kysely<Tables>
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const migrated = [
    await migrator.migrateToLatest(),
    await migrator.migrateToLatest(),
    await migrator.migrateDown(),
    await migrator.migrateUp(),
  ].map(({ error, results }) => ({ error: error ? String(error) : null, results }))
  const tables = await db.introspection.getTables()
  const made = await db
    .insertInto('person')
    .values({ name: 'Ann' } as never)
    .returningAll()
    .execute()
  const inserted = await db
    .insertInto('person')
    .values([{ name: 'Ben' }, { name: 'Cat' }] as never)
    .executeTakeFirst()
  const pets = await db
    .insertInto('pet')
    .columns(['owner', 'kind'] as never)
    .expression(
      db.selectFrom('person').select(['id as owner', sql<string>`'cat'`.as('kind')]) as never,
    )
    .executeTakeFirst()
  const updated = await db
    .updateTable('person')
    .set({ made: 'now' })
    .where('id', '>', 1)
    .executeTakeFirst()
  const none = await db
    .updateTable('person')
    .set({ made: '' })
    .where('id', '=', -1)
    .executeTakeFirst()
  const upserted = await db
    .insertInto('person')
    .values({ name: 'Ann', made: 'again' } as never)
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ made: 'again' }))
    .returning('made')
    .executeTakeFirst()
  const unique = await wrong(
    db
      .insertInto('person')
      .values({ name: 'Ann' } as never)
      .execute(),
  )
  const check = await wrong(
    db
      .insertInto('pet')
      .values({ owner: 1, kind: 'cow' } as never)
      .execute(),
  )
  const transaction = await wrong(db.transaction().execute(async () => 1))
  const joined = await db
    .with('late', (query) => query.selectFrom('person').selectAll().where('made', '=', 'now'))
    .selectFrom('late')
    .leftJoin('pet', 'pet.owner', 'late.id')
    .select(['late.name', 'pet.kind', db.fn.count('pet.id').over().as('many')])
    .orderBy('late.name')
    .execute()
  const deleted = await db
    .deleteFrom('person')
    .where('name', 'in', ['Ann', 'Ben'])
    .executeTakeFirst()
  const left = await db
    .selectFrom('pet')
    .select(({ fn }) => fn.countAll<number>().as('n'))
    .executeTakeFirstOrThrow()
  const number = (value: bigint | undefined): number | null =>
    value === undefined ? null : Number(value)
  return {
    migrated,
    tables: tables.map(({ name, isView, columns }) => ({
      name,
      isView,
      columns: columns.map((column) => [
        column.name,
        column.dataType,
        column.isNullable,
        column.isAutoIncrementing,
        column.hasDefaultValue,
      ]),
    })),
    made,
    inserted: [number(inserted.insertId), number(inserted.numInsertedOrUpdatedRows)],
    pets: number(pets.numInsertedOrUpdatedRows),
    updated: [number(updated.numUpdatedRows), number(none.numUpdatedRows)],
    upserted,
    unique,
    check,
    transaction,
    joined,
    deleted: number(deleted.numDeletedRows),
    left: left.n,
  }
}
