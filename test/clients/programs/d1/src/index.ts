import { Hono } from 'hono'
import { authOf, prepareAuth } from './auth'
import { drizzleProgram } from './drizzle'
import { kyselyProgram } from './kysely'
import { prismaProgram } from './prisma'

export type Env = Record<'DRIZZLE' | 'KYSELY' | 'PRISMA' | 'AUTH', D1Database>

const app = new Hono<{ Bindings: Env }>()
app.get('/drizzle', async (context) => context.json(await drizzleProgram(context.env.DRIZZLE)))
app.get('/kysely', async (context) => context.json(await kyselyProgram(context.env.KYSELY)))
app.get('/prisma', async (context) => context.json(await prismaProgram(context.env.PRISMA)))
app.post('/auth', async (context) => context.json(await prepareAuth(context.env.AUTH)))
app.get('/auth', async (context) => {
  const sql = 'SELECT email, (SELECT count(*) FROM session WHERE userId = user.id) AS n FROM user'
  return context.json(await context.env.AUTH.prepare(sql).raw())
})
app.on(['GET', 'POST'], '/api/auth/*', (context) =>
  authOf(context.env.AUTH, new URL(context.req.url).origin).handler(context.req.raw),
)
export default app
