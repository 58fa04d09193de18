import assert from 'node:assert/strict'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import Cloudflare from 'cloudflare'
import { z } from 'zod'
import type { Pem } from '#test/certificates.ts'
import { withNewestAndOldest } from '#test/clients.ts'
import { ask, call, deploy, formOf, otherAccount, type Place, placeOf } from '#test/deployer.ts'
import { temporaryFolder } from '#test/temporary.ts'
import { startTlsOrigin, type TlsOrigin } from '#test/tls-origin.ts'

// mTLS certificates, with the unmodified wranglers that projects pin, against a server that demands them.

const certificates = z.array(
  z.object({
    id: z.uuid(),
    name: z.string().optional(),
    ca: z.boolean(),
    issuer: z.string(),
    expires_on: z.iso.datetime(),
    uploaded_on: z.iso.datetime(),
  }),
)

const made = z.object({ id: z.string() })

/** Calls an origin, whose URL is the visitor's to say, with its certificate or without one. */
const worker = `
export default {
  async fetch(request, env) {
    const url = new URL(request.url).searchParams
    const called = await (url.has('plain') ? fetch : env.CERT.fetch.bind(env.CERT))(url.get('url'))
    return Response.json([called.status, await called.text()])
  },
}`

let origin: TlsOrigin
let folder: Awaited<ReturnType<typeof temporaryFolder>>
before(async () => {
  origin = await startTlsOrigin()
  folder = await temporaryFolder()
  await writeFile(join(folder.path, 'ca.pem'), origin.authority.cert)
})
after(async () => {
  await origin[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

/** Makes files of a pair; gives their paths, and the pair. */
async function filesOf(name: string, pair: Pem): Promise<{ args: string[]; pair: Pem }> {
  const [cert, key] = [join(folder.path, `${name}.pem`), join(folder.path, `${name}.key`)]
  await writeFile(cert, pair.cert)
  await writeFile(key, pair.key)
  return { args: ['--cert', cert, '--key', key], pair }
}

const flags = async () => ({
  flags: ['--egress-allow', '127.0.0.1', '--egress-ca', join(folder.path, 'ca.pem')],
})

withNewestAndOldest(
  'mTLS certificates',
  (wrangler) => {
    let place: Place
    before(() => {
      place = placeOf(wrangler.server)
    })

    /** What the API has of certificates of a name. */
    async function listed(name: string) {
      return certificates.parse(await call(place, 'GET', `~/mtls_certificates?name=${name}`))
    }

    function idOf(output: string): string {
      return /ID: ([0-9a-f-]{36})/.exec(output)?.[1] ?? assert.fail(output)
    }

    /** As wrangler does it, but faster. */
    async function uploaded(name: string, { cert: pem, key }: Pem, by = place): Promise<string> {
      const body = { name, certificates: pem, private_key: key, ca: false }
      return made.parse(await call(by, 'POST', '~/mtls_certificates', body)).id
    }

    async function bind(project: string, id: string): Promise<void> {
      const mtls_certificates = [{ binding: 'CERT', certificate_id: id }]
      await wrangler.project(project, { mtls_certificates }, { 'index.js': worker })
      await wrangler.ok(['deploy'], { cwd: project })
    }

    async function answered(project: string, more = ''): Promise<unknown> {
      const path = `/?url=${encodeURIComponent(origin.url)}${more}`
      return JSON.parse(await wrangler.visit(project, path))
    }

    test('mtls-certificate upload, list and delete', async () => {
      const pair = await origin.authority.issue(['listed.test'])
      const { args } = await filesOf('listed', pair)
      const output = await wrangler.ok(['mtls-certificate', 'upload', ...args, '--name', 'listed'])
      assert.match(output, /Success! Uploaded mTLS Certificate listed/)
      assert.match(output, /Issuer: CN=Bindery test authority/)
      assert.match(output, /Expires on \d/)
      const id = idOf(output)
      const list = await wrangler.ok(['mtls-certificate', 'list'])
      assert.match(list, new RegExp(`ID: ${id}\\s+Name: listed\\s+Issuer: CN=`))
      await wrangler.fails(['mtls-certificate', 'delete', '--name', 'other'], /not found with name/)
      await wrangler.ok(['mtls-certificate', 'delete', '--name', 'listed'])
      assert.deepEqual(await listed('listed'), [])
    })

    wrangler.testAlike(
      'cert upload mtls-certificate and certificate-authority, list and delete',
      async () => {
        const { args } = await filesOf('client', await origin.authority.issue(['client.test']))
        await wrangler.ok(['cert', 'upload', 'mtls-certificate', ...args, '--name', 'client'])
        const ca = ['--ca-cert', join(folder.path, 'ca.pem'), '--name', 'authority']
        const said = await wrangler.ok(['cert', 'upload', 'certificate-authority', ...ca])
        assert.match(said, /Success! Uploaded CA Certificate authority/)
        const all = await wrangler.ok(['cert', 'list'])
        assert.match(all, /Name: client/)
        assert.match(all, /Name: authority[\s\S]*?CA: true/)
        await wrangler.ok(['cert', 'delete', '--name', 'authority'])
        assert.deepEqual(await listed('authority'), [])
      },
    )

    wrangler.testAlike('what can not be uploaded is refused in words', async () => {
      const [one, two] = [await origin.authority.issue(['a']), await origin.authority.issue(['b'])]
      const { args } = await filesOf('bad', { ...one, key: two.key })
      const upload = ['mtls-certificate', 'upload', ...args]
      await wrangler.fails(upload, /belongs to none.*1407/s)
    })

    test('a Worker says who it is; renewed, it says so with the new certificate', async () => {
      const first = await uploaded('first', await origin.authority.issue(['first.test']))
      await bind('caller', first)
      assert.deepEqual(await answered('caller'), [200, 'hello first.test'])
      const plain = z.tuple([z.number(), z.string()]).parse(await answered('caller', '&plain'))
      assert.equal(plain[0], 525)
      assert.match(plain[1], /certificate required/)
      const second = await uploaded('second', await origin.authority.issue(['second.test']))
      await bind('caller', second)
      assert.deepEqual(await answered('caller'), [200, 'hello second.test'])
      await wrangler.server.restart()
      place = placeOf(wrangler.server)
      assert.deepEqual(await answered('caller'), [200, 'hello second.test'])

      await wrangler.fails(
        ['mtls-certificate', 'delete', '--id', second],
        /used by the Workers caller\..*1416/s,
      )
      // The version before is there to go back to, and holds nothing.
      await wrangler.ok(['mtls-certificate', 'delete', '--id', first])
      await wrangler.fails(
        ['rollback', '--message', 'back', '--name', 'caller'],
        /"CERT" names the mTLS certificate .* does not exist.*1418/s,
      )
      assert.deepEqual(await answered('caller'), [200, 'hello second.test'])
    })

    wrangler.testAlike(
      'an unknown certificate, or one of another account, is refused before anything changes',
      async () => {
        const other = await otherAccount(wrangler.server, 'other')
        const theirs = await uploaded('theirs', await origin.authority.issue(['t.test']), other)
        await deploy(place, 'kept', {
          code: `export default { fetch: () => new Response('kept') }`,
        })
        const mtls_certificates = [{ binding: 'CERT', certificate_id: theirs }]
        await wrangler.project('kept', { mtls_certificates }, { 'index.js': worker })
        await wrangler.fails(['deploy'], /does not exist.*1418/s, { cwd: 'kept' })
        for (const id of ['5b3e9dd2-5fc5-4b10-a3e2-0aeb9c8d7b11', 'nonsense']) {
          const bindings = [{ type: 'mtls_certificate', name: 'CERT', certificate_id: id }]
          const upload = formOf({ code: worker, bindings })
          const { errors } = await ask(place, 'PUT', '~/workers/scripts/kept', upload)
          assert.equal(errors[0]?.code, 1418)
        }
        assert.equal(await wrangler.visit('kept'), 'kept')
        assert.equal((await ask(place, 'GET', `~/mtls_certificates/${theirs}`)).status, 404)
      },
    )

    wrangler.testAlike('the SDK, and nothing of a key in the data directory', async () => {
      const pair = await origin.authority.issue(['sdk.test'])
      const client = new Cloudflare({
        baseURL: wrangler.server.apiUrl,
        apiToken: place.token,
      })
      const at = { account_id: place.account }
      const created = await client.mtlsCertificates.create({
        ...at,
        ca: false,
        certificates: pair.cert,
        private_key: pair.key,
        name: 'sdk',
      })
      const id = created.id ?? assert.fail()
      assert.deepEqual([created.name, created.ca, created.type], ['sdk', false, 'custom'])
      const all = await Array.fromAsync(client.mtlsCertificates.list(at))
      assert.ok(all.some((each) => each.id === id))
      assert.deepEqual(
        await Array.fromAsync(client.mtlsCertificates.list({ ...at, type: ['gateway_managed'] })),
        [],
      )
      const bindings = [{ type: 'mtls_certificate', name: 'CERT', certificate_id: id }]
      await call(place, 'PUT', '~/workers/scripts/by-sdk', formOf({ code: worker, bindings }))
      await call(place, 'POST', '~/workers/scripts/by-sdk/subdomain', { enabled: true })
      assert.deepEqual(await answered('by-sdk'), [200, 'hello sdk.test'])
      const used = await Array.fromAsync(client.mtlsCertificates.associations.get(id, at))
      assert.deepEqual(used, [{ service: 'workers/by-sdk', status: 'active' }])
      await assert.rejects(client.mtlsCertificates.delete(id, at), { status: 409 })
      await call(place, 'DELETE', '~/workers/scripts/by-sdk')
      assert.equal((await client.mtlsCertificates.delete(id, at)).id, id)

      const line = pair.key.split('\n')[1] ?? assert.fail()
      const { dataDirectory, log } = wrangler.server
      for (const name of await readdir(dataDirectory, { recursive: true })) {
        const bytes = await readFile(join(dataDirectory, name)).catch(() => Buffer.alloc(0))
        assert.ok(!bytes.includes(line) && !bytes.includes(Buffer.from(line, 'base64')), name)
      }
      assert.ok(!log.includes(line) && !log.includes('PRIVATE KEY'))
    })
  },
  flags,
)
