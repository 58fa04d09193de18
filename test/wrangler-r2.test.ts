import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { withNewestAndOldest } from '#test/clients.ts'
import { call, placeOf } from '#test/deployer.ts'
import { makeQueue } from '#test/queue-consumer.ts'
import { eventually } from '#test/temporary.ts'

// R2, with the unmodified wranglers that projects pin, and Workers that look on.

const reader = `export default {
  async fetch(request, env) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1))
    const object = await env.MEDIA.get(key)
    if (object === null) return new Response('nothing')
    return new Response(object.body, { headers: { 'content-type': object.httpMetadata.contentType ?? '' } })
  },
  async queue(batch, env) {
    for (const { body } of batch.messages) {
      await env.MEDIA.put('told/' + body.object.key, JSON.stringify(body))
    }
  },
}`

withNewestAndOldest('R2', (wrangler) => {
  const bucket = (...args: string[]): Promise<string> => wrangler.ok(['r2', 'bucket', ...args])
  // Since version 4 the local copy of `wrangler dev` is meant unless one says otherwise.
  const remote = wrangler.version === '3.114' ? [] : ['--remote']
  /** A bucket that is there, where making it is not what is tested: a run of wrangler takes a second. */
  const made = (name: string): Promise<unknown> =>
    call(placeOf(wrangler.server), 'POST', '~/r2/buckets', { name })

  wrangler.testAlike('buckets are created, listed, shown and deleted', async () => {
    await bucket('create', 'first')
    await bucket('create', 'second', '--storage-class', 'InfrequentAccess')
    await wrangler.fails(['r2', 'bucket', 'create', 'first'], /already exists, and you own it/)
    await wrangler.fails(['r2', 'bucket', 'create', 'No'], /name|invalid/i)
    const listed = await bucket('list')
    assert.match(listed, /first/)
    assert.match(listed, /second/)
    assert.match(await bucket('info', 'second'), /InfrequentAccess/)
    await bucket('update', 'storage-class', 'second', '--storage-class', 'Standard')
    assert.match(await bucket('info', 'second'), /Standard/)
    await bucket('delete', 'second')
    assert.doesNotMatch(await bucket('list'), /second/)
    await wrangler.fails(['r2', 'bucket', 'info', 'second'], /does not exist/)
  })

  test('objects are put, read by a Worker, fetched and deleted', async () => {
    await made('media')
    await wrangler.project(
      'reader',
      { r2_buckets: [{ binding: 'MEDIA', bucket_name: 'media' }] },
      { 'index.js': reader },
    )
    await wrangler.ok(['deploy'], { cwd: 'reader' })
    const folder = wrangler.server.folder
    const bytes = Buffer.alloc(300_000, 'öbject')
    await writeFile(join(folder, 'up.bin'), bytes)
    for (const key of ['a/b/c.txt', 'plain']) {
      const put = ['put', `media/${key}`, '--file', 'up.bin', '--content-type', 'text/x-own']
      await wrangler.ok(['r2', 'object', ...put, ...remote])
      const answer = await wrangler.server.visit('reader', `/${key}`)
      assert.equal(answer.headers.get('content-type'), 'text/x-own')
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes)
    }
    await wrangler.ok(['r2', 'object', 'get', 'media/a/b/c.txt', '--file', 'down.bin', ...remote])
    assert.deepEqual(await readFile(join(folder, 'down.bin')), bytes)
    assert.match(await bucket('info', 'media'), /object_count:\s+2\s[^]*bucket_size:\s+600 kB/)
    await wrangler.fails(['r2', 'bucket', 'delete', 'media'], /not empty/)
    await wrangler.ok(['r2', 'object', 'delete', 'media/plain', ...remote])
    assert.equal(await wrangler.visit('reader', '/plain'), 'nothing')
    await wrangler.fails(
      ['r2', 'object', 'get', 'media/plain', '--file', 'no', ...remote],
      /does not exist/,
    )
    await wrangler.fails(['r2', 'object', 'get', 'none/plain', '--file', 'no', ...remote], /exist/)
  })

  test('a bucket that does not exist is made by a deploy, or not bound', async () => {
    await wrangler.project(
      'unbound',
      { r2_buckets: [{ binding: 'MEDIA', bucket_name: 'none-such' }] },
      { 'index.js': reader },
    )
    const why = /R2 bucket 'none-such' not found/
    if (wrangler.lacks('automatic provisioning')) {
      return wrangler.fails(['deploy'], why, { cwd: 'unbound' })
    }
    await wrangler.ok(['deploy'], { cwd: 'unbound' })
    assert.match(await bucket('list'), /none-such/)
  })

  wrangler.testAlike('rules: lifecycle, locks and CORS', async () => {
    await made('ruled')
    assert.match(await bucket('lifecycle', 'list', 'ruled'), /Default Multipart Abort Rule/)
    const expire = ['logs', 'logs/', '--expire-days', '30']
    await bucket('lifecycle', 'add', 'ruled', ...expire, '--force')
    assert.match(await bucket('lifecycle', 'list', 'ruled'), /Expire objects after 30 days/)
    await bucket('lifecycle', 'remove', 'ruled', '--name', 'logs')
    assert.doesNotMatch(await bucket('lifecycle', 'list', 'ruled'), /30 days/)
    const rules = [{ allowed: { origins: ['https://a.example'], methods: ['GET'] } }]
    await writeFile(join(wrangler.server.folder, 'cors.json'), JSON.stringify({ rules }))
    await bucket('cors', 'set', 'ruled', '--file', 'cors.json', '--force')
    assert.match(await bucket('cors', 'list', 'ruled'), /https:\/\/a\.example/)
    await bucket('cors', 'delete', 'ruled', '--force')
    await wrangler.fails(['r2', 'bucket', 'cors', 'list', 'ruled'], /does not exist/)
    if (wrangler.version === '3.114') return
    await bucket('lock', 'add', 'ruled', 'kept', 'kept/', '--retention-days', '7', '--force')
    assert.match(await bucket('lock', 'list', 'ruled'), /7 days/)
    await wrangler.ok(['r2', 'object', 'put', 'ruled/kept/1', '--pipe', ...remote], { stdin: 'x' })
    const removal = ['r2', 'object', 'delete', 'ruled/kept/1', ...remote]
    await wrangler.fails(removal, /locked by the bucket policy/)
    await bucket('lock', 'remove', 'ruled', '--name', 'kept')
    await wrangler.ok(removal)
  })

  wrangler.testAlike('a public address is given, and taken back', async () => {
    await made('shown')
    assert.match(await bucket('dev-url', 'get', 'shown'), /disabled/)
    const enabled = await bucket('dev-url', 'enable', 'shown', '--force')
    assert.match(enabled, /pub-[0-9a-f]{32}\.r2\.localhost/)
    await bucket('dev-url', 'disable', 'shown', '--force')
    assert.match(await bucket('dev-url', 'get', 'shown'), /disabled/)
  })

  wrangler.testAlike('a custom domain leads to a bucket', async () => {
    await made('hosted')
    const { id } = z.object({ id: z.string() }).parse(
      await call(placeOf(wrangler.server), 'POST', '/zones', {
        name: 'example.org',
        account: { id: placeOf(wrangler.server).account },
      }),
    )
    const domain = ['--domain', 'media.example.org']
    const add = ['domain', 'add', 'hosted', ...domain, '--zone-id', id, '--min-tls', '1.2']
    await bucket(...add, '--force')
    assert.match(await bucket('domain', 'list', 'hosted'), /media\.example\.org/)
    await wrangler.ok(['r2', 'object', 'put', 'hosted/a', '--pipe', ...remote], { stdin: 'hello' })
    const visit = (): Promise<Response> =>
      wrangler.server.visit('', '/a', { host: 'media.example.org' })
    assert.equal(await (await visit()).text(), 'hello')
    await call(placeOf(wrangler.server), 'DELETE', `/zones/${id}`)
    assert.equal((await visit()).status, 404)
    await bucket('domain', 'remove', 'hosted', ...domain, '--force')
    assert.doesNotMatch(await bucket('domain', 'list', 'hosted'), /media\.example\.org/)
  })

  wrangler.testAlike('a queue is told, and its consumer tells', async () => {
    await made('watched')
    await made('told')
    await makeQueue(placeOf(wrangler.server), 'changes')
    await wrangler.project(
      'listener',
      {
        r2_buckets: [{ binding: 'MEDIA', bucket_name: 'told' }],
        queues: { consumers: [{ queue: 'changes', max_batch_timeout: 0 }] },
      },
      { 'index.js': reader },
    )
    await wrangler.ok(['deploy'], { cwd: 'listener' })
    const rule = ['--event-types', 'object-create', '--queue', 'changes', '--prefix', 'in/']
    await bucket('notification', 'create', 'watched', ...rule)
    assert.match(await bucket('notification', 'list', 'watched'), /changes/)
    await wrangler.fails(['r2', 'bucket', 'notification', 'create', 'watched', ...rule], /overlap/)
    const put = (key: string): Promise<string> =>
      wrangler.ok(['r2', 'object', 'put', `watched/${key}`, '--pipe', ...remote], {
        stdin: 'hello',
      })
    await put('out/1')
    await put('in/1')
    const told = await eventually(async () => {
      const text = await wrangler.visit('listener', '/told/in/1')
      return text !== 'nothing' && text
    })
    const { eventTime, account, ...event } = JSON.parse(told)
    assert.deepEqual(event, {
      action: 'PutObject',
      bucket: 'watched',
      object: { key: 'in/1', size: 5, eTag: '5d41402abc4b2a76b9719d911017c592' },
    })
    assert.equal(account, wrangler.server.environment['CLOUDFLARE_ACCOUNT_ID'])
    assert.ok(Math.abs(Date.parse(eventTime) - Date.now()) < 60_000, eventTime)
    assert.equal(await wrangler.visit('listener', '/told/out/1'), 'nothing')
    await bucket('notification', 'delete', 'watched', '--queue', 'changes')
    assert.doesNotMatch(await bucket('notification', 'list', 'watched'), /PutObject/)
  })
})
