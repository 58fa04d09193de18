import type { Blob } from '#contract/ports/blob.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Databases } from '#contract/ports/databases.ts'
import type { Log } from '#contract/ports/log.ts'
import type { Random } from '#contract/ports/random.ts'
import type { Sql } from '#contract/ports/sql.ts'
import type { Vault } from '#contract/ports/vault.ts'

/**
 * What a room that keeps state is handed. `sql` and `blob` are its own: no other room reads them.
 * They are owned by `main.ts`, which closes them after the room.
 */
export type Ports = {
  readonly sql: Sql
  readonly blob: Blob
  readonly databases: Databases
  readonly clock: Clock
  readonly random: Random
  readonly vault: Vault
  readonly log: Log
}
