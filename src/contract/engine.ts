// What an engine (`ports/databases.ts`) answers to. It exports a Durable Object class `Database` and
// is bound to its namespace as `DATABASES`; `FILE_BYTES` is what a file may have, which is the engine's
// to see to. Its default export answers, on its one socket:
//
//   POST /             200, a JSON array: it is up
//   POST /<id>         with calls: 200, with a reply to each of them that it took, in order. All that
//                      these wrote is one commit. It stops at a call where going on would make others
//                      wait: those after it are sent again.
//   POST /<id>/stream  with a stream: 200, with one reply when it has taken all of it, in one commit
//
// Anything but 200 says that nothing may be relied on: neither what was written nor what was not.
//
// Calls and replies are frames: four bytes of length, the most significant first, and so many bytes.

const lengthBytes = 4

/** Calls as one body. */
export function joinFrames(calls: readonly Uint8Array[]): Uint8Array {
  const size = calls.reduce((sum, { byteLength }) => sum + lengthBytes + byteLength, 0)
  const all = new Uint8Array(size)
  const view = new DataView(all.buffer)
  let at = 0
  for (const call of calls) {
    view.setUint32(at, call.byteLength)
    all.set(call, at + lengthBytes)
    at += lengthBytes + call.byteLength
  }
  return all
}

/** The replies in a body: views of it. Throws if that is not what it is. */
export function splitFrames(body: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const frames: Uint8Array[] = []
  let at = 0
  while (at < body.byteLength) {
    const end = at + lengthBytes + view.getUint32(at)
    if (end > body.byteLength) throw new Error('a frame is cut off')
    frames.push(body.subarray(at + lengthBytes, end))
    at = end
  }
  return frames
}
