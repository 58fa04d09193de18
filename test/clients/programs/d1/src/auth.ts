import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'

const optionsOf = (database: D1Database, baseURL: string) => ({
  database,
  baseURL,
  secret: 'a secret that is long enough for anyone',
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
})

export const authOf = (database: D1Database, baseURL: string) =>
  betterAuth(optionsOf(database, baseURL))

/** Makes the tables; gives how many there were to make: there are none the second time. */
export async function prepareAuth(database: D1Database): Promise<number[]> {
  const made: number[] = []
  for (let time = 0; time < 2; time++) {
    const migrations = await getMigrations(optionsOf(database, 'http://localhost'))
    made.push(migrations.toBeCreated.length)
    await migrations.runMigrations()
  }
  return made
}
