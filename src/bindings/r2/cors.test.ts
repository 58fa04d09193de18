import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { corsHeaders, preflightHeaders } from './cors.ts'
import type { CorsRule } from './settings.ts'

const rules: readonly CorsRule[] = [
  {
    allowed: {
      origins: ['https://a.example', 'https://*.b.example'],
      methods: ['GET', 'PUT'],
      headers: ['content-type', 'x-own-*'],
    },
    exposeHeaders: ['ETag'],
    maxAgeSeconds: 60,
  },
  { allowed: { origins: ['*'], methods: ['HEAD'] } },
]

const allowed: readonly (readonly [
  origin: string | undefined,
  method: string,
  string | undefined,
])[] = [
  ['https://a.example', 'GET', 'https://a.example'],
  ['https://x.b.example', 'PUT', 'https://x.b.example'],
  ['https://anybody', 'HEAD', '*'],
  ['https://a.example.evil', 'GET', undefined],
  ['https://b.example', 'GET', undefined],
  ['http://a.example', 'GET', undefined],
  ['https://a.example', 'DELETE', undefined],
  [undefined, 'GET', undefined],
]

suite('CORS', () => {
  for (const [origin, method, expected] of allowed) {
    test(`${method} from ${origin}`, () => {
      const headers = corsHeaders(rules, { origin, method })
      assert.equal(headers['access-control-allow-origin'], expected)
      assert.equal(headers['vary'], 'Origin')
    })
  }

  test('no rules, no headers', () => {
    assert.deepEqual(corsHeaders([], { origin: 'https://a.example', method: 'GET' }), {})
  })

  test('a preflight is told what is allowed', () => {
    const asked = {
      origin: 'https://a.example',
      method: 'PUT',
      headers: 'X-Own-Name, content-type',
    }
    assert.deepEqual(preflightHeaders(rules, asked), {
      vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
      'access-control-allow-origin': 'https://a.example',
      'access-control-expose-headers': 'ETag',
      'access-control-allow-methods': 'GET, PUT',
      'access-control-allow-headers': 'x-own-name, content-type',
      'access-control-max-age': '60',
    })
  })

  for (const asked of [
    { origin: 'https://a.example', method: 'PUT', headers: 'x-other' },
    { origin: 'https://a.example', method: 'DELETE' },
    { origin: 'https://c.example', method: 'GET' },
    { origin: undefined, method: 'GET' },
  ]) {
    test(`a preflight for ${JSON.stringify(asked)} is refused`, () => {
      assert.equal(preflightHeaders(rules, asked), undefined)
    })
  }
})
