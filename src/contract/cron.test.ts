import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { CronError, matchesCron, minuteMs, nextTime, parseCron } from './cron.ts'

/** A Tuesday. */
const from = Date.parse('2026-11-24T03:17:30Z')

/** The next minutes of an expression. */
function next(text: string, count = 3): readonly string[] {
  const cron = parseCron(text)
  const times: string[] = []
  let at = from
  while (times.length < count) {
    at = nextTime(cron, at) ?? assert.fail('there is no next time')
    assert.ok(matchesCron(cron, at) && matchesCron(cron, at + minuteMs - 1))
    times.push(new Date(at).toISOString().slice(0, 16))
  }
  return times
}

suite('a cron expression', () => {
  const expressions: Readonly<Record<string, readonly string[]>> = {
    '* * * * *': ['2026-11-24T03:18', '2026-11-24T03:19', '2026-11-24T03:20'],
    '*/25 * * * *': ['2026-11-24T03:25', '2026-11-24T03:50', '2026-11-24T04:00'],
    '5/25 * * * *': ['2026-11-24T03:30', '2026-11-24T03:55', '2026-11-24T04:05'],
    '10-12,59 3 * * *': ['2026-11-24T03:59', '2026-11-25T03:10', '2026-11-25T03:11'],
    '0 17 * * SUN': ['2026-11-29T17:00', '2026-12-06T17:00', '2026-12-13T17:00'],
    '10 7 * * MON-FRI': ['2026-11-24T07:10', '2026-11-25T07:10', '2026-11-26T07:10'],
    // Sunday to Thursday: 1 is Sunday.
    '0 0 * * 1-5': ['2026-11-25T00:00', '2026-11-26T00:00', '2026-11-29T00:00'],
    '0 15 1 * *': ['2026-12-01T15:00', '2027-01-01T15:00', '2027-02-01T15:00'],
    '0 0 29 2 *': ['2028-02-29T00:00', '2032-02-29T00:00', '2036-02-29T00:00'],
    '0 0 1 jan,JUL *': ['2027-01-01T00:00', '2027-07-01T00:00', '2028-01-01T00:00'],
    '0 18 * * 6L': ['2026-11-27T18:00', '2026-12-25T18:00', '2027-01-29T18:00'],
    '0 18 * * FRIL': ['2026-11-27T18:00', '2026-12-25T18:00', '2027-01-29T18:00'],
    '59 23 LW * *': ['2026-11-30T23:59', '2026-12-31T23:59', '2027-01-29T23:59'],
    '0 0 L * *': ['2026-11-30T00:00', '2026-12-31T00:00', '2027-01-31T00:00'],
    '0 0 L-3 * *': ['2026-11-27T00:00', '2026-12-28T00:00', '2027-01-28T00:00'],
    // The 15th of May 2027 is a Saturday, the 1st a Saturday as well.
    '0 0 15W 5 *': ['2027-05-14T00:00', '2028-05-15T00:00', '2029-05-15T00:00'],
    '0 0 1W 5 *': ['2027-05-03T00:00', '2028-05-01T00:00', '2029-05-01T00:00'],
    '0 0 * * 2#1': ['2026-12-07T00:00', '2027-01-04T00:00', '2027-02-01T00:00'],
    '0 0 * * MON#5': ['2026-11-30T00:00', '2027-03-29T00:00', '2027-05-31T00:00'],
    // Either day will do.
    '0 0 13 * FRI': ['2026-11-27T00:00', '2026-12-04T00:00', '2026-12-11T00:00'],
    '  0 0\t1 1 *  ': ['2027-01-01T00:00', '2028-01-01T00:00', '2029-01-01T00:00'],
  }
  for (const [text, times] of Object.entries(expressions)) {
    test(`"${text}"`, () => assert.deepEqual(next(text), times))
  }

  const refused: Readonly<Record<string, RegExp>> = {
    '': /five fields/,
    '* * * *': /five fields/,
    '* * * * * *': /five fields/,
    '@daily': /five fields/,
    '60 * * * *': /"60" is no minute \(0-59\)/,
    '* 24 * * *': /"24" is no hour/,
    '* * 0 * *': /"0" is no day of month/,
    '* * 32 * *': /"32" is no day of month/,
    '* * * 13 *': /"13" is no month/,
    '* * * * 0': /"0" is no day of week \(1-7\)/,
    '* * * * 8': /"8" is no day of week/,
    '* * * * SAT-SUN': /"SAT-SUN" is no day of week/,
    '* * * * FUNDAY': /"FUNDAY" is no day of week/,
    '* * * * 2#6': /is no day of week/,
    '* * ? * *': /"\?" is no day of month|"" is no day of month/,
    '*,5 * * * *': /"\*,5" is no minute/,
    '*/0 * * * *': /is no minute/,
    '*/60 * * * *': /is no minute/,
    '5-1 * * * *': /"5-1" is no minute/,
    '1,,2 * * * *': /is no minute/,
    '-1 * * * *': /is no minute/,
    '1e1 * * * *': /is no minute/,
    '* * L-31 * *': /is no day of month/,
    '* * LL * *': /is no day of month/,
    '* * 1,L * *': /is no day of month/,
    '0 0 30 2 *': /no such day/,
    '0 0 31 4,6,9,11 *': /no such day/,
    [`${'0,'.repeat(200)}0 * * * *`]: /too long/,
  }
  for (const [text, reason] of Object.entries(refused)) {
    test(`not "${text.slice(0, 30)}"`, () => {
      assert.throws(
        () => parseCron(text),
        (error) => error instanceof CronError && reason.test(error.message),
      )
    })
  }
})
