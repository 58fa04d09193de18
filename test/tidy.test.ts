import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'

// What ARCHITECTURE.md and STYLE say about the house, held by a test.

const root = fileURLToPath(new URL('..', import.meta.url))

/** Which rooms a room may import. `main` and the tests may import every room. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  contract: [],
  bindings: ['contract'],
  deploy: ['contract'],
  control: ['contract', 'deploy'],
  runtime: ['contract'],
  schedules: ['contract'],
  backplane: ['contract', 'http1'],
  ingress: ['contract', 'http1'],
  egress: ['contract'],
  http1: ['contract'],
  acme: ['contract'],
  drivers: ['contract'],
  dashboard: ['contract'],
  cli: ['contract', 'config', 'main'],
  'config.ts': ['contract'],
}

/** The one file that wraps a package (or the few, where each wraps another part of it). */
const wraps: Readonly<Record<string, RegExp>> = {
  'acme-client': /^src\/acme\/order\.ts$/,
  undici: /^src\/egress\/forward\.ts$/,
  '@hono/node-server': /^src\/control\/listener\.ts$/,
  workerd: /^src\/runtime\/binary\.ts$/,
  hono: /^src\/(control\/|bindings\/[^/]+\/api\.ts$)/,
  '@rgrove/parse-xml': /^src\/bindings\/r2\/s3-xml\.ts$/,
  zod: /^src\//,
}

const bindingFiles =
  /^((binding|schema|limits|errors|wiring|service|store|api)\.ts|[a-z.-]*\.worker\.ts|[a-z0-9.-]+\.test\.ts|panel\.tsx|README\.md|migrations\/\d{4}\.sql)$/

/** Bindings of which a product's own files are more than the agreed ones. */
const ownFiles: Readonly<Record<string, RegExp>> = {
  assets:
    /^(answer|base-path|conditional|config|content|encoding|entry|headers|kept|manifest|manifests|paths|pattern|range|redirects|reply|rule-url|router|run-worker-first|server|sites|sweep|token|uploads|variants)\.ts$/,
  d1: /^(call|calls|database-api|datasets|dump|export-api|exports|file-api|import-api|imports|insights|jobs|links|operation|query-api|split|time-travel-api|transfer-store|upkeep|verify-api|views)\.ts$/,
  mtls: /^expiries\.ts$/,
  queues:
    /^(clock-view|consumer-api|deliveries|delivery|due|insert-store|message-api|message-store|pace|pull-api|queue-api|queues|sender|settle|subscription-api|subscription-store|upkeep)\.ts$/,
  'rate-limiting': /^counters\.ts$/,
  'secrets-store': /^(access-log|data-keys)\.ts$/,
  r2: /^(body|bucket-api|bucket-store|conditions|content-store|cors|courier|crc|credentials|datasets|digests|domain-api|http|key-api|key-store|listing|native|notices-store|notification-api|object-api|object-store|operation|parts|public-buckets|range|records|rules|rules-api|s3|s3-[a-z]+|sealing|settings|upkeep|upload-store)\.ts$/,
}

/** Folders whose binding is not there yet: what is in them is tested and not in the list. */
const begun: readonly string[] = []

const sources = globSync('src/**/*.{ts,tsx}', { cwd: root }).map((file) =>
  file.replaceAll('\\', '/'),
)
const folders = globSync('src/bindings/*/', { cwd: root }).filter(
  (path) => !begun.includes(path.split('/')[2] ?? ''),
)
const production = sources.filter((file) => !/\.(test|suite)\.ts$|fixture/.test(file))

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g,
  )
  return [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

/** The text of a file without its comments. */
function codeOf(file: string): string {
  return readFileSync(join(root, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
}

function roomOf(file: string): string {
  return file.split('/')[1] ?? ''
}

suite('the plan of the house', () => {
  test('there is something to look at', () => {
    assert.ok(production.length > 30, `${production.length} files`)
    assert.ok(importsOf('src/main.ts').length > 5)
  })

  test('a room imports only the rooms it may', () => {
    const wrong = production.flatMap((file) => {
      const room = roomOf(file)
      if (room === 'main.ts') return []
      return importsOf(file)
        .map((specifier) => /^#([a-z0-9]+)/.exec(specifier)?.[1])
        .filter((to) => to !== undefined && to !== room && !mayImport[room]?.includes(to))
        .map((to) => `${file} imports ${to}`)
    })
    assert.deepEqual(wrong, [])
  })

  test('inside a folder ./, across folders #room/', () => {
    const wrong = sources.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => specifier.startsWith('..') || /^\.\/.*\//.test(specifier))
        .filter(
          (specifier) =>
            !(
              roomOf(file) === 'bindings' &&
              file.endsWith('/index.ts') &&
              /^\.\/[a-z0-9-]+\/binding\.ts$/.test(specifier)
            ),
        )
        .map((specifier) => `${file} imports ${specifier}`),
    )
    assert.deepEqual(wrong, [])
  })

  test('only main.ts and the verbs that serve know main; nobody in src knows the tests', () => {
    const wrong = production.flatMap((file) =>
      importsOf(file)
        .filter(
          (to) =>
            (to === '#main' && !/^src\/cli\/(serve|start)\.ts$/.test(file)) ||
            to.startsWith('#test'),
        )
        .map((to) => `${file} imports ${to}`),
    )
    assert.deepEqual(wrong, [])
  })

  test('a binding knows no other binding, and drivers do not know each other', () => {
    const wrong = production.flatMap((file) => {
      const [, room, folder, engine] = file.split('/')
      return importsOf(file)
        .filter((to) => {
          if (room === 'bindings')
            return to.startsWith('#bindings/') && !to.startsWith(`#bindings/${folder}/`)
          if (room === 'drivers')
            return to.startsWith('#drivers/') && !to.startsWith(`#drivers/${folder}/${engine}/`)
          return false
        })
        .map((to) => `${file} imports ${to}`)
    })
    assert.deepEqual(wrong, [])
  })

  test('a binding folder has only the agreed file names', () => {
    const files = globSync('src/bindings/*/**/*.*', { cwd: root })
    const wrong = files.filter((file) => {
      const [, , folder = '', ...name] = file.split('/')
      const own = ownFiles[folder]
      return !bindingFiles.test(name.join('/')) && own?.test(name.join('/')) !== true
    })
    assert.deepEqual(wrong, [])
  })

  test('every binding folder has binding.ts, schema.ts and a README, and is in the list', () => {
    const list = readFileSync(join(root, 'src/bindings/index.ts'), 'utf8')
    for (const folder of folders) {
      for (const name of ['binding.ts', 'schema.ts', 'README.md']) {
        assert.ok(existsSync(join(root, folder, name)), `${folder} has no ${name}`)
      }
      assert.ok(
        list.includes(`./${folder.split('/')[2]}/binding.ts`),
        `${folder} is not in the list`,
      )
    }
  })

  test('a page names tests that there are', () => {
    const pages = globSync('{*.md,docs/*.md,src/bindings/*/README.md,bench/*.md}', { cwd: root })
    const wrong = pages.flatMap((page) => {
      const text = readFileSync(join(root, page), 'utf8')
      const named = [...text.matchAll(/`([\w./-]+\.test\.ts)`/g)].map((match) => match[1] ?? '')
      const isThere = (name: string): boolean =>
        existsSync(join(root, name.includes('/') ? '' : dirname(page), name))
      // In HACKING.md a bare name is any binding's.
      const checked = named.filter((name) => name.includes('/') || page.startsWith('src/'))
      return checked.filter((name) => !isThere(name)).map((name) => `${page} names ${name}`)
    })
    assert.deepEqual(wrong, [])
  })

  test('the README has a row for each binding folder, and says that it works', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    const works = [
      ...readme.matchAll(/\*\*works\*\*.*\(src\/bindings\/([a-z0-9-]+)\/README\.md\)/g),
    ]
    const names = folders.map((path) => path.split('/')[2])
    assert.deepEqual(new Set(works.map((match) => match[1])), new Set(names))
  })

  test('wiring is pure', () => {
    const wrong = production
      .filter((file) => /bindings\/[^/]+\/wiring\.ts$|^src\/deploy\//.test(file))
      .flatMap((file) =>
        importsOf(file)
          .filter((to) => to.startsWith('node:') || /store|service|api\.ts/.test(to))
          .map((to) => `${file} imports ${to}`),
      )
    assert.deepEqual(wrong, [])
  })

  test('only store.ts and the rooms with tables speak SQL', () => {
    const wrong = production
      .filter((file) => roomOf(file) === 'bindings' && !file.endsWith('store.ts'))
      .filter((file) => importsOf(file).some((to) => to.includes('ports/sql')))
    assert.deepEqual(wrong, [])
  })

  test('a package is imported by the file that wraps it', () => {
    const wrong = production.flatMap((file) =>
      importsOf(file)
        .filter(
          (to) => /^[a-z@]/.test(to) && !to.startsWith('node:') && !to.startsWith('cloudflare:'),
        )
        .map((to) => /^(@[^/]+\/[^/]+|[^/]+)/.exec(to)?.[1] ?? to)
        .filter((name) => !wraps[name]?.test(file))
        .map((name) => `${file} imports ${name}`),
    )
    assert.deepEqual(wrong, [])
  })

  test('the environment is read by config.ts and handed to it by the verbs', () => {
    const wrong = production.filter(
      (file) => !/^src\/(config\.ts|cli\/)/.test(file) && /process\.env\b/.test(codeOf(file)),
    )
    assert.deepEqual(wrong, [])
  })

  test('every file is imported by somebody', () => {
    const roots = /^src\/(cli\/main\.ts|.*\.worker\.ts)$/
    const imported = new Set(
      [...sources, ...globSync('{test,bench}/**/*.ts', { cwd: root })].flatMap((file) =>
        [...importsOf(file), ...urlsOf(file)].map((specifier) => resolved(file, specifier)),
      ),
    )
    assert.deepEqual(
      production.filter((file) => !roots.test(file) && !imported.has(file)),
      [],
    )
  })

  test('no room for odds and ends', () => {
    const wrong = sources.filter((file) =>
      /\b(utils?|helpers?|common|shared|lib|misc)\b/.test(file),
    )
    assert.deepEqual(wrong, [])
  })
})

/** Files named by `new URL('./x.ts', import.meta.url)`: threads and modules for workerd. */
function urlsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/new URL\('([^']+\.ts)', import\.meta\.url\)/g)].map(
    (match) => match[1] ?? '',
  )
}

function resolved(file: string, specifier: string): string {
  if (specifier === '#main' || specifier === '#config') return `src/${specifier.slice(1)}.ts`
  if (specifier.startsWith('#')) return `src/${specifier.slice(1)}`
  return normalize(join(dirname(file), specifier))
}
