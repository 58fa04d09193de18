import m0000 from './0000_todos.sql'
import m0001 from './0001_done.sql'

// The same a release later.
export const migrations = {
  journal: {
    entries: [
      { idx: 0, when: 1_760_000_000_000, tag: '0000_todos', breakpoints: true },
      { idx: 1, when: 1_770_000_000_000, tag: '0001_done', breakpoints: true },
    ],
  },
  migrations: { m0000, m0001 },
}
