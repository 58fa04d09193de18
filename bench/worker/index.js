// What every peer runs. Values are 300 bytes, as sessions and settings are; every put is another key
// of a thousand, so that no peer is measured on one hot row.
const value = 'v'.repeat(300)
let n = 0

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case '/kv-get':
        return new Response(await env.KV.get('key'))
      case '/kv-put':
        await env.KV.put(`key-${n++ % 1000}`, value)
        return new Response('stored')
      case '/prepare':
        await env.KV.put('key', value)
        return new Response('prepared')
      default:
        return new Response('hello')
    }
  },
}
