import { Gate } from '#contract/gate.ts'
import type { AccountId } from '#contract/ids.ts'
import type { DatabaseCellStatus, DatabaseFile } from '#contract/ports/databases.ts'
import { DatabaseCell } from './cell.ts'
import type { DatabaseContext } from './host-options.ts'
import { ownCells, sharedCells } from './limits.ts'

const longestLine = 1_000

/** The database cells of one account. No two accounts share one. */
export class AccountCells {
  readonly #context: DatabaseContext
  readonly #account: AccountId
  readonly #starts = new Gate(1, longestLine)
  readonly #shared = new Map<number, DatabaseCell>()
  readonly #own: DatabaseCell[] = []
  readonly #apart = new Map<string, DatabaseCell>()

  constructor(context: DatabaseContext, account: AccountId) {
    this.#context = context
    this.#account = account
  }

  /** Where a database is: always the same cell, unless it was set apart. */
  cellOf({ database }: DatabaseFile): DatabaseCell {
    const apart = this.#apart.get(database)
    if (apart) return apart
    const index = Number.parseInt(database.slice(0, 8), 16) % sharedCells
    const known = this.#shared.get(index)
    if (known) return known
    const made = this.#newCell()
    this.#shared.set(index, made)
    return made
  }

  /** From now on a database has a cell of its own, or shares the last of these. No process has it open. */
  setApart({ database }: DatabaseFile): void {
    if (this.#apart.has(database)) return
    this.#context.log.warn('a database is set apart: others suffered from it', {
      account: this.#account,
      database,
    })
    if (this.#own.length < ownCells) this.#own.push(this.#newCell())
    const cell = this.#own.at(-1)
    if (cell) this.#apart.set(database, cell)
  }

  /** Of those that have a process. */
  status(): readonly DatabaseCellStatus[] {
    return this.#cells().flatMap((cell) => cell.status ?? [])
  }

  async stop(): Promise<void> {
    await Promise.all(this.#cells().map((cell) => cell.stop()))
  }

  #cells(): readonly DatabaseCell[] {
    return [...this.#shared.values(), ...this.#own]
  }

  #newCell(): DatabaseCell {
    return new DatabaseCell(this.#context, this.#account, this.#starts)
  }
}
