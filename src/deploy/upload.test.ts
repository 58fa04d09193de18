import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { ApiError } from '#contract/errors.ts'
import type { Part } from '#contract/multipart.ts'
import * as limits from './limits.ts'
import { readUpload } from './upload.ts'

const esModule = 'application/javascript+module'
const script = 'application/javascript'

function field(name: string, text: string): Part {
  return { name, type: '', bytes: new TextEncoder().encode(text) }
}

function file(name: string, type: string, { filename = name, text = '' } = {}): Part {
  return { ...field(name, text), filename, type }
}

function metadata(value: object): Part {
  return field('metadata', JSON.stringify(value))
}

const modules = metadata({ main_module: 'worker.js' })
const main = file('worker.js', esModule)

suite('upload forms: the dialects of control-api.md §2.4', () => {
  const json =
    '{"main_module":"worker.js","bindings":[{"type":"plain_text","name":"V","text":"1"}]}'
  const code = file('worker.js', esModule, { text: 'export default {}' })
  const note = file('./lib/note.txt', 'text/plain', { text: 'ü' })
  const asFiles = (name: string): Part[] =>
    [code, note].map((part) => ({ ...part, name, filename: part.name }))
  const fields = [
    field('metadata[main_module]', 'worker.js'),
    field('metadata[bindings][][type]', 'plain_text'),
    field('metadata[bindings][][name]', 'V'),
    field('metadata[bindings][][text]', '1'),
  ]
  const dialects: readonly (readonly [string, readonly Part[]])[] = [
    ['wrangler: a field, then modules', [field('metadata', json), code, note]],
    [
      'SDK 6: a file, modules under "files"',
      [file('metadata', 'application/json', { text: json }), ...asFiles('files')],
    ],
    [
      'Alchemy: modules first, then a file named "blob"',
      [code, note, file('metadata', 'application/json', { filename: 'blob', text: json })],
    ],
    ['SDK 7: flattened fields, modules under "files[]"', [...fields, ...asFiles('files[]')]],
    ['flattened fields between modules', [code, ...fields, note]],
    [
      'the main module as a field',
      [field('metadata', json), field('worker.js', 'export default {}'), note],
    ],
  ]
  for (const [title, parts] of dialects) {
    test(title, () => {
      assert.deepEqual(readUpload(parts), {
        metadata: {
          main_module: 'worker.js',
          bindings: [{ type: 'plain_text', name: 'V', text: '1' }],
        },
        format: 'modules',
        mainModule: 'worker.js',
        isFilesOnly: false,
        modules: [
          { name: 'worker.js', type: 'esModule', bytes: code.bytes },
          { name: './lib/note.txt', type: 'text', bytes: note.bytes },
        ],
      })
    })
  }

  test('the service-worker format, its blobs before the metadata', () => {
    const wasm = file('blob.wasm', 'application/wasm')
    const upload = readUpload([wasm, metadata({ body_part: 'main' }), file('main', script)])
    assert.equal(upload.format, 'service-worker')
    assert.equal(upload.mainModule, 'main')
    assert.deepEqual(
      upload.modules.map(({ name, type }) => [name, type]),
      [
        ['blob.wasm', 'wasm'],
        ['main', 'esModule'],
      ],
    )
  })
})

suite('upload forms: files without code', () => {
  const forms: readonly (readonly [string, object])[] = [
    ['uploaded', { assets: { jwt: 'x' } }],
    ['kept', { keep_assets: true }],
  ]
  for (const [title, json] of forms) {
    test(title, () => {
      const { isFilesOnly, format, mainModule, modules: written } = readUpload([metadata(json)])
      const names = written.map(({ name }) => name)
      assert.deepEqual(
        { isFilesOnly, format, names },
        {
          isFilesOnly: true,
          format: 'modules',
          names: [mainModule],
        },
      )
    })
  }
})

suite('upload forms: what is a module, and of which type', () => {
  const types: readonly (readonly [string, string])[] = [
    ['application/javascript+module', 'esModule'],
    ['text/javascript+module', 'esModule'],
    ['application/javascript', 'commonJsModule'],
    ['text/javascript', 'commonJsModule'],
    ['application/wasm', 'wasm'],
    ['application/json', 'json'],
    ['application/octet-stream', 'data'],
    ['text/plain', 'text'],
    ['text/plain;charset=utf-8', 'text'],
    [' Text/HTML ; charset="utf-8"', 'text'],
    ['text/sql', 'text'],
    ['image/png', 'data'],
    ['', 'data'],
    // Names that every JavaScript object has.
    ['constructor', 'data'],
    ['__proto__', 'data'],
  ]
  for (const [type, expected] of types) {
    test(`"${type}" is ${expected}`, () => {
      const upload = readUpload([modules, main, file('other', type)])
      assert.deepEqual(upload.modules[1], {
        name: 'other',
        type: expected,
        bytes: new Uint8Array(),
      })
    })
  }

  const notModules: readonly (readonly [string, Part])[] = [
    ['a source map', file('worker.js.map', 'application/source-map')],
    ['a source map with a parameter', file('a.map', 'Application/Source-Map; charset=utf-8')],
    ['a field', field('note', 'hello')],
    ['a field named as SDK files are', field('files', 'hello')],
    ['a flattened file', file('metadata[main_module]', '', { text: 'other.js' })],
    ['a flattened field beside a whole one', field('metadata[main_module]', 'other.js')],
    ['metadata once more', file('metadata', 'application/json', { text: '{}' })],
  ]
  for (const [title, part] of notModules) {
    test(`no module: ${title}`, () => {
      const upload = readUpload([modules, main, part])
      assert.equal(upload.mainModule, 'worker.js')
      assert.deepEqual(
        upload.modules.map(({ name }) => name),
        ['worker.js'],
      )
    })
  }

  const mains: readonly (readonly [string, Part])[] = [
    ['an ES module', main],
    ['said to be a script', file('worker.js', script)],
    ['a file without a type', file('worker.js', '')],
    ['a field', field('worker.js', '')],
    ['a field with a type', { ...field('worker.js', ''), type: 'text/plain' }],
  ]
  for (const [title, part] of mains) {
    test(`a main module may be ${title}`, () => {
      assert.equal(readUpload([modules, part]).modules[0]?.type, 'esModule')
    })
  }

  test('the main part of a service worker may be of any type', () => {
    const upload = readUpload([metadata({ body_part: 'a' }), file('a', 'text/plain')])
    assert.equal(upload.modules[0]?.type, 'esModule')
  })

  test('"main_module" goes before "body_part"', () => {
    const both = metadata({ main_module: 'worker.js', body_part: 'b' })
    assert.equal(readUpload([both, main]).format, 'modules')
  })
})

suite('upload forms: refused', () => {
  const long = 'a'.repeat(limits.moduleNameLength)
  const cases: readonly (readonly [string, readonly Part[], RegExp])[] = [
    ['no parts', [], /the form has no part "metadata"/],
    ['no metadata', [main], /the form has no part "metadata"/],
    ['metadata that is no JSON', [field('metadata', '{'), main], /it is not valid JSON/],
    ['metadata that is empty', [field('metadata', ''), main], /it is not valid JSON/],
    [
      'metadata that nests too deeply',
      [field('metadata', `{"a":${'['.repeat(100)}${']'.repeat(100)}}`), main],
      /it is not valid JSON \(nested too deeply\)/,
    ],
    ['metadata of a wrong shape', [metadata([]), main], /expected object/],
    ['no main module named', [metadata({}), main], /must name a "main_module" or a "body_part"/],
    [
      'assets alone, and what would need code',
      [metadata({ assets: { jwt: 'x' }, bindings: [{ type: 'assets', name: 'ASSETS' }] })],
      /The binding "ASSETS" has no code/,
    ],
    ['a main module that is not there', [modules], /No such module "worker\.js"/],
    ['a body part that is not there', [metadata({ body_part: 'b' }), main], /No such module "b"/],
    [
      'an empty name of the main module',
      [metadata({ main_module: '' }), main],
      /No such module ""/,
    ],
    [
      'a main module that is a source map',
      [modules, file('worker.js', 'application/source-map')],
      /No such module "worker\.js"/,
    ],
    ['a module twice', [modules, main, main], /"worker\.js" is there twice/],
    [
      'a module under its name and under "files"',
      [modules, main, file('files', esModule, { filename: 'worker.js' })],
      /"worker\.js" is there twice/,
    ],
    ['a module without a name', [modules, main, file('files', '', { filename: '' })], /1 to 512/],
    ['a NUL in a name', [modules, main, file('a\0b', '')], /1 to 512/],
    ['a name with ".."', [modules, main, file('a/../../b', '')], /relative path without "\.\."/],
    ['an absolute name', [modules, main, file('/a', '')], /relative path without "\.\."/],
    ['a name too long', [modules, main, file(`${long}a`, '')], /1 to 512/],
    [
      'a main module that is text',
      [modules, file('worker.js', 'text/plain')],
      /of type text\/plain/,
    ],
    [
      'a main module that is bytes',
      [modules, file('worker.js', 'application/octet-stream')],
      /of type application\/octet-stream/,
    ],
    ['Python', [modules, file('worker.js', 'text/x-python')], /Python Workers are not available/],
    [
      "Python's requirements",
      [modules, main, file('numpy', 'text/x-python-requirement')],
      /Python Workers are not available/,
    ],
  ]
  for (const [title, parts, message] of cases) {
    test(title, () => {
      assert.throws(() => readUpload(parts), {
        name: 'ApiError',
        code: 10021,
        status: 400,
        message,
      })
    })
  }

  test('a name may be as long as the limit', () => {
    assert.equal(readUpload([modules, main, file(long, '')]).modules.length, 2)
  })
})

/** Metadata of a size, in bytes. */
function padded(bytes: number): Part {
  return {
    ...modules,
    bytes: new Uint8Array(bytes).fill(0x20).map((space, at) => modules.bytes[at] ?? space),
  }
}

function flattened(bytes: number): Part[] {
  const name = 'worker.js'
  return [
    field('metadata[main_module]', name),
    field('metadata[a]', 'x'.repeat(bytes - name.length - 1)),
    field('metadata[b]', 'x'),
  ]
}

suite('upload forms: limits', () => {
  test('bytes of metadata', () => {
    assert.ok(readUpload([padded(limits.metadataBytes), main]))
    assert.throws(() => readUpload([padded(limits.metadataBytes + 1), main]), { code: 10021 })
  })

  test('bytes of flattened metadata, together', () => {
    assert.ok(readUpload([...flattened(limits.metadataBytes), main]))
    const tooMuch = [...flattened(limits.metadataBytes + 1), main]
    assert.throws(() => readUpload(tooMuch), { code: 10021, message: /more than \d+ bytes/ })
  })

  test('bytes of modules, together; source maps do not count', () => {
    const half = { ...main, bytes: new Uint8Array(limits.scriptBytes / 2) }
    const most = [
      modules,
      half,
      { ...half, name: 'b' },
      { ...half, name: 'b.map', type: 'application/source-map' },
    ]
    assert.equal(readUpload(most).modules.length, 2)
    const more = [...most, file('c', 'text/plain', { text: 'c' })]
    assert.throws(() => readUpload(more), { code: 10027, status: 413, message: /64 MiB/ })
  })

  test('parts', () => {
    const maps = Array.from({ length: limits.uploadParts - 2 }, (_, index) =>
      file(`${index}.map`, 'application/source-map'),
    )
    const most = [modules, main, ...maps]
    assert.equal(readUpload(most).modules.length, 1)
    assert.throws(() => readUpload([...most, field('a', '')]), { code: 10021, message: /parts/ })
  })
})

test('any form is read, or refused with an error for the client', () => {
  const name = fc.oneof(
    fc.constantFrom('metadata', 'worker.js', 'files', 'files[]', 'metadata[main_module]', ''),
    fc.constantFrom('metadata[bindings][][name]', 'metadata[]', 'metadata[', '__proto__'),
    fc.string(),
  )
  const bytes = fc
    .oneof(fc.constantFrom('{"main_module":"worker.js"}', '{"body_part":"a"}'), fc.json())
    .map((text) => new TextEncoder().encode(text))
  const part: fc.Arbitrary<Part> = fc.record(
    {
      name,
      filename: fc.oneof(fc.constantFrom('worker.js', 'a'), fc.string()),
      type: fc.oneof(fc.constantFrom('', esModule, script), fc.string()),
      bytes,
    },
    { requiredKeys: ['name', 'type', 'bytes'] },
  )
  let read = 0
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (random) => {
      for (const parts of [random, [modules, ...random], [modules, main, ...random]]) {
        try {
          const upload = readUpload(parts)
          read++
          const names = upload.modules.map((module) => module.name)
          assert.equal(new Set(names).size, names.length)
          assert.ok(names.includes(upload.mainModule))
        } catch (error) {
          if (!(error instanceof ApiError)) throw error
        }
      }
    }),
  )
  assert.ok(read > 0, 'some were read')
})
