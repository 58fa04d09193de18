import assert from 'node:assert/strict'
import { readdir, readlink } from 'node:fs/promises'
import { suite, test } from 'node:test'
import { openSite, read, requestOf } from '#test/site.ts'
import { memoryBytes, memoryFileBytes } from './limits.ts'

const files = async (): Promise<number> => {
  const links = (await readdir('/proc/self/fd')).map((fd) =>
    readlink(`/proc/self/fd/${fd}`).catch(() => ''),
  )
  return (await Promise.all(links)).filter((path) => path.includes('/blobs/')).length
}

suite('what a site server holds', () => {
  test('no more than its limit of files, however many are asked for', async () => {
    const size = memoryFileBytes / 4
    const count = Math.ceil((2 * memoryBytes) / size)
    await using fixture = await openSite(
      Object.fromEntries(
        Array.from({ length: count }, (_, n) => [
          `/f${n}`,
          { content: new Uint8Array(size).fill(n).fill(n >> 8, 1) },
        ]),
      ),
    )
    const site = fixture.site()
    const statuses = new Set<string | undefined>()
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < count; n++) {
        const { headers } = await fixture.server.answer(site, requestOf(`/f${n}`))
        statuses.add(headers[headers.indexOf('CF-Cache-Status') + 1])
      }
    }
    // Twice as much as there is room for, in turn: nothing is there any more when its turn comes.
    assert.deepEqual([...statuses], ['MISS'])
    await fixture.server.answer(site, requestOf(`/f${count - 1}`))
    const { headers } = await read(fixture.server.answer(site, requestOf(`/f${count - 1}`)))
    assert.equal(headers['cf-cache-status'], 'HIT')
  })

  test('no open file of an answer that is left, or never begun', async () => {
    const content = new Uint8Array(memoryFileBytes * 2)
    await using fixture = await openSite({ '/large': { content } })
    const site = fixture.site()
    for (let n = 0; n < 20; n++) await fixture.server.answer(site, requestOf('/large'))
    assert.equal(await files(), 0)
    for (let n = 0; n < 20; n++) {
      const { body } = await fixture.server.answer(site, requestOf('/large'))
      assert.ok(body && !(body instanceof Uint8Array))
      for await (const chunk of body) {
        assert.ok(chunk.byteLength > 0)
        break
      }
    }
    assert.equal(await files(), 0)
  })

  test('one reading of a file that many ask for at once', async () => {
    await using fixture = await openSite({ '/a.txt': { content: 'a', type: 'text/plain' } })
    let opened = 0
    const get = fixture.blobs.get.bind(fixture.blobs)
    fixture.blobs.get = (key) => {
      opened++
      return get(key)
    }
    const site = fixture.site()
    await Promise.all(
      Array.from({ length: 50 }, () => read(fixture.server.answer(site, requestOf('/a.txt')))),
    )
    assert.equal(opened, 1)
  })

  test('a manifest that is not in memory is waited for, and asked for no more', async () => {
    await using fixture = await openSite({ '/a.txt': { content: 'a', type: 'text/plain' } }, true)
    const site = fixture.site({}, { hasWorker: true })
    assert.ok(fixture.server.route(site, requestOf('/a.txt')) instanceof Promise)
    assert.equal(await fixture.server.route(site, requestOf('/no')), 'worker')
    const reply = await fixture.server.route(site, requestOf('/a.txt'))
    assert.ok(reply !== 'worker' && reply.status === 200)
    const again = fixture.server.route(site, requestOf('/a.txt'))
    assert.ok(!(again instanceof Promise) && again !== 'worker' && again.status === 200)
  })

  test('headers that the caller may change', async () => {
    await using fixture = await openSite({ '/a.txt': { content: 'a', type: 'text/plain' } })
    const site = fixture.site()
    const first = await fixture.server.answer(site, requestOf('/a.txt'))
    first.headers.length = 0
    const { headers } = await read(fixture.server.answer(site, requestOf('/a.txt')))
    assert.equal(headers['content-type'], 'text/plain')
  })

  test('when too many files are to be compressed, some go as they are', async () => {
    const names = Array.from({ length: 12 }, (_, n) => `/f${n}.txt`)
    await using fixture = await openSite(
      Object.fromEntries(
        names.map((name) => [name, { content: `${name} `.repeat(20_000), type: 'text/plain' }]),
      ),
    )
    const site = fixture.site()
    const ask = (name: string) =>
      read(fixture.server.answer(site, requestOf(name, { headers: { 'accept-encoding': 'br' } })))
    const encodings = (await Promise.all(names.map(ask))).map(
      ({ headers }) => headers['content-encoding'],
    )
    assert.ok(encodings.includes('br') && encodings.includes(undefined), encodings.join())
    for (const name of names) assert.equal((await ask(name)).headers['content-encoding'], 'br')
  })
})
