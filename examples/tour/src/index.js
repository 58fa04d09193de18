import { DurableObject, env as importedEnv } from 'cloudflare:workers'
import { page } from './page.js'

/** One stop of the tour: a binding, what it is asked, and what it answers right now. */
const stops = [
  {
    title: 'Environment variables',
    code: 'env.GREETING, env.SETTINGS',
    run: ({ env }) => ({ GREETING: env.GREETING, SETTINGS: env.SETTINGS }),
  },
  {
    title: 'Secrets',
    code: 'env.PASSPHRASE',
    run: ({ env }) =>
      env.PASSPHRASE === undefined
        ? 'Not set. Try: echo -n sesame | npx wrangler secret put PASSPHRASE --name tour'
        : `set, ${env.PASSPHRASE.length} characters long`,
  },
  {
    title: 'Secrets Store',
    code: 'await env.COMBINATION.get()',
    run: async ({ env }) =>
      env.COMBINATION === undefined
        ? 'Not bound: npm start makes a store and binds a secret of it'
        : {
            length: (await env.COMBINATION.get()).length,
            look: 'a new value is seen without a deploy: npx wrangler secrets-store secret update',
          },
  },
  {
    title: 'Static assets',
    code: "await env.ASSETS.fetch('https://tour/postcard.svg')",
    run: async ({ env }) => {
      const file = await env.ASSETS.fetch('https://tour/postcard.svg')
      return {
        status: file.status,
        type: file.headers.get('content-type'),
        etag: file.headers.get('etag'),
        look: '/postcard.svg is answered before this code is asked',
      }
    },
  },
  {
    title: 'KV',
    code: "await env.NOTES.put('visits', n, { metadata }); await env.NOTES.list()",
    run: async ({ env, url }) => {
      const visits = Number((await env.NOTES.get('visits')) ?? 0) + 1
      await env.NOTES.put('visits', String(visits), { metadata: { path: url.pathname } })
      const { keys } = await env.NOTES.list()
      return { visits, keys }
    },
  },
  {
    title: 'R2',
    code: "await env.ALBUM.put('postcards/7.txt', text, { customMetadata }); await env.ALBUM.get(key, { range })",
    run: async ({ env, url }) => {
      const key = `postcards/${new Date().getUTCDay()}.txt`
      const customMetadata = { from: url.hostname }
      const { etag } = await env.ALBUM.put(key, 'Wish you were here', { customMetadata })
      const part = await env.ALBUM.get(key, { range: { suffix: 4 } })
      const { delimitedPrefixes } = await env.ALBUM.list({ delimiter: '/' })
      return {
        key,
        etag,
        end: await part.text(),
        from: part.customMetadata.from,
        delimitedPrefixes,
      }
    },
  },
  {
    title: 'D1',
    code: 'await env.LOGBOOK.batch([create, insert.bind(path)]); await select.first()',
    run: async ({ env, url }) => {
      const create = env.LOGBOOK.prepare(
        'CREATE TABLE IF NOT EXISTS visit (id INTEGER PRIMARY KEY, path TEXT, at TEXT)',
      )
      const insert = env.LOGBOOK.prepare(
        "INSERT INTO visit (path, at) VALUES (?, datetime('now')) RETURNING *",
      )
      const [, { results, meta }] = await env.LOGBOOK.batch([create, insert.bind(url.pathname)])
      const paths = await env.LOGBOOK.prepare(
        'SELECT path, count(*) AS visits FROM visit GROUP BY path ORDER BY visits DESC LIMIT 3',
      ).all()
      return { inserted: results[0], rowsWritten: meta.rows_written, most: paths.results }
    },
  },
  {
    title: 'Service bindings',
    code: "await env.GREETER.fetch(request); await env.GREETER_RPC.greet('you')",
    run: async ({ env }) => {
      const response = await env.GREETER.fetch('https://tour-greeter/some/path')
      using conversation = await env.GREETER_RPC.converse()
      await conversation.say('a session over RPC')
      return {
        http: await response.text(),
        rpc: await env.GREETER_RPC.greet('traveller'),
        session: await conversation.say('keeps its state'),
      }
    },
  },
  {
    title: 'Durable Objects',
    code: "await env.GUESTBOOK.getByName('tour').sign(name)",
    run: ({ env, url }) => env.GUESTBOOK.getByName('tour').sign(url.pathname),
  },
  {
    title: 'mTLS certificates',
    code: 'await env.PASSPORT.fetch(env.BORDER)',
    run: async ({ env }) => {
      if (env.PASSPORT === undefined) return 'Not bound: npm start uploads a certificate'
      const welcomed = await env.PASSPORT.fetch(env.BORDER)
      const turnedAway = await fetch(env.BORDER)
      return {
        withIt: [welcomed.status, await welcomed.text()],
        withoutIt: [turnedAway.status, await turnedAway.text()],
      }
    },
  },
  {
    title: 'Queues',
    code: 'await env.POSTCARDS.send({ from, at }); async queue(batch, env) { … }',
    run: async ({ env, url }) => {
      const card = { from: url.pathname, at: new Date().toISOString() }
      const { metadata } = await env.POSTCARDS.send(card)
      return {
        sent: card,
        underWay: metadata.metrics.backlogCount,
        // What the handler below was given: reload a second later.
        delivered: await env.GUESTBOOK.getByName('postcards').newest(),
      }
    },
  },
  {
    title: 'Rate Limiting',
    code: 'await env.TURNSTILE.limit({ key })',
    run: async ({ env, url }) => ({
      ...(await env.TURNSTILE.limit({ key: url.pathname })),
      look: 'reload: the fourth visit within 10 seconds is one too many',
    }),
  },
  {
    title: 'Dynamic Worker Loaders',
    code: 'await env.LOADER.get(name, async () => code).getEntrypoint().fetch(request)',
    run: async ({ env, url }) => {
      const guest = env.LOADER.get('tour-guest', async () => ({
        compatibilityDate: '2026-11-01',
        mainModule: 'guest.js',
        modules: { 'guest.js': guestSource },
        env: { WORD: 'what it was given' },
        globalOutbound: null,
      }))
      return (await guest.getEntrypoint().fetch(`https://guest${url.pathname}`)).json()
    },
  },
  {
    title: 'Version metadata',
    code: 'env.VERSION',
    run: ({ env }) => env.VERSION,
  },
  {
    title: 'The same env by another road',
    code: "import { env } from 'cloudflare:workers'; process.env",
    run: () => ({
      imported: importedEnv.GREETING,
      process: globalThis.process?.env?.GREETING,
    }),
  },
]

/** A Worker that this one makes up, and that has no network. */
const guestSource = `let calls = 0
export default {
  async fetch(request, env) {
    const network = await fetch('https://example.com').then(String, (error) => error.message)
    return Response.json({ calls: ++calls, env: Object.keys(env), WORD: env.WORD, network })
  },
}`

/** One object, with a database of its own. */
export class Guestbook extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env)
    ctx.storage.sql.exec(
      'CREATE TABLE IF NOT EXISTS guest (id INTEGER PRIMARY KEY, name TEXT, at TEXT)',
    )
  }

  newest() {
    return this.ctx.storage.sql.exec('SELECT id, name, at FROM guest ORDER BY id DESC').toArray()
  }

  sign(name) {
    const { sql } = this.ctx.storage
    sql.exec('INSERT INTO guest (name, at) VALUES (?, ?)', name, new Date().toISOString())
    sql.exec('DELETE FROM guest WHERE id <= (SELECT max(id) FROM guest) - 3')
    const newest = this.newest()
    return { guests: newest[0].id, newest }
  }
}

export default {
  async queue(batch, env) {
    const postcards = env.GUESTBOOK.getByName('postcards')
    for (const { body, attempts } of batch.messages) {
      await postcards.sign(`from ${body.from}, sent at ${body.at}, attempt ${attempts}`)
    }
  },

  async fetch(request, env) {
    const url = new URL(request.url)
    if (url.pathname === '/favicon.ico') return new Response(null, { status: 204 })
    const visited = await Promise.all(
      stops.map(async (stop) => ({ ...stop, answer: await stop.run({ env, url }) })),
    )
    if (url.pathname === '/json') {
      return Response.json(Object.fromEntries(visited.map(({ title, answer }) => [title, answer])))
    }
    return new Response(page(visited, request), {
      headers: { 'content-type': 'text/html; charset=utf-8' },
    })
  },
}
