/** What `gather` found. */
export type Gathered = {
  /** All of it; absent if it was longer than its limit. */
  readonly bytes: Uint8Array | undefined
  /** Bytes that came, as far as they were read. */
  readonly size: number
}

/**
 * Reads a body into memory. Of one longer than `limit` nothing is kept, and up to `dropBytes` more
 * are read: they cost nothing, its sender hears what is wrong, and the connection can be used again.
 */
export async function gather(
  body: AsyncIterable<Uint8Array> | readonly Uint8Array[],
  limit: number,
  dropBytes = 0,
): Promise<Gathered> {
  let chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.byteLength
    if (size <= limit) chunks.push(chunk)
    else chunks = []
    if (size > limit + dropBytes) break
  }
  return { bytes: size > limit ? undefined : joinBytes(chunks, size), size }
}

/** Pieces as one. `size` is what they have together. */
export function joinBytes(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = pieces
  if (first && pieces.length === 1) return first
  const all = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.byteLength
  }
  return all
}
