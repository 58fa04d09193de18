import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { combineCrc } from './crc.ts'
import { Digests } from './digests.ts'
import { Element, writeErrorXml, writeXml } from './s3-xml.ts'

suite('XML', () => {
  test('is written so that whatever a key has can be read', () => {
    const text = `&<>"'\t\n\r\u0001ü\u{1f600}`
    assert.equal(
      writeXml([
        'A',
        [
          ['B', text],
          ['C', undefined],
          ['D', false],
        ],
      ]),
      '<?xml version="1.0" encoding="UTF-8"?><A xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><B>&amp;&lt;&gt;&quot;&apos;\t\n&#xd;&#x1;ü\u{1f600}</B><D>false</D></A>',
    )
    assert.equal(
      writeErrorXml([['Code', 'X']]),
      '<?xml version="1.0" encoding="UTF-8"?><Error><Code>X</Code></Error>',
    )
  })

  test('is read whatever its namespace and its comments', () => {
    const read = Element.read(
      '<?xml version="1.0"?><s:A xmlns:s="x"><!-- no --><s:B>1</s:B><B><![CDATA[<2>]]></B></s:A>',
      'A',
    )
    assert.deepEqual(
      read.all('B').map(({ own }) => own),
      ['1', '<2>'],
    )
    assert.equal(read.text('C'), undefined)
  })

  const malformed: Readonly<Record<string, string>> = {
    nothing: '',
    'no XML': 'a',
    'another document': '<B/>',
    'an open element': '<A>',
    'an entity of its own': '<!DOCTYPE A [<!ENTITY b SYSTEM "file:///etc/passwd">]><A>&b;</A>',
    'a million elements in each other': '<A>'.repeat(1_000_000),
  }
  for (const [title, text] of Object.entries(malformed)) {
    test(`refused: ${title}`, () =>
      assert.throws(() => Element.read(text, 'A'), { code: 'MalformedXML' }))
  }
})

suite('checksums of parts', () => {
  for (const algorithm of ['crc32', 'crc32c', 'crc64nvme'] as const) {
    test(`${algorithm} of all bytes follows from those of their parts`, () => {
      const bytes = Uint8Array.from({ length: 10_000 }, (_, at) => (at * 7919) & 0xff)
      const of = (part: Uint8Array) => {
        const digests = new Digests([algorithm])
        digests.update(part)
        return { size: part.byteLength, hex: digests.results()[algorithm] ?? '' }
      }
      for (const ends of [[10_000], [0, 10_000], [1, 10_000], [4_096, 8_191, 10_000]]) {
        const parts = ends.map((end, at) => of(bytes.subarray(ends[at - 1] ?? 0, end)))
        assert.equal(combineCrc(algorithm, parts), of(bytes).hex, ends.join())
      }
    })
  }
})
