import { createHash } from 'node:crypto'
import type { GuardedMount } from '#contract/binding.ts'
import { BlobFullError, BlobTooLargeError } from '#contract/ports/blob.ts'
import * as errors from './errors.ts'
import { importBytes } from './limits.ts'
import { type Link, linkPath } from './links.ts'
import type { Parts } from './operation.ts'

/** Where files of imports are sent to, and exports fetched from: whoever has the URL may. */
export function fileApi({ links, transfers, store }: Parts): GuardedMount {
  return {
    path: linkPath,
    async handle(request, account) {
      const { pathname } = new URL(request.url)
      const link = await links.read(account, decoded(pathname.slice(linkPath.length + 1)))
      if (link.type === 'import' && request.method === 'PUT') {
        store.get(link.account, link.database)
        return receive(link, request)
      }
      if (link.type === 'export' && request.method === 'GET') return send(link)
      throw errors.routeNotFound(pathname)
    },
  }

  async function receive(
    { database, etag }: Link & { readonly type: 'import' },
    request: Request,
  ): Promise<Response> {
    const hash = createHash('md5')
    const check = (): void => {
      if (hash.digest('hex') !== etag) throw errors.etagMismatch()
    }
    const source = hashed(request.body ?? [], (piece) => void hash.update(piece))
    await transfers.addUpload(database, { etag, source, check }).catch(notStored)
    return new Response(null, { status: 200, headers: { etag: `"${etag}"` } })
  }

  async function send({ blob, filename }: Link & { readonly type: 'export' }): Promise<Response> {
    const reader = await transfers.open(blob)
    if (!reader) throw errors.linkInvalid()
    return new Response(ReadableStream.from(reader.stream()), {
      headers: {
        'content-type': 'application/sql',
        'content-length': `${reader.size}`,
        'content-disposition': `attachment; filename="${filename}"`,
      },
    })
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw errors.linkInvalid()
  }
}

function notStored(error: unknown): never {
  if (error instanceof BlobTooLargeError) throw errors.bodyTooLarge(importBytes)
  if (error instanceof BlobFullError) throw errors.databaseUnavailable('There is no room left.')
  throw error
}

async function* hashed(
  body: AsyncIterable<Uint8Array> | readonly Uint8Array[],
  onPiece: (piece: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    onPiece(piece)
    yield piece
  }
}
