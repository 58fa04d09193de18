import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { type Answer, type Served, serveInProcess } from '#test/contract/server.ts'
import { missing } from '#test/contract/shape.ts'
import { type Exchange, Ids, requestOf, served, unserved } from '#test/contract/traffic.ts'

/** Where our answers knowingly differ from the recorded ones: in which calls, in what, and why. */
const differences: readonly {
  readonly call: RegExp
  readonly path: string
  readonly reason: string
}[] = [
  {
    call: /^PUT .*\/workers\/scripts\/[^/]+$/,
    path: 'result.mutable_pipeline_id',
    reason: 'there are no pipelines of deployments here, and nobody reads it',
  },
  {
    call: /^PATCH .*\/secrets-bulk$/,
    path: 'result',
    reason: 'the names of what was set are told, as the documentation has it',
  },
  {
    call: /^PUT .*\/storage\/kv\/namespaces\/[^/]+\/values\//,
    path: 'result',
    reason: 'the documentation has {} where the recorded answer had null',
  },
  {
    call: /^GET .*\/w2\/references$/,
    path: 'result.services.incoming',
    reason: 'recorded with a reference that was made up: w1 is deleted by then',
  },
  {
    call: /^GET .*\/w2\/references$/,
    path: 'result.durable_objects',
    reason: 'Durable Objects are not here yet',
  },
  {
    call: /^GET .*\/w2\/references$/,
    path: 'result.dispatch_outbounds',
    reason: 'dispatch namespaces are not here yet',
  },
  {
    call: /^GET .*\/workers\/scripts$/,
    path: 'result_info',
    reason: 'the list is one page, and clients take it as that: control-api.md §2.3',
  },
  {
    call: /^POST .*\/workers\/workers\/sdkw\/versions$/,
    path: 'result.metadata',
    reason: 'the newer API shows a version flat: the SDK says so, and the recorded one was not',
  },
  {
    call: /^POST .*\/workers\/workers\/sdkw\/versions$/,
    path: 'result.resources',
    reason: 'as above',
  },
  {
    call: /^POST .*\/scripts\/(sdkw|sdk6w)\/versions$/,
    path: 'result.resources.script.handlers',
    reason: 'what was uploaded there has none: the recorded list was made up',
  },
]

suite('the traffic of real clients', () => {
  let server: Served
  let ids: Ids
  const used = new Set<string>()
  before(async () => {
    server = await serveInProcess()
    // The recorded server had a zone from the beginning.
    const zone = { name: 'example.test', account: { id: server.account } }
    assert.equal((await server.call('POST', '/zones', { json: zone })).status, 200)
    ids = new Ids(server.account)
  })
  after(() => server[Symbol.asyncDispose]())

  for (const label of new Set(served.map((each) => each.label))) {
    test(`${label} is answered as recorded`, async () => {
      for (const recorded of served.filter((each) => each.label === label)) await replay(recorded)
    })
  }

  test('every known difference was met', () => {
    const all = differences.map(({ call, path }) => `${call.source} ${path}`)
    assert.deepEqual([...used].toSorted(), all.toSorted())
  })

  test('what was deployed last runs', async () => {
    assert.deepEqual(await server.visit('sdkw'), { status: 200, body: 'x' })
    assert.deepEqual(await server.visit('w3'), { status: 200, body: '["AUTOKV"]' })
    assert.equal((await server.visit('w1')).status, 404)
  })

  test('products that are not here answer 404 with code 7003', async () => {
    for (const recorded of unserved) {
      const { method, path, ...sent } = requestOf(recorded, ids)
      const { status, codes, envelope, text } = await server.call(method, path, sent)
      assert.deepEqual([status, codes, envelope?.success], [404, [7003], false], `${path} ${text}`)
      assert.equal(envelope?.result, null)
    }
  })

  async function replay(recorded: Exchange): Promise<void> {
    const { method, path, ...sent } = requestOf(recorded, ids)
    const answer = await server.call(method, path, sent)
    const call = `${method} ${path}`
    const what = `${call}: ${answer.text.slice(0, 2_000)}`
    assert.equal(answer.status, recorded.status, what)
    assert.deepEqual(unexpected(recorded, answer, call), [], what)
  }

  function unexpected(recorded: Exchange, answer: Answer, call: string): readonly string[] {
    if (!recorded.answer) return rawMismatch(recorded, answer)
    if (!answer.envelope) return ['there is no envelope']
    const { errors, success, result, result_info: info } = recorded.answer
    const { envelope, codes } = answer
    assert.equal(envelope.success, success)
    assert.deepEqual(
      codes,
      errors.map(({ code }) => code),
    )
    const found = [
      ...missing(result, envelope.result, 'result'),
      ...(info === undefined ? [] : missing(info, envelope.result_info, 'result_info')),
    ]
    const wrong = found.filter((each) => !isKnown(each, call))
    return [...wrong, ...ids.learn(result, envelope.result)]
  }

  function isKnown(found: string, call: string): boolean {
    const known = differences.find(
      (each) => each.call.test(call) && found.startsWith(`${each.path} `),
    )
    if (known) used.add(`${known.call.source} ${known.path}`)
    return known !== undefined
  }
})

/** A value, or code: told without an envelope. Code is in a form, whose length is nobody's. */
function rawMismatch({ path, raw }: Exchange, { envelope, bytes }: Answer): readonly string[] {
  if (envelope) return ['there is an envelope']
  const isRight = path.includes('/content') ? bytes.length > 0 : bytes.length === raw
  return isRight ? [] : [`${bytes.length} bytes, not ${raw}`]
}
