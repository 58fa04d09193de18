import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import type { BlobKey } from '#contract/ids.ts'

// Objects under a key of their owner (SSE-C): AES-256-GCM in frames, so that a part can be read
// without the rest. Each blob has a key of its own, made of the owner's and of the blob's random
// name; the number of a frame is its nonce, and whether it is the last is authenticated with it.
// Frames can be neither changed, nor moved, nor cut off.

const frameBytes = 64 * 1024
const tagBytes = 16
const sealedFrameBytes = frameBytes + tagBytes

/** What a key is known by: the MD5 of its bytes in Base64, as clients send and are shown it. */
export function md5OfKey(key: Uint8Array): string {
  return createHash('md5').update(key).digest('base64')
}

/** Encrypts bytes as they come by. */
export async function* seal(
  source: AsyncIterable<Uint8Array>,
  key: Uint8Array,
  blob: BlobKey,
): AsyncGenerator<Uint8Array> {
  const own = keyOfBlob(key, blob)
  let number = 0
  let frame = new Uint8Array(frameBytes)
  let filled = 0
  for await (const piece of source) {
    for (let at = 0; at < piece.byteLength;) {
      // A full frame is kept until there is more: it may be the last.
      if (filled === frameBytes) {
        yield sealFrame(frame, { key: own, number: number++, isLast: false })
        frame = new Uint8Array(frameBytes)
        filled = 0
      }
      const part = piece.subarray(at, at + frameBytes - filled)
      frame.set(part, filled)
      filled += part.byteLength
      at += part.byteLength
    }
  }
  yield sealFrame(frame.subarray(0, filled), { key: own, number, isLast: true })
}

/** The frames that have `range` of what was sealed, as a range of the blob. */
export function sealedRange({ start, end }: ByteRange): ByteRange {
  const last = Math.max(Math.floor((end - 1) / frameBytes), 0)
  return {
    start: Math.floor(start / frameBytes) * sealedFrameBytes,
    end: (last + 1) * sealedFrameBytes,
  }
}

export type ByteRange = { readonly start: number; readonly end: number }

export type Sealed = {
  readonly key: Uint8Array
  readonly blob: BlobKey
  /** Of what was sealed, in bytes. */
  readonly size: number
}

/** Decrypts `range` from the frames that `sealedRange` names. Throws if a bit of them was changed. */
export async function* unseal(
  frames: AsyncIterable<Uint8Array>,
  { key, blob, size }: Sealed,
  range: ByteRange,
): AsyncGenerator<Uint8Array> {
  const own = keyOfBlob(key, blob)
  const lastNumber = Math.max(Math.ceil(size / frameBytes) - 1, 0)
  let number = Math.floor(range.start / frameBytes)
  for await (const sealed of inFrames(frames)) {
    const opened = openFrame(sealed, { key: own, number, isLast: number === lastNumber })
    const begin = number * frameBytes
    const wanted = opened.subarray(Math.max(range.start - begin, 0), range.end - begin)
    if (wanted.byteLength > 0) yield wanted
    number++
  }
}

type Frame = { readonly key: Uint8Array; readonly number: number; readonly isLast: boolean }

function sealFrame(bytes: Uint8Array, frame: Frame): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', frame.key, nonceOf(frame.number))
  cipher.setAAD(flagOf(frame))
  const sealed = new Uint8Array(bytes.byteLength + tagBytes)
  sealed.set(cipher.update(bytes))
  cipher.final()
  sealed.set(cipher.getAuthTag(), bytes.byteLength)
  return sealed
}

function openFrame(sealed: Uint8Array, frame: Frame): Uint8Array {
  const decipher = createDecipheriv('aes-256-gcm', frame.key, nonceOf(frame.number))
  decipher.setAAD(flagOf(frame))
  const length = sealed.byteLength - tagBytes
  decipher.setAuthTag(sealed.subarray(length))
  const opened = decipher.update(sealed.subarray(0, length))
  decipher.final()
  return opened
}

async function* inFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let frame = new Uint8Array(sealedFrameBytes)
  let filled = 0
  for await (const piece of source) {
    for (let at = 0; at < piece.byteLength;) {
      const part = piece.subarray(at, at + sealedFrameBytes - filled)
      frame.set(part, filled)
      filled += part.byteLength
      at += part.byteLength
      if (filled < sealedFrameBytes) continue
      yield frame
      frame = new Uint8Array(sealedFrameBytes)
      filled = 0
    }
  }
  if (filled > 0) yield frame.subarray(0, filled)
}

function keyOfBlob(key: Uint8Array, blob: BlobKey): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, blob, 'r2 object', 32))
}

function nonceOf(number: number): Uint8Array {
  const nonce = new Uint8Array(12)
  new DataView(nonce.buffer).setBigUint64(4, BigInt(number))
  return nonce
}

function flagOf({ isLast }: Frame): Uint8Array {
  return Uint8Array.of(isLast ? 1 : 0)
}
