import { Hono } from 'hono'
import { etag } from 'hono/etag'

// Pages made for each visitor, an API, and files that go through the app's own middleware.

const app = new Hono()

app.use('*', async (c, next) => {
  await next()
  c.header('x-app', 'hono')
})
app.get('/', (c) => {
  const name = c.req.query('name') ?? 'you'
  return c.html(
    <html lang="en">
      <head>
        <title>Hono</title>
        <link rel="stylesheet" href="/style.css" />
      </head>
      <body>
        <h1>Hello, {name}</h1>
      </body>
    </html>,
  )
})
app.get('/api/notes/:id', etag(), async (c) => {
  const note = await c.env.NOTES.get(c.req.param('id'))
  return note === null ? c.json({ error: 'no such note' }, 404) : c.json({ note })
})
app.put('/api/notes/:id', async (c) => {
  await c.env.NOTES.put(c.req.param('id'), await c.req.text())
  return c.body(null, 204)
})
app.get('/files/*', (c) => c.env.ASSETS.fetch(new URL(c.req.path.slice(6), c.req.url)))

export default app
