import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { WorkerExports, WorkerPlan } from '#contract/cell.ts'
import { blobKey, objectNamespaceId, workerName } from '#contract/ids.ts'
import type { Wire } from '#contract/wire.ts'
import { account } from '#test/backend.ts'
import { type CellConfig, printConfig, writeConfig } from './config.ts'

const canary = 'canary-7f3a'

const wires: Readonly<Record<string, Wire>> = {
  TEXT: { type: 'text', text: `${canary} "quoted"` },
  JSON: { type: 'json', json: { canary } },
  DATA: { type: 'data', base64: btoa(canary) },
  WASM: { type: 'wasm', module: 'm.wasm' },
  RAW: key('raw', btoa(canary), { name: 'HMAC', hash: 'SHA-256' }),
  PKCS8: key('pkcs8', btoa(canary), 'Ed25519'),
  JWK: key('jwk', JSON.stringify({ kty: 'oct', k: canary }), 'AES-GCM'),
  KV: { type: 'backend', client: 'kvNamespace', resource: canary },
  D1: { type: 'backend', client: 'd1', resource: canary },
  SHIM: {
    type: 'backend',
    client: { name: 'some', source: 'file:///some/shim.worker.ts', values: { n: 1 } },
    resource: canary,
  },
  OTHER: {
    type: 'worker',
    worker: workerName.parse('other'),
    entrypoint: 'Named',
    props: { canary },
  },
  NOBODY: { type: 'worker', worker: workerName.parse('nobody') },
  OBJECTS: { type: 'objects', namespace: objectNamespaceId.parse('7'.repeat(32)) },
  EXIT: { type: 'exit', certificate: 'c1' },
  EXIT_TOO: { type: 'exit', certificate: 'c1' },
  GONE: { type: 'objects', namespace: objectNamespaceId.parse('8'.repeat(32)) },
}

function key(format: 'raw' | 'pkcs8' | 'jwk', data: string, algorithm: string | object): Wire {
  const parsed = typeof algorithm === 'string' ? algorithm : { ...algorithm }
  return { type: 'key', key: { format, data, algorithm: parsed, usages: ['sign', 'verify'] } }
}

const objects: WorkerPlan['objects'] = [
  { id: objectNamespaceId.parse('7'.repeat(32)), className: 'Counter', storage: 'sqlite' },
]

const named: WorkerExports = {
  hasDefault: true,
  handlers: ['fetch'],
  named: [{ name: 'Named', type: 'entrypoint', handlers: ['queue'] }],
}

function plan(worker: string, over: Partial<WorkerPlan> = {}): WorkerPlan {
  return {
    account,
    worker: workerName.parse(worker),
    version: { id: 'v', tag: '', createdAt: '2026-11-24T00:00:00Z' },
    percentage: 100,
    limits: {},
    code: {
      format: 'modules',
      mainModule: './index.js',
      modules: [
        { name: './index.js', type: 'esModule', key: blobKey.parse('0'.repeat(32)), size: 4 },
        { name: 'm.wasm', type: 'wasm', key: blobKey.parse('1'.repeat(32)), size: 4 },
      ],
      compatibilityDate: '2026-11-01',
      compatibilityFlags: ['nodejs_als'],
    },
    exports: { hasDefault: true, handlers: ['fetch'], named: [] },
    objects: [],
    bindings: [],
    ...over,
  }
}

function config(over: Partial<CellConfig> = {}): CellConfig {
  const door = (id: string): { socketPath: string; cfBlobHeader: string; protoHeader: string } => ({
    socketPath: `/run/${id}.w`,
    cfBlobHeader: `x-${canary}-cf`,
    protoHeader: `x-${canary}-proto`,
  })
  const bindings = Object.entries(wires).map(([name, wire]) => ({ name, type: wire.type, wire }))
  return {
    slots: [
      {
        id: 'w0',
        plan: plan('main', { bindings }),
        door: door('w0'),
        exitSocket: '/run/ew0',
        certificateSockets: new Map([['c1', '/run/ew0.0']]),
        capabilities: new Map([['KV', `${canary}-capability`]]),
      },
      {
        id: 'w1',
        plan: plan('other', { percentage: 30 }),
        door: door('w1'),
        exitSocket: '/run/ew1',
        certificateSockets: new Map(),
        capabilities: new Map(),
      },
      {
        id: 'w2',
        plan: plan('other', { percentage: 70, exports: named, objects }),
        door: door('w2'),
        exitSocket: '/run/ew2',
        certificateSockets: new Map(),
        capabilities: new Map(),
      },
    ],
    agentSocket: '/run/a',
    backplaneSocket: '/run/b',
    hiddenName: `__bindery_${canary}`,
    objectsDirectory: '/data/objects',
    isCheck: false,
    agentSource: '// agent',
    hiddenSource: '// hidden',
    splitSource: '// split',
    socketsSource: '// sockets',
    guestTailsSource: '// tails',
    shimSource: ({ name }) => `// ${name}`,
    capabilityHeader: 'x-capability',
    read: () => new TextEncoder().encode(canary),
    ...over,
  }
}

const printed = `(services = [
(name = "w0", worker = (modules = [(name = "***.js", esModule = "***"), (name = "***-entrypoint.js", esModule = "***"), (name = "index.js", esModule = "***"), (name = "m.wasm", wasm = "***")], compatibilityDate = "2026-11-01", compatibilityFlags = ["nodejs_als"], bindings = [
(name = "TEXT", text = "***"),
(name = "JSON", json = "***"),
(name = "DATA", data = "***"),
(name = "WASM", wasmModule = "***"),
(name = "RAW", cryptoKey = (raw = "***", algorithm = (json = "***"), usages = [sign, verify])),
(name = "PKCS8", cryptoKey = (pkcs8 = "***", algorithm = (name = "Ed25519"), usages = [sign, verify])),
(name = "JWK", cryptoKey = (jwk = "***", algorithm = (name = "AES-GCM"), usages = [sign, verify])),
(name = "KV", kvNamespace = "w0/KV"),
(name = "D1", wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [(name = "fetcher", service = "w0/D1")])),
(name = "SHIM", wrapped = (moduleName = "bindery-internal:some", innerBindings = [(name = "fetcher", service = "w0/SHIM"), (name = "n", json = "***")])),
(name = "OTHER", service = (name = "split", entrypoint = "E0")),
(name = "NOBODY", service = (name = "nobody")),
(name = "OBJECTS", durableObjectNamespace = (className = "Counter", serviceName = "w2")),
(name = "EXIT", service = "w0:exit:c1"),
(name = "EXIT_TOO", service = "w0:exit:c1"),
(name = "GONE", durableObjectNamespace = (className = "Nobody", serviceName = "nobody"))], globalOutbound = "w0:exit")),
(name = "w1", worker = (modules = [(name = "***.js", esModule = "***"), (name = "***-entrypoint.js", esModule = "***"), (name = "index.js", esModule = "***"), (name = "m.wasm", wasm = "***")], compatibilityDate = "2026-11-01", compatibilityFlags = ["nodejs_als"], bindings = [], globalOutbound = "w1:exit")),
(name = "w2", worker = (modules = [(name = "***.js", esModule = "***"), (name = "***-entrypoint.js", esModule = "***"), (name = "index.js", esModule = "***"), (name = "m.wasm", wasm = "***")], compatibilityDate = "2026-11-01", compatibilityFlags = ["nodejs_als"], bindings = [], globalOutbound = "w2:exit", durableObjectNamespaces = [(className = "Counter", uniqueKey = "***", enableSql = true)], durableObjectStorage = (localDisk = "objects"))),
(name = "w0/KV", external = (address = "unix:/run/b", http = (injectRequestHeaders = [(name = "x-capability", value = "***")]))),
(name = "agent", worker = (compatibilityDate = "2026-11-01", compatibilityFlags = ["service_binding_extra_handlers", "experimental"], modules = [(name = "agent.js", esModule = "***")], bindings = [(name = "w0", service = (name = "w0", entrypoint = "***")), (name = "w1", service = (name = "w1", entrypoint = "***")), (name = "w2", service = (name = "w2", entrypoint = "***")), (name = "w2>Named", service = (name = "w2", entrypoint = "Named")), (name = "split", service = (name = "split", entrypoint = "Control"))], globalOutbound = "nobody")),
(name = "split", worker = (compatibilityDate = "2026-11-01", modules = [(name = "split.js", esModule = "***"), (name = "entrypoint.js", esModule = "***")], bindings = [(name = "shares", json = "***"), (name = "E0/w1", service = (name = "nobody")), (name = "E0/w2", service = (name = "w2", entrypoint = "Named", props = (json = "***")))], globalOutbound = "nobody")),
(name = "w0:exit", external = (address = "unix:/run/ew0", http = (style = proxy))),
(name = "w0:exit:c1", external = (address = "unix:/run/ew0.0", http = (style = proxy))),
(name = "w1:exit", external = (address = "unix:/run/ew1", http = (style = proxy))),
(name = "w2:exit", external = (address = "unix:/run/ew2", http = (style = proxy))),
(name = "internet", network = (allow = [])),
(name = "objects", disk = (path = "/data/objects", writable = true)),
(name = "nobody", worker = (compatibilityDate = "2026-11-01", modules = [(name = "nobody.js", esModule = "***")], durableObjectNamespaces = [(className = "Nobody", uniqueKey = "***")], durableObjectStorage = (inMemory = void), globalOutbound = "nobody"))], sockets = [
(name = "w0", address = "unix:/run/w0.w", service = "w0", http = (cfBlobHeader = "***", forwardedProtoHeader = "***")),
(name = "w1", address = "unix:/run/w1.w", service = "w1", http = (cfBlobHeader = "***", forwardedProtoHeader = "***")),
(name = "w2", address = "unix:/run/w2.w", service = "w2", http = (cfBlobHeader = "***", forwardedProtoHeader = "***")),
(name = "agent", address = "unix:/run/a", service = "agent", http = ())], extensions = [(modules = [(name = "cloudflare-internal:email", internal = true, esModule = "***"), (name = "bindery:sockets", internal = false, esModule = "***"), (name = "bindery-internal:some", internal = true, esModule = "***")])])`

const nothing = { capabilities: new Map<string, string>(), certificateSockets: new Map() }

suite('the configuration of a cell', () => {
  test('has the shape that it has, and prints no secret', () => {
    assert.equal(printConfig(config()), printed.replaceAll('\n', ' ').replaceAll('[ (', '[('))
  })

  test('nothing printed is a secret, a value or code', () => {
    for (const each of [config(), config({ isCheck: true })]) {
      assert.ok(!printConfig(each).includes(canary))
      assert.ok(!printConfig(each).includes(Buffer.from(canary).toString('hex')))
    }
  })

  test('a check has no way out: no door, no backplane, no other Worker', () => {
    const only = config()
      .slots.slice(0, 1)
      .map(({ id, plan: each }) => ({ id, plan: each, ...nothing }))
    const text = writeConfig(config({ isCheck: true, slots: only }))
    assert.ok(!text.includes('/run/b'))
    assert.ok(!text.includes('external'))
    assert.deepEqual(text.match(/unix:[^"]+/g), ['unix:/run/a'])
  })

  test('never asks for what would open the cell', () => {
    for (const text of [writeConfig(config()), writeConfig(config({ isCheck: true }))]) {
      for (const word of ['workerdDebugPort', 'unsafeEval', 'fromEnvironment', 'inspector']) {
        assert.ok(!text.includes(word), word)
      }
    }
  })

  test('the only way out is the proxy', () => {
    const text = writeConfig(config())
    assert.deepEqual(text.match(/network = [^)]*\)/g), ['network = (allow = [])'])
    assert.ok(text.includes('external = (address = "unix:/run/ew0", http = (style = proxy))'))
  })

  test('keys of DER formats become PEM', () => {
    const body = btoa(canary)
    assert.ok(
      writeConfig(config()).includes(
        `-----BEGIN PRIVATE KEY-----\\x0a${body}\\x0a-----END PRIVATE KEY-----\\x0a`,
      ),
    )
  })

  test('what loads Workers has a loader of its own for each binding, and none in a check', () => {
    const source = 'file:///some/shim.worker.ts'
    const client = { name: 'loading', source, values: {}, loads: true } as const
    const wire = { type: 'backend', client, resource: null } as const
    const bindings = ['A', 'B'].map((name) => ({ name, type: 'x', wire }))
    const slots = ['w0', 'w1'].map((id) => ({
      id,
      plan: plan('w', { bindings }),
      capabilities: new Map<string, string>(),
      certificateSockets: new Map<string, string>(),
    }))
    const text = writeConfig(config({ slots }))
    const ids = [...text.matchAll(/workerLoader = \(id = "([^"]*)"\)/g)].map((match) => match[1])
    assert.deepEqual(ids, ['w0/A', 'w0/B', 'w1/A', 'w1/B'])
    assert.match(text, /name = "guest-tails", worker = /)
    const checked = writeConfig(config({ slots: slots.slice(0, 1), isCheck: true }))
    assert.doesNotMatch(checked, /workerLoader|guest-tails/)
    assert.doesNotMatch(writeConfig(config()), /workerLoader|guest-tails/)
  })

  test('a service worker is a script without our entrypoint', () => {
    const code = { ...plan('sw').code, format: 'service-worker' as const }
    const slot = { id: 'w0', plan: plan('sw', { code }), ...nothing }
    const text = writeConfig(config({ slots: [slot] }))
    assert.ok(text.includes(`serviceWorkerScript = "${canary}"`))
    const bindings = 'bindings = [(name = "w0>", service = (name = "w0"))]'
    assert.ok(text.includes(`(name = "agent.js", esModule = "// agent")], ${bindings}`))
  })
})
