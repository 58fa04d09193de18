import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { messageOf, OperatorError } from '#contract/errors.ts'
import { readTar, type TarEntry, TarError, writeTar } from '#contract/tar.ts'
import { ApiClient } from './api-client.ts'
import { bytesText, parse, Progress, table } from './terminal.ts'

export const objectsHelp = `bindery do list [NAMESPACE]      Durable Objects; NAMESPACE is an id or worker_Class
bindery do export NAMESPACE [OBJECT] --to DIR      while they run; one object may go to a FILE.sqlite
bindery do import NAMESPACE --from DIR|FILE        (each with --data DIR of a running server, --account ID)`

const namespaceRow = z.object({
  id: z.string(),
  name: z.string(),
  script: z.string(),
  class: z.string(),
  use_sqlite: z.boolean(),
})
type Namespace = z.output<typeof namespaceRow>
const sizedNamespace = namespaceRow.extend({ objects: z.number(), size_bytes: z.number() })
const objectRow = z.object({
  id: z.string(),
  size_bytes: z.number(),
  modified_on: z.string(),
  alarm_on: z.string().nullable(),
})

const namespaceFile = 'namespace.json'
/** Names of an object's files, as `list` of the exported directory shows them. */
const objectFile = /^[0-9a-f]{64}(?:(?:\.\d+)?\.sqlite(?:-wal)?|\.facets)$/
/** What a folder of a stopped server has besides, and what follows from the other files. */
const passedOver = /^metadata\.sqlite|-shm$/

/** `bindery do list | export | import`. */
export async function objects(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: 'string' },
        account: { type: 'string' },
        to: { type: 'string' },
        from: { type: 'string' },
      },
    }),
  )
  const { client, path } = await ApiClient.ofAccount(values, process.env)
  const at = `${path}/workers/durable_objects/namespaces`
  const [action, name, object] = positionals
  if (action === 'list' && name === undefined) return listNamespaces(client, at)
  if (name === undefined) throw new OperatorError(`Usage:\n${objectsHelp}`)
  const namespace = await find(client, at, name)
  const of: Place = { client, namespace, path: `${at}/${namespace.id}` }
  if (action === 'list') return listObjects(of)
  if (action === 'export' && values.to !== undefined) return exportTo(of, values.to, object)
  if (action === 'import' && values.from !== undefined) return importFrom(of, values.from)
  throw new OperatorError(`Usage:\n${objectsHelp}`)
}

type Place = {
  readonly client: ApiClient
  readonly namespace: Namespace
  /** Of the namespace, in the API. */
  readonly path: string
}

async function listNamespaces(client: ApiClient, at: string): Promise<void> {
  const rows: string[][] = []
  for (const { id } of await namespaces(client, at)) {
    const one = sizedNamespace.parse(await client.get(`${at}/${id}`))
    const storage = one.use_sqlite ? 'sqlite' : 'kv'
    rows.push([id, one.script, one.class, storage, `${one.objects}`, bytesText(one.size_bytes)])
  }
  process.stdout.write(table(['NAMESPACE', 'WORKER', 'CLASS', 'STORAGE', 'OBJECTS', 'SIZE'], rows))
}

async function listObjects({ client, path }: Place): Promise<void> {
  const rows: string[][] = []
  for await (const page of client.pages(`${path}/objects?limit=10000`)) {
    for (const row of z.array(objectRow).parse(page)) {
      rows.push([row.id, bytesText(row.size_bytes), row.modified_on, row.alarm_on ?? ''])
    }
  }
  process.stdout.write(table(['OBJECT', 'SIZE', 'MODIFIED', 'ALARM'], rows))
}

async function namespaces(client: ApiClient, at: string): Promise<readonly Namespace[]> {
  return z.array(namespaceRow).parse(await client.get(`${at}?per_page=1000`))
}

async function find(client: ApiClient, at: string, name: string): Promise<Namespace> {
  const all = await namespaces(client, at)
  const found = all.filter((each) => each.id === name || each.name === name)
  const [only] = found
  if (found.length > 1) throw new OperatorError(`${name} may be any of several: name its id.`)
  if (!only) throw new OperatorError(`There is no namespace ${name}. Try: bindery do list`)
  return only
}

// ---- export

async function exportTo(place: Place, to: string, object: string | undefined): Promise<void> {
  if (object !== undefined && to.endsWith('.sqlite')) return exportFile(place, to, object)
  await makeEmpty(to)
  const { client, path } = place
  const query = object === undefined ? '' : `?object=${encodeURIComponent(object)}`
  const response = await client.download(`${path}/export${query}`)
  const progress = new Progress()
  let isWhole = false
  let count = 0
  try {
    for await (const { name, bytes } of readTar(chunksOf(response))) {
      if (name !== namespaceFile && !objectFile.test(name)) throw new TarError(`it has a "${name}"`)
      await write(join(to, name), progress.watch(bytes))
      if (/^[0-9a-f]{64}\.sqlite$/.test(name)) count += 1
      isWhole = name === namespaceFile
    }
  } catch (error) {
    if (!(error instanceof TarError)) throw error
    throw cutOff(to, error)
  }
  if (!isWhole) throw cutOff(to)
  process.stdout.write(`${counted(count)} of ${place.namespace.name} in ${to}.\n`)
}

function cutOff(to: string, cause?: TarError): OperatorError {
  return new OperatorError(
    `The export ended early, so what is in ${to} is not whole. The log of the server says why.`,
    { cause },
  )
}

async function exportFile({ client, path }: Place, to: string, object: string): Promise<void> {
  const response = await client.download(`${path}/objects/${encodeURIComponent(object)}/export`)
  const facets = Number(response.headers.get('x-bindery-facets'))
  if (facets > 0) {
    await response.body?.cancel()
    throw new OperatorError(
      `The object has facets (${facets}), which one file can't hold. Name a directory with --to.`,
    )
  }
  await write(to, new Progress().watch(chunksOf(response)))
  process.stdout.write(`1 object in ${to}.\n`)
}

async function makeEmpty(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const found = await readdir(directory)
    if (found.length === 0) return
  } catch (cause) {
    throw new OperatorError(`${directory} can't be written (${messageOf(cause)}).`, { cause })
  }
  throw new OperatorError(`${directory} is not empty. Name another directory with --to.`)
}

async function write(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await using file = await create(path)
  try {
    for await (const chunk of bytes) await file.writeFile(chunk)
    await file.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600)
  } catch (cause) {
    const isThere = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    const reason = isThere ? 'is there already' : `can't be written (${messageOf(cause)})`
    throw new OperatorError(`${path} ${reason}. Name another with --to.`, { cause })
  }
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  if (response.body) yield* response.body
}

// ---- import

async function importFrom({ client, namespace, path }: Place, from: string): Promise<void> {
  const files = await filesAt(from)
  const archive = writeTar(entriesOf(files, new Progress()), Date.now())
  const result = await client.upload(`${path}/import`, archive)
  const { objects: count } = z.object({ objects: z.number() }).parse(result)
  process.stdout.write(`${counted(count)} from ${from} in ${namespace.name}.\n`)
}

/** The files to send. What is none of an object's is refused before anything is sent. */
async function filesAt(from: string): Promise<readonly string[]> {
  const names = await readdir(from).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'ENOTDIR') return undefined
    throw new OperatorError(`${from} can't be read (${messageOf(cause)}).`, { cause })
  })
  const paths = names ? names.toSorted().map((name) => join(from, name)) : [from]
  const wanted = paths.filter((path) => !passedOver.test(basename(path)))
  for (const path of wanted) {
    const name = basename(path)
    if (name === namespaceFile || objectFile.test(name)) continue
    throw new OperatorError(
      `${path} is no file of an object: those are called <id>.sqlite, <id>.<n>.sqlite and <id>.facets.`,
    )
  }
  if (wanted.length === 0) throw new OperatorError(`There is no object in ${from}.`)
  return wanted
}

async function* entriesOf(paths: readonly string[], progress: Progress): AsyncGenerator<TarEntry> {
  for (const path of paths) {
    const { size } = await stat(path)
    yield { name: basename(path), sizeBytes: size, bytes: progress.watch(createReadStream(path)) }
  }
}

function counted(count: number): string {
  return count === 1 ? '1 object' : `${count} objects`
}
