import assert from 'node:assert/strict'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { suite, test } from 'node:test'
import { OperatorError } from '#contract/errors.ts'
import { type Config, readConfig } from './config.ts'

suite('configuration', () => {
  test('defaults', () => {
    assert.deepEqual(readConfig([], {}), {
      dataDirectory: resolve('.bindery'),
      listen: { host: '127.0.0.1', port: 8787 },
      tlsListen: undefined,
      tlsCertificates: resolve('.bindery/certificates'),
      acme: undefined,
      httpsRedirect: false,
      api: { host: '127.0.0.1', port: 8788 },
      domain: 'localhost',
      trustedProxies: [],
      isolation: { mode: 'auto', firstUid: 61_000 },
      egress: { allow: [], certificates: [] },
      masterKey: undefined,
      logLevel: 'info',
      sleepMs: 900_000,
      limits: { cpuMs: 30_000, memoryBytes: 128 * 1024 * 1024 },
    } satisfies Config)
  })

  const good: [string, string[], Record<string, string>, Partial<Config>][] = [
    ['a flag', ['--listen', '0.0.0.0:80'], {}, { listen: { host: '0.0.0.0', port: 80 } }],
    ['the environment', [], { BINDERY_API: '[::1]:1' }, { api: { host: '::1', port: 1 } }],
    [
      'a flag before the environment',
      ['--domain', 'a.test'],
      { BINDERY_DOMAIN: 'b.test' },
      { domain: 'a.test' },
    ],
    ['a port alone', ['--api', '9000'], {}, { api: { host: '127.0.0.1', port: 9000 } }],
    ['IPv6', ['--listen', '[::]:8787'], {}, { listen: { host: '::', port: 8787 } }],
    ['a name', ['--listen', 'localhost:0'], {}, { listen: { host: 'localhost', port: 0 } }],
    ['upper case', ['--domain', 'Example.COM'], {}, { domain: 'example.com' }],
    [
      'proxies',
      ['--trusted-proxies', '10.0.0.0/8, ::1'],
      {},
      { trustedProxies: ['10.0.0.0/8', '::1'] },
    ],
    [
      'what Workers may reach',
      ['--egress-allow', '10.0.0.0/8, [fd00::1]:5432'],
      {},
      { egress: { allow: ['10.0.0.0/8', '[fd00::1]:5432'], certificates: [] } },
    ],
    ['TLS', ['--tls-listen', '[::]:443'], {}, { tlsListen: { host: '::', port: 443 } }],
    ['no TLS', [], { BINDERY_TLS_LISTEN: '' }, { tlsListen: undefined }],
    ['certificates beside the data', ['--data', '/d'], {}, { tlsCertificates: '/d/certificates' }],
    [
      'certificates of a certbot',
      [],
      { BINDERY_TLS_CERTIFICATES: '/etc/letsencrypt/live' },
      { tlsCertificates: '/etc/letsencrypt/live' },
    ],
    [
      'an authority',
      ['--acme-email', 'a@b.test'],
      { BINDERY_ACME_CA: '/ca.pem' },
      {
        acme: {
          email: 'a@b.test',
          directory: 'https://acme-v02.api.letsencrypt.org/directory',
          caFile: '/ca.pem',
        },
      },
    ],
    ['a flag alone', ['--https-redirect'], {}, { httpsRedirect: true }],
    ['a variable for it', [], { BINDERY_HTTPS_REDIRECT: '1' }, { httpsRedirect: true }],
    [
      'sockets of a supervisor go before addresses',
      ['--listen', '127.0.0.1:80'],
      { LISTEN_FDS: '3', LISTEN_PID: String(process.pid), LISTEN_FDNAMES: 'https:http:api' },
      { listen: { descriptor: 4 }, tlsListen: { descriptor: 3 }, api: { descriptor: 5 } },
    ],
    [
      'sockets that were meant for another process',
      [],
      { LISTEN_FDS: '1', LISTEN_PID: '1', LISTEN_FDNAMES: 'http' },
      { listen: { host: '127.0.0.1', port: 8787 } },
    ],
    ['a time', ['--sleep-after', '90s'], {}, { sleepMs: 90_000 }],
    ['no sleep', [], { BINDERY_SLEEP_AFTER: 'never' }, { sleepMs: undefined }],
    [
      'limits',
      ['--cpu-limit', '1.5s', '--memory-limit', '1GB'],
      {},
      { limits: { cpuMs: 1_500, memoryBytes: 1024 ** 3 } },
    ],
    ['home', ['--data', '~/b'], {}, { dataDirectory: resolve(homedir(), 'b') }],
  ]
  for (const [title, args, environment, expected] of good) {
    test(title, () => {
      const config = readConfig(args, environment)
      for (const [key, value] of Object.entries(expected)) {
        assert.deepEqual(Object.entries(config).find(([name]) => name === key)?.[1], value)
      }
    })
  }

  const bad: [string, string[], Record<string, string>, RegExp][] = [
    ['an unknown flag', ['--port', '1'], {}, /Unknown option '--port'/],
    ['a word too many', ['now'], {}, /now/],
    ['a flag without its value', ['--listen'], {}, /--listen/],
    ['no port', ['--listen', 'localhost'], {}, /HOST:PORT/],
    ['a port too high', ['--api', '127.0.0.1:70000'], {}, /HOST:PORT/],
    ['a host of nothing', [], { BINDERY_API: ':1' }, /--api must be HOST:PORT/],
    ['a domain with a slash', ['--domain', 'a/b'], {}, /host name/],
    ['an empty domain', ['--domain', ''], {}, /host name/],
    ['an unknown level', ['--log-level', 'loud'], {}, /debug, info, warn or error/],
    ['a TLS address without a port', ['--tls-listen', 'localhost'], {}, /--tls-listen must/],
    ['no mail', ['--acme-email', 'nobody'], {}, /--acme-email/],
    [
      'an authority without TLS',
      ['--acme-email', 'a@b.test', '--acme-directory', 'http://ca.test/'],
      {},
      /--acme-directory/,
    ],
    ['half a yes', [], { BINDERY_HTTPS_REDIRECT: 'maybe' }, /BINDERY_HTTPS_REDIRECT/],
    ['a socket without a name', [], { LISTEN_FDS: '1' }, /LISTEN_FDNAMES/],
    [
      'a socket of another program',
      [],
      { LISTEN_FDS: '1', LISTEN_FDNAMES: 'bindery.socket' },
      /LISTEN_FDNAMES/,
    ],
    ['half a jail', ['--isolation', 'some'], {}, /auto, jail or none/],
    ['a jail of root', [], { BINDERY_JAIL_UID: '0' }, /--jail-uid/],
    ['certificates that are not there', ['--egress-ca', '/nowhere'], {}, /--egress-ca/],
    ['certificates that are none', [], { BINDERY_EGRESS_CA: '/dev/null' }, /no certificate/],
    ['a name twice', [], { LISTEN_FDS: '2', LISTEN_FDNAMES: 'http:http' }, /LISTEN_FDNAMES/],
    ['no directory', ['--data', ''], {}, /--data/],
    ['a time without a unit', ['--sleep-after', '15'], {}, /--sleep-after must be a time/],
    ['no time', [], { BINDERY_CPU_LIMIT: '0s' }, /--cpu-limit must be a time/],
    ['a time too long', ['--cpu-limit', '25h'], {}, /--cpu-limit must be a time/],
    ['too little memory', ['--memory-limit', '1MB'], {}, /at least 16MB/],
    ['a size without a unit', ['--memory-limit', '128'], {}, /must be a size/],
  ]
  for (const [title, args, environment, message] of bad) {
    test(`refused: ${title}`, () => {
      assert.throws(
        () => readConfig(args, environment),
        (error) =>
          error instanceof OperatorError &&
          message.test(error.message) &&
          !error.message.includes('\n'),
      )
    })
  }
})
