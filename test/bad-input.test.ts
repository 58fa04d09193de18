import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { z } from 'zod'
import type { Answer, Sent } from '#test/contract/server.ts'
import { code, form, metadata, module, serveSteady, type Steady } from '#test/contract/steady.ts'

// Uploads that are wrong: each is refused with a sentence, and nothing of it stays.

/** What is sent, and which error says what. */
type Case = readonly [title: string, sent: Sent, code: number, message: RegExp]

const multipart = 'multipart/form-data; boundary=xx'
const deep = '['.repeat(10_000) + ']'.repeat(10_000)
const head = '--xx\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'
const unreadable = 10006

function raw(body: string, type: string): Sent {
  return { body: new TextEncoder().encode(body), headers: { 'content-type': type } }
}

function upload(meta: unknown, ...modules: readonly File[]): Sent {
  return { body: form(meta, ...modules) }
}

function bound(...bindings: readonly object[]): Sent {
  return upload({ ...metadata, bindings }, module(code))
}

function written(text: string, more: object = {}): Sent {
  return upload({ ...metadata, ...more }, module(text))
}

const forms: readonly Case[] = [
  [
    'a form that is cut in a part',
    raw(`${head}{"main_mod`, multipart),
    unreadable,
    /valid multipart/,
  ],
  [
    'a form that is cut after a part',
    raw(`${head}{}\r\n--xx\r\n`, multipart),
    unreadable,
    /valid mu/,
  ],
  [
    'a form without a boundary',
    raw(`${head}{}\r\n--xx--`, 'multipart/form-data'),
    unreadable,
    /names no boundary/,
  ],
  [
    'a form with another boundary',
    raw(`${head}{}\r\n--xx--`, 'multipart/form-data; boundary=yy'),
    unreadable,
    /valid multipart/,
  ],
  ['a form of nothing', raw('', multipart), unreadable, /valid multipart/],
  [
    'a part without a name',
    raw('--xx\r\nContent-Type: text/plain\r\n\r\nx\r\n--xx--', multipart),
    unreadable,
    /valid multipart/,
  ],
  ['JSON', raw('{}', 'application/json'), unreadable, /neither a multipart form nor JavaScript/],
  ['a form without parts', raw('--xx--\r\n', multipart), 10021, /no part "metadata"/],
  ['no metadata', upload(undefined, module(code)), 10021, /no part "metadata"/],
]

const metadatas: readonly Case[] = [
  [
    'metadata that is no JSON',
    upload('{"main_module":', module(code)),
    10021,
    /not valid JSON \(.*JSON/,
  ],
  ['metadata that is a list', upload('[]', module(code)), 10021, /expected object, received array/],
  ['metadata that is null', upload('null', module(code)), 10021, /expected object, received null/],
  [
    'a main module that is no text',
    upload({ main_module: 5 }, module(code)),
    10021,
    /main_module: .*string/,
  ],
  ['bindings that are no list', written(code, { bindings: 'x' }), 10021, /bindings: .*array/],
  [
    'flags that are no text',
    written(code, { compatibility_flags: [1] }),
    10021,
    /compatibility_flags\.0/,
  ],
  ['tags that are no list', written(code, { tags: 'x' }), 10021, /tags: /],
  ['logpush that is no boolean', written(code, { logpush: 'x' }), 10021, /logpush: /],
  [
    'a message that is no text',
    written(code, { annotations: { 'workers/message': 7 } }),
    10021,
    /workers\/message/,
  ],
  [
    'metadata nested too deeply',
    upload(`{"main_module":"a.js","x":${deep}}`, module(code)),
    10021,
    /nested too deeply/,
  ],
  [
    'a variable nested too deeply',
    upload(
      `{"main_module":"a.js","bindings":[{"type":"json","name":"A","json":${deep}}]}`,
      module(code),
    ),
    10021,
    /nested too deeply/,
  ],
  ['no main module', upload({}, module(code)), 10021, /main_module/],
  ['assets that were never uploaded', upload({ assets: { jwt: 'x' } }), 100_311, /Deploy again/],
  ['assets without a token', upload({ assets: {} }), 100_312, /jwt/],
  ['assets to keep that are not there', upload({ keep_assets: true }), 100_313, /has none/],
  [
    'assets with a configuration that is none',
    upload({ assets: { jwt: 'x', config: { html_handling: 'x' } } }),
    10021,
    /html_handling/,
  ],
]

const bindings: readonly Case[] = [
  [
    'a type that does not exist',
    bound({ type: 'nonsense', name: 'A' }),
    10021,
    /"nonsense", which does not exist/,
  ],
  [
    'a type that is not here yet',
    bound({ type: 'vectorize', name: 'A', index_name: '1' }),
    10021,
    /"vectorize", which is not available here yet/,
  ],
  [
    'a name twice',
    bound({ type: 'plain_text', name: 'A', text: '1' }, { type: 'json', name: 'A', json: 1 }),
    10021,
    /"A" is given to more than one/,
  ],
  ['no name', bound({ type: 'plain_text', text: '1' }), 10021, /bindings\.0\.name/],
  [
    'a namespace without an id',
    bound({ type: 'kv_namespace', name: 'A' }),
    10021,
    /"A" of type "kv_namespace" is invalid: namespace_id/,
  ],
  [
    'a namespace that does not exist',
    bound({ type: 'kv_namespace', name: 'A', namespace_id: 'f'.repeat(32) }),
    10041,
    /'f{32}' not found/,
  ],
  [
    'a Worker that does not exist',
    bound({ type: 'service', name: 'A', service: 'nobody' }),
    10143,
    /'nobody' not found/,
  ],
  [
    'nothing to inherit',
    bound({ type: 'inherit', name: 'A' }),
    10057,
    /inherit binding 'A' is invalid/,
  ],
  [
    'a secret that is too large',
    bound({ type: 'secret_text', name: 'A', text: 'x'.repeat(5 * 1024 + 1) }),
    10054,
    /"A" is larger than 5120 bytes/,
  ],
  [
    'a variable that is too large',
    bound({ type: 'plain_text', name: 'A', text: 'x'.repeat(5 * 1024 + 1) }),
    10021,
    /"A" is too large: 5121 bytes/,
  ],
  [
    'too many variables',
    bound(
      ...Array.from({ length: 129 }, (_, at) => ({ type: 'plain_text', name: `A${at}`, text: '' })),
    ),
    10055,
    /1(29|30) environment variables/,
  ],
  [
    'a class that is not exported',
    bound({ type: 'durable_object_namespace', name: 'A', class_name: 'Missing' }),
    10061,
    /'Missing' that is not exported/,
  ],
]

const modules: readonly Case[] = [
  [
    'no main module',
    upload(metadata, module(code, { name: 'b.js' })),
    10021,
    /No such module "a\.js"/,
  ],
  [
    'a main module that is text',
    upload(metadata, module(code, { type: 'text/plain' })),
    10021,
    /must be of type application\/javascript\+module, but is of type text\/plain/,
  ],
  [
    'a main module that is WebAssembly',
    upload(metadata, module(code, { type: 'application/wasm' })),
    10021,
    /is of type application\/wasm/,
  ],
  ['a module twice', upload(metadata, module(code), module(code)), 10021, /"a\.js" is there twice/],
  [
    'a module outside',
    upload({ ...metadata, main_module: '../a.js' }, module(code, { name: '../a.js' })),
    10021,
    /relative path without/,
  ],
  [
    'WebAssembly that is none',
    upload(
      metadata,
      module('import "./b.wasm"; export default {}'),
      module('nope', { name: 'b.wasm', type: 'application/wasm' }),
    ),
    10021,
    /CompileError/,
  ],
  [
    'JSON that is none',
    upload(
      metadata,
      module('import "./b.json"; export default {}'),
      module('{nope', { name: 'b.json', type: 'application/json' }),
    ),
    10021,
    /SyntaxError/,
  ],
  [
    'Python',
    upload({ main_module: 'a.py' }, module('', { name: 'a.py', type: 'text/x-python' })),
    10021,
    /Python Workers are not available/,
  ],
]

const codes: readonly Case[] = [
  [
    'a syntax error',
    written('export default {\n  fetch( {\n'),
    10021,
    /SyntaxError.*\n\s+at a\.js:3/,
  ],
  [
    'code that throws',
    written(
      'const a = 1\nfunction boom() { throw new TypeError("kaboom") }\nboom()\nexport default {}',
    ),
    10021,
    /Uncaught TypeError: kaboom\n\s+at a\.js:2:25 in boom\n\s+at a\.js:3:1/,
  ],
  ['code that throws no error', written('throw "a text"\nexport default {}'), 10021, /a text/],
  [
    'code that never comes up',
    written('await new Promise(() => {})\nexport default {}'),
    10021,
    /Top-level await in module is unsettled/,
  ],
  [
    'an import of a file that is missing',
    written('import "./missing.js"\nexport default {}'),
    10021,
    /No such module "missing\.js"\.\n\s+imported from "a\.js"/,
  ],
  [
    'an import of a package',
    written('import "left-pad"\nexport default {}'),
    10021,
    /No such module "left-pad"/,
  ],
  ['no handlers', written('export {}'), 10068, /no registered event handlers/],
  [
    'a service worker without handlers',
    raw('const a = 1', 'application/javascript'),
    10021,
    /No event handlers were registered/,
  ],
  [
    'a date in the future',
    written(code, { compatibility_date: '2999-01-01' }),
    10021,
    /in the future: 2999-01-01/,
  ],
  [
    'a date that is none',
    written(code, { compatibility_date: 'yesterday' }),
    10021,
    /Invalid compatibility date: yesterday/,
  ],
  [
    'a day that is none',
    written(code, { compatibility_date: '2026-02-31' }),
    10021,
    /Invalid compatibility date: 2026-02-31/,
  ],
  [
    'an unknown flag',
    written(code, { compatibility_flags: ['no_such_flag'] }),
    10021,
    /No such compatibility flag: no_such_flag/,
  ],
  [
    'an experimental flag',
    written(code, { compatibility_flags: ['unsafe_module'] }),
    10021,
    /unsafe_module is experimental/,
  ],
  [
    'flags that contradict',
    written(code, { compatibility_flags: ['nodejs_compat', 'no_nodejs_compat'] }),
    10021,
    /contradictory: nodejs_compat vs no_nodejs_compat/,
  ],
]

suite('uploads that are refused', () => {
  let server: Steady
  before(async () => {
    server = await serveSteady()
  })
  after(() => server[Symbol.asyncDispose]())

  const groups = { forms, metadatas, bindings, modules, codes }
  for (const [group, cases] of Object.entries(groups)) {
    for (const [title, sent, expected, message] of cases) {
      test(`${group}: ${title}`, async () => {
        for (const [method, path] of [
          ['PUT', 'fresh'],
          ['PUT', 'steady'],
          ['POST', 'steady/versions'],
        ] as const) {
          const to = `${server.home}/workers/scripts/${path}?bindings_inherit=strict`
          const answer = await server.refuse(method, to, sent)
          assert.deepEqual([answer.status, answer.codes], [400, [expected]], answer.text)
          assert.match(answer.message, message)
        }
      })
    }
  }

  test("bindings: another account's namespace", async () => {
    const other = idOf(await server.call('POST', '/accounts', { json: { name: 'other' } }))
    const path = `/accounts/${other}/storage/kv/namespaces`
    const id = idOf(await server.call('POST', path, { json: { title: 'theirs' } }))
    const sent = bound({ type: 'kv_namespace', name: 'A', namespace_id: id })
    const answer = await server.refuse('PUT', `${server.home}/workers/scripts/fresh`, sent)
    assert.deepEqual([answer.status, answer.codes], [400, [10041]])
  })

  const long = 'a'.repeat(64)
  for (const name of [long, 'a.b', 'Upper', '-a', 'a-', '%C3%BC', '%ff', '%00', 'a%2Fb', 'a%20b']) {
    test(`a Worker named ${name}`, async () => {
      const path = `${server.home}/workers/scripts/${name}`
      const answer = await server.refuse('PUT', path, written(code))
      assert.deepEqual([answer.status, answer.codes], [400, [10016]])
      assert.match(answer.message, /1 to 63 characters: lower-case letters/)
    })
  }

  test('a version of a Worker that does not exist', async () => {
    const path = `${server.home}/workers/scripts/fresh/versions`
    const answer = await server.refuse('POST', path, written(code))
    assert.deepEqual([answer.status, answer.codes], [404, [10007]])
  })

  test('code that loops', async () => {
    const path = `${server.home}/workers/scripts/fresh`
    const answer = await server.refuse('PUT', path, written('for (;;) {}\nexport default {}'))
    assert.deepEqual([answer.status, answer.codes], [400, [10021]])
    // wrangler takes a CPU profile where the text has "startup".
    assert.match(answer.message, /Script startup exceeded CPU time limit/)
  })
})

function idOf({ envelope }: Answer): string {
  return z.object({ id: z.string() }).parse(envelope?.result).id
}
