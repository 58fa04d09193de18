import m0000 from './0000_todos.sql'

// What drizzle-kit writes for `driver: 'durable-sqlite'`, before there was a second migration.
export const migrations = {
  journal: { entries: [{ idx: 0, when: 1_760_000_000_000, tag: '0000_todos', breakpoints: true }] },
  migrations: { m0000 },
}
