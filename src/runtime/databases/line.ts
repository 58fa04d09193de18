import { type IncomingMessage, request } from 'node:http'
import { replyBytes } from './limits.ts'
import { PlainClient } from './plain-client.ts'

/** What was sent to a process, and is not answered yet. */
export type Post = {
  /** The id of the object that it is for. */
  readonly object: string
  /** Whether it is a stream, which takes turns with others while it goes on. */
  readonly isStream: boolean
  /** By `performance.now()`. */
  readonly sentAt: number
}

/** It answered something else than a reply, or got half a stream: nothing that it did may be relied on. */
export class BrokenError extends Error {
  override readonly name = 'BrokenError'
}

// workerd closes a connection idle for 5 s; we let go of it first.
const idleMs = 4_000

/** Kept connections to the socket of one process. Whoever makes it closes it. */
export class Line implements Disposable {
  readonly #client: PlainClient
  readonly #socketPath: string
  readonly #posts = new Set<Post>()
  #answeredAt = 0
  #answered = 0

  constructor(socketPath: string) {
    this.#socketPath = socketPath
    this.#client = new PlainClient(socketPath, { bodyBytes: replyBytes, idleMs })
  }

  /** In the order in which they were sent. */
  get posts(): Iterable<Post> {
    return this.#posts
  }

  get isIdle(): boolean {
    return this.#posts.size === 0
  }

  /** How many it has answered. */
  get answered(): number {
    return this.#answered
  }

  /** When it last answered one, by `performance.now()`. */
  get answeredAt(): number {
    return this.#answeredAt
  }

  /** Sends calls to an object, and gives the body of the answer. Throws if the connection breaks. */
  post(object: string, body: Uint8Array): Promise<Uint8Array> {
    return this.#counted({ object, isStream: false }, async () => {
      const { status, body: reply } = await this.#client.post(`/${object}`, body)
      if (status !== 200) throw new BrokenError(`the engine answered ${status}`)
      return reply
    })
  }

  /** Sends a stream to an object. `moved` is called whenever a piece was taken. */
  stream(
    object: string,
    source: AsyncIterable<Uint8Array>,
    moved: () => void,
  ): Promise<Uint8Array> {
    return this.#counted({ object, isStream: true }, () => this.#sendStream(object, source, moved))
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
  }

  #sendStream(
    object: string,
    source: AsyncIterable<Uint8Array>,
    moved: () => void,
  ): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const outgoing = request(
      {
        socketPath: this.#socketPath,
        agent: false,
        method: 'POST',
        path: `/${object}/stream`,
        headers: { host: 'engine' },
      },
      (response) => void bodyOf(response).then(resolve, reject),
    )
    outgoing.on('error', reject)
    void pump(source, outgoing, moved).catch((error: unknown) => {
      outgoing.destroy(new BrokenError('the source of a stream failed', { cause: error }))
    })
    return promise
  }

  /** Notes what is on its way, in the order in which it is sent. */
  async #counted(
    { object, isStream }: Omit<Post, 'sentAt'>,
    send: () => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const post: Post = { object, isStream, sentAt: performance.now() }
    this.#posts.add(post)
    try {
      return await send()
    } finally {
      this.#posts.delete(post)
      this.#answered += 1
      this.#answeredAt = performance.now()
    }
  }
}

async function bodyOf(response: IncomingMessage): Promise<Uint8Array> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of response.iterator()) {
    pieces.push(piece)
    size += piece.byteLength
    if (size > replyBytes) throw new BrokenError('the engine answers too much')
  }
  if (response.statusCode !== 200) {
    throw new BrokenError(`the engine answered ${response.statusCode}`)
  }
  const [first] = pieces
  return first && pieces.length === 1 ? first : Buffer.concat(pieces, size)
}

async function pump(
  source: AsyncIterable<Uint8Array>,
  outgoing: ReturnType<typeof request>,
  moved: () => void,
): Promise<void> {
  for await (const piece of source) {
    if (outgoing.destroyed) return
    if (!outgoing.write(piece)) {
      await new Promise<void>((resolve) => {
        outgoing.once('drain', resolve)
        outgoing.once('close', resolve)
      })
    }
    moved()
  }
  outgoing.end()
}
