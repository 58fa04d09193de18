import { succeed } from '#contract/envelope.ts'
import { HistoryError } from '#contract/ports/history.ts'
import type { DatabaseOperation, Parts, Route } from './operation.ts'
import { notAnswered } from './query-api.ts'

/** Ours: whether the archive of Time Travel makes the very database. */
export function verifyRoutes({ files }: Parts): readonly Route<DatabaseOperation>[] {
  return [['POST', '/verify', verify]]

  async function verify({ database }: DatabaseOperation): Promise<Response> {
    const difference = await files.verify(database.file).catch((error: unknown) => {
      if (error instanceof HistoryError) return error.message
      return notAnswered(error)
    })
    const { fileBytes, historyBytes } = await files.sizeOf(database.file)
    return succeed({
      is_same: difference === undefined,
      difference: difference ?? null,
      bookmark: await files.bookmark(database.file),
      file_size: fileBytes,
      history_size: historyBytes,
    })
  }
}
