import { DurableObject } from 'cloudflare:workers'

// What every peer runs. Values are 300 bytes, as sessions and settings are; every put is another key
// of a thousand, and every object another of a thousand, so that no peer is measured on one hot row.
const value = 'v'.repeat(300)
const objects = 1000
const batch = Array.from({ length: 100 }, () => ({ body: value, contentType: 'text' }))
const insert = 'INSERT INTO added (name, n) VALUES (?, ?)'
let n = 0

export class Counter extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, n INTEGER)')
  }

  ping() {
    return 'pong'
  }

  increment() {
    const { sql } = this.ctx.storage
    const increment = `INSERT INTO counts VALUES ('all', 1)
      ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n`
    return String(sql.exec(increment).one().n)
  }

  count() {
    return String(this.ctx.storage.sql.exec('SELECT n FROM counts').one().n)
  }

  fetch() {
    const [client, server] = Object.values(new WebSocketPair())
    this.ctx.acceptWebSocket(server)
    return new Response(null, { status: 101, webSocket: client })
  }

  webSocketMessage(socket, message) {
    socket.send(message)
  }

  webSocketClose(socket, code, reason) {
    socket.close(code === 1005 ? 1000 : code, reason)
  }
}

async function prepare(database) {
  await database.batch([
    database.prepare('DROP TABLE IF EXISTS rows'),
    database.prepare('CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)'),
    database.prepare('DROP TABLE IF EXISTS added'),
    database.prepare('CREATE TABLE added (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)'),
    database.prepare(`WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 10000)
      INSERT INTO rows SELECT i, 'name of the row ' || i, i FROM c`),
  ])
}

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case '/kv-get':
        return new Response(await env.KV.get('key'))
      case '/kv-put':
        await env.KV.put(`key-${n++ % 1000}`, value)
        return new Response('stored')
      case '/do-rpc':
        return new Response(await env.COUNTERS.getByName('one').ping())
      case '/do-calls': {
        const counter = env.COUNTERS.getByName('one')
        for (let call = 0; call < 100; call++) await counter.ping()
        return new Response('called')
      }
      case '/do-sql':
        return new Response(await env.COUNTERS.getByName('one').increment())
      case '/do-many':
        return new Response(await env.COUNTERS.getByName(`object-${n++ % objects}`).count())
      case '/do-ws':
        return env.COUNTERS.getByName(`sockets-${n++ % 8}`).fetch(request)
      case '/queue-send':
        await env.JOBS.send(value, { contentType: 'text' })
        return new Response('sent')
      case '/queue-batch':
        await env.JOBS.sendBatch(batch)
        return new Response('sent')
      case '/rate-limit': {
        const { success } = await env.LIMIT.limit({ key: `visitor-${n++ % 1000}` })
        return new Response(success ? 'within' : 'beyond')
      }
      case '/d1-select': {
        const select = env.DB.prepare('SELECT id, name, n FROM rows WHERE id = ?')
        return Response.json(await select.bind(1 + (n++ % 10_000)).first())
      }
      case '/d1-insert':
        await env.DB.prepare(insert).bind('name', n++).run()
        return new Response('inserted')
      case '/d1-batch': {
        const statement = env.DB.prepare(insert)
        await env.DB.batch(Array.from({ length: 25 }, () => statement.bind('name', n++)))
        return new Response('inserted')
      }
      case '/d1-many': {
        const { results } = await env.DB.prepare('SELECT id, name, n FROM rows').all()
        return new Response(String(results.length))
      }
      case '/prepare-d1':
        await prepare(env.DB)
        return new Response('prepared')
      case '/prepare-kv':
        await env.KV.put('key', value)
        return new Response('prepared')
      case '/prepare-objects':
        for (let at = 0; at < objects; at += 50) {
          await Promise.all(
            Array.from({ length: 50 }, (_, k) =>
              env.COUNTERS.getByName(`object-${at + k}`).increment(),
            ),
          )
        }
        return new Response('prepared')
      default:
        return new Response('hello')
    }
  },
  /** Takes what it is given: to return is to acknowledge all of it. */
  queue() {},
}
