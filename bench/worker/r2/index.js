// What every peer runs. Every put is another key of a thousand, so that no peer is measured on one
// hot row.
const small = 'v'.repeat(3_000)
const large = new Uint8Array(10_000_000).fill(118)
const part = new Uint8Array(64 * 1024 * 1024).fill(118)
let n = 0

const read = async (env, key) => new Response((await env.MEDIA.get(key)).body)

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case '/put-small':
        await env.MEDIA.put(`small-${n++ % 1000}`, small)
        return new Response('stored')
      case '/get-small':
        return read(env, 'small')
      case '/put-large':
        await env.MEDIA.put(`large-${n++ % 10}`, large)
        return new Response('stored')
      case '/get-large':
        return read(env, 'large')
      case '/get-huge':
        return read(env, 'huge')
      case '/prepare': {
        await env.MEDIA.put('small', small)
        await env.MEDIA.put('large', large)
        return new Response('prepared')
      }
      case '/prepare-huge': {
        const upload = await env.MEDIA.createMultipartUpload('huge')
        const parts = []
        for (let number = 1; number <= 16; number++) {
          parts.push(await upload.uploadPart(number, part))
        }
        await upload.complete(parts)
        return new Response('prepared')
      }
      default:
        return new Response('hello')
    }
  },
}
