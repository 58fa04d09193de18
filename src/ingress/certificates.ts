import { type FSWatcher, watch } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '#contract/errors.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import { type Certificate, Choice, readCertificate } from './certificate.ts'
import { certificatePollMs, certificateSettleMs, mostCertificates } from './limits.ts'

/** The certificates in a folder, as they are there now. Owned by `main.ts`. */
export interface Certificates extends Disposable {
  /** What a visitor that asks for this host is shown. */
  contextFor(hostname: string): Certificate['context'] | undefined
  /** The certificate that is for this host, not just shown for want of another. */
  find(hostname: string): Certificate | undefined
  /** The same, with whether the server got it by itself. */
  inUse(hostname: string): (Certificate & { readonly isOurs: boolean }) | undefined
  /** Calls `changed` with the default now, and whenever there is another. */
  follow(changed: (fallback: Certificate) => void): void
  /** Looks at the folder, and resolves when what is new there is in use. */
  refresh(): Promise<void>
}

/** Where `name.crt` and `name.key` are, or a certbot's `name/fullchain.pem` and `name/privkey.pem`. */
type Pair = { readonly name: string; readonly cert: string; readonly key: string }

/** What is known of a pair: its files as they were looked at, and what could be used of them last. */
type Known = { readonly stamp: string; readonly certificate?: Certificate }

/**
 * Reads the pairs in a folder and follows what happens there. A pair that can't be used (half of it
 * is written, say) leaves the one before it in use, and is told of once. Rejects if the folder
 * can't be read.
 */
export async function openCertificates(options: {
  readonly directory: string
  readonly clock: Clock
  readonly log: Log
}): Promise<Certificates> {
  const folder = new CertificateFolder(options)
  await folder.open()
  return folder
}

class CertificateFolder implements Certificates {
  readonly #directory: string
  readonly #clock: Clock
  readonly #log: Log
  #known: ReadonlyMap<string, Known> = new Map()
  #choice = new Choice([])
  #followers: ((fallback: Certificate) => void)[] = []
  #turn: Promise<void> = Promise.resolve()
  #watcher: FSWatcher | undefined
  #settling: Disposable | undefined
  #polling: Disposable | undefined
  #isClosed = false

  constructor(options: { readonly directory: string; readonly clock: Clock; readonly log: Log }) {
    this.#directory = options.directory
    this.#clock = options.clock
    this.#log = options.log
  }

  async open(): Promise<void> {
    await this.#read()
    if (!this.#choice.fallback) {
      this.#log.warn('there is no certificate: no visitor can come in by TLS', {
        directory: this.#directory,
      })
    }
    this.#poll()
    // Sees at once what the polling sees in a while; what is in folders below, only that does.
    this.#watcher = watch(this.#directory, { persistent: false }, () => this.#settle())
    this.#watcher.on('error', () => this.#watcher?.close())
  }

  contextFor(hostname: string): Certificate['context'] | undefined {
    return (this.#choice.for(hostname) ?? this.#choice.fallback)?.context
  }

  find(hostname: string): Certificate | undefined {
    return this.#choice.for(hostname)
  }

  inUse(hostname: string): (Certificate & { readonly isOurs: boolean }) | undefined {
    const found = this.#choice.for(hostname)
    return found && { ...found, isOurs: found.name.startsWith(`${ownFolder}/`) }
  }

  follow(changed: (fallback: Certificate) => void): void {
    this.#followers.push(changed)
    if (this.#choice.fallback) changed(this.#choice.fallback)
  }

  refresh(): Promise<void> {
    const before = this.#turn
    const turn = async (): Promise<void> => {
      await before
      if (this.#isClosed) return
      await this.#read().catch((error: unknown) => {
        this.#log.warn("the certificates can't be read", { reason: messageOf(error) })
      })
    }
    this.#turn = turn()
    return this.#turn
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#watcher?.close()
    this.#settling?.[Symbol.dispose]()
    this.#polling?.[Symbol.dispose]()
  }

  #poll(): void {
    if (this.#isClosed) return
    this.#polling = this.#clock.after(certificatePollMs, () => {
      void this.refresh().then(() => this.#poll())
    })
  }

  /** Whoever writes one file is likely to write another. */
  #settle(): void {
    this.#settling?.[Symbol.dispose]()
    this.#settling = this.#clock.after(certificateSettleMs, () => void this.refresh())
  }

  async #read(): Promise<void> {
    const known = new Map<string, Known>()
    let isChanged = false
    for (const pair of await pairsIn(this.#directory)) {
      const before = this.#known.get(pair.name)
      const stamp = `${await stampOf(pair.cert)} ${await stampOf(pair.key)}`
      const now = before?.stamp === stamp ? before : await this.#load(pair, { stamp, before })
      isChanged ||= now !== before
      known.set(pair.name, now)
    }
    isChanged ||= known.size !== this.#known.size
    this.#known = known
    if (isChanged) this.#use([...known.values()].flatMap(({ certificate }) => certificate ?? []))
  }

  #use(certificates: readonly Certificate[]): void {
    const before = this.#choice.fallback
    this.#choice = new Choice(certificates)
    const { fallback } = this.#choice
    if (!fallback || fallback === before) return
    for (const changed of this.#followers) changed(fallback)
  }

  async #load(
    pair: Pair,
    { stamp, before }: { readonly stamp: string; readonly before: Known | undefined },
  ): Promise<Known> {
    const { name } = pair
    try {
      const [cert, key] = await Promise.all([
        readFile(pair.cert, 'utf8'),
        readFile(pair.key, 'utf8'),
      ])
      const certificate = readCertificate({ name, cert, key })
      this.#log.info('a certificate is in use', {
        certificate: name,
        hosts: certificate.hosts.join(' '),
        until: new Date(certificate.notAfter).toISOString(),
      })
      return { stamp, certificate }
    } catch (error) {
      this.#log.warn("a certificate can't be used", {
        certificate: name,
        reason: messageOf(error),
        instead: before?.certificate ? 'the one before' : 'none',
      })
      return { ...before, stamp }
    }
  }
}

/** The folder of the certificates that the server got by itself, within that of all. */
export const ownFolder = 'acme'

/** The pairs that there seem to be, by what files are called. */
async function pairsIn(directory: string): Promise<readonly Pair[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  const names = new Set(entries.map(({ name }) => name))
  const pairs: Pair[] = []
  for (const entry of entries) {
    const path = join(directory, entry.name)
    const file = /^(.+)\.(?:crt|pem)$/.exec(entry.name)
    if (file?.[1] !== undefined) {
      // A file that holds both is written in one step.
      const key = names.has(`${file[1]}.key`) ? join(directory, `${file[1]}.key`) : path
      pairs.push({ name: file[1], cert: path, key })
    } else if (entry.name === ownFolder && entry.isDirectory()) {
      pairs.push(
        ...(await pairsIn(path)).map((pair) => ({ ...pair, name: `${ownFolder}/${pair.name}` })),
      )
    } else if (!entry.isFile() && (await stampOf(join(path, 'fullchain.pem'))) !== absent) {
      pairs.push({
        name: entry.name,
        cert: join(path, 'fullchain.pem'),
        key: join(path, 'privkey.pem'),
      })
    }
  }
  return pairs.slice(0, mostCertificates)
}

const absent = '-'

/** What changes when a file does, or the file that a link leads to. */
async function stampOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs } = await stat(path)
    return `${ino}:${size}:${mtimeMs}`
  } catch {
    return absent
  }
}
