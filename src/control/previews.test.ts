import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { workerName } from '#contract/ids.ts'
import type { RouteTable } from '#contract/snapshot.ts'
import { otherAccount } from '#test/backend.ts'
import { idOf, key, openStore, versionOf, workerOf } from './fixture.ts'
import { hasPreview, isPreviewable } from './previews.ts'
import { Publication } from './publication.ts'
import type { Version } from './records.ts'
import { ZoneStore } from './zone-store.ts'

const version = versionOf(key, 1)
const elsewhere = { ...key, account: otherAccount }
const prefix = version.id.slice(0, 8)

function exporting(type: Version['exports']['named'][number]['type']): Version {
  const named = [{ name: 'C', type, handlers: [] }]
  return { ...version, exports: { ...version.exports, named } }
}

function bound(entry: object): Version {
  return { ...version, bindings: [{ type: 'durable_object_namespace', name: 'B', ...entry }] }
}

suite('previews', () => {
  test('a version that implements Durable Objects has none, nor one whose Worker is long', () => {
    const cases: readonly (readonly [string, Version, boolean])[] = [
      ['plain', version, true],
      ['entrypoint', exporting('entrypoint'), true],
      ['class', exporting('durable-object'), false],
      ['own class', bound({ class_name: 'C' }), false],
      ['own class by name', bound({ class_name: 'C', script_name: key.worker }), false],
      ["another's class", bound({ class_name: 'C', script_name: 'other' }), true],
      ['long', { ...version, worker: workerName.parse('w'.repeat(55)) }, false],
    ]
    for (const [what, of, expected] of cases) {
      assert.equal(isPreviewable(of), expected, what)
      assert.equal(hasPreview({ hasPreviews: true }, of), expected, what)
      assert.equal(hasPreview({ hasPreviews: false }, of), false, what)
    }
  })

  test('visitors are led to a version by the beginning of its id or by its alias', async () => {
    await using all = await openStore()
    let table: RouteTable = { hosts: new Map() }
    const publication = new Publication({
      ...all,
      workers: all.store,
      zones: new ZoneStore(all.ports.sql),
      publishRoutes: (next) => (table = next),
      domain: 'example.com',
    })
    const find = async (host: string): Promise<string | undefined> =>
      (await table.findPreview?.(host))?.version
    const aliased = (number: number, alias: string): Version => ({
      ...versionOf(key, number),
      annotations: { 'workers/alias': alias },
    })
    const previewed = workerOf(key, { hasPreviews: true })
    await all.store.apply({ worker: previewed, version: aliased(1, 'next') })
    await all.store.apply({ worker: workerOf(elsewhere), version: versionOf(elsewhere, 1) })
    await publication.publish()
    assert.equal(await publication.previewSuffixOf(key), '-one.example.com')
    assert.equal(await find('next-one.example.com'), idOf(key, 1))
    assert.equal(await find('next-one.a.example.com'), idOf(key, 1))
    assert.equal(await find(`${prefix}-one.example.com`), idOf(key, 1))
    const nobody = [
      'one.example.com',
      'other-one.example.com',
      '00000000-one.example.com',
      'next-two.example.com',
      'next-one.example.org',
      'next-one',
      'x.next-one.example.com',
      // Another account, whose Worker has no previews.
      `${prefix}-one.b.example.com`,
      'example.com',
    ]
    for (const host of nobody) assert.equal(await find(host), undefined, host)
    // The alias goes with the newest version, without anything being published.
    await all.store.apply({ worker: previewed, version: aliased(2, 'next') })
    assert.equal(await find('next-one.example.com'), idOf(key, 2))
    await all.store.apply({
      worker: previewed,
      version: { ...aliased(3, 'next'), exports: exporting('durable-object').exports },
    })
    assert.equal(await find('next-one.example.com'), undefined)
    await all.store.apply({ worker: workerOf(key) })
    await publication.publish()
    assert.equal(await find(`${prefix}-one.example.com`), undefined)
  })
})
