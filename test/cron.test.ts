import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { z } from 'zod'
import { CronError, nextTime, parseCron } from '#contract/cron.ts'
import { numbersFrom, seed } from '#test/random.ts'
import { startRawWorkerd } from '#test/raw-workerd.ts'

// Random expressions, read by us and by the cron triggers that come with workerd.

const count = 3_000
const timesEach = 4

test(`expressions mean what they mean to workerd (seed ${seed})`, async () => {
  await using peer = await startRawWorkerd(reader, '', '/workerd/cron.js')
  const random = numbersFrom(seed)
  const texts = Array.from({ length: count }, () => expressionOf(random))
  const after = Date.UTC(2026, 0, 1) + Math.floor(random() * 10 ** 11)
  const theirs = z
    .array(z.array(z.number()).nullable())
    .parse(JSON.parse(await post(peer.socketPath, { texts, after, timesEach })))
  assert.equal(theirs.length, count)
  const refused = theirs.filter((times) => times === null).length
  assert.ok(refused > count / 20 && refused < count / 2, `${refused} are refused`)
  for (const [index, text] of texts.entries()) {
    assert.deepEqual(timesOf(text, after), theirs[index], `"${text}" after ${after}`)
  }
})

function timesOf(text: string, after: number): readonly (number | undefined)[] | null {
  try {
    const cron = parseCron(text)
    const times: (number | undefined)[] = []
    while (times.length < timesEach) times.push(nextTime(cron, times.at(-1) ?? after))
    return times
  } catch (error) {
    assert.ok(error instanceof CronError)
    return null
  }
}

const reader = `
import { parse, next } from 'bundled'
export default {
  async fetch(request) {
    const { texts, after, timesEach } = await request.json()
    return Response.json(texts.map((text) => {
      try {
        const cron = parse(text)
        const times = []
        while (times.length < timesEach) times.push(next(cron, times.at(-1) ?? after))
        return times
      } catch {
        return null
      }
    }))
  },
}`

function post(socketPath: string, body: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: 'POST', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (data: string) => (text += data))
      response.on('end', () => resolve(text)).on('error', reject)
    })
    sent.on('error', reject).end(JSON.stringify(body))
  })
}

/** Mostly valid. */
function expressionOf(random: () => number): string {
  const upTo = (most: number): number => Math.floor(random() * (most + 1))
  const oneOf = (...makes: readonly (() => string)[]): string =>
    makes[upTo(makes.length - 1)]?.() ?? ''
  const list = (least: number, most: number): string => {
    const value = (): number => least + upTo(most - least)
    return oneOf(
      () => '*',
      () => `*/${1 + upTo(most - least)}`,
      () => `${value()}`,
      () => `${value()},${value()}`,
      () => `${least}-${value()}`,
      () => `${least}-${value()}/${1 + upTo(3)}`,
      () => `${value()}/${1 + upTo(8)}`,
    )
  }
  const day = (): string =>
    oneOf(
      () => '*',
      () => list(1, 31),
      () => 'L',
      () => 'LW',
      () => `L-${upTo(31)}`,
      () => `L-${1 + upTo(29)}W`,
      () => `${upTo(32)}W`,
    )
  const weekday = (): string =>
    oneOf(
      () => '*',
      () => '*',
      () => list(1, 7),
      () => 'L',
      () => `${upTo(8)}L`,
      () => `${1 + upTo(6)}#${1 + upTo(5)}`,
      () => 'mon-FRI',
      () => 'SATL',
    )
  return [list(0, 59), list(0, 23), day(), list(1, 12), weekday()].join(' ')
}
