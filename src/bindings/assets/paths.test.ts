import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { blobKey } from '#contract/ids.ts'
import type { HtmlHandling, NotFoundHandling } from './config.ts'
import { decodePath, encodePath, type Find, resolve, targetOf } from './paths.ts'

/** Files by path; those with the same word have the same content. */
function finding(files: Readonly<Record<string, string>>): Find {
  return (path) => {
    const hash = Object.hasOwn(files, path) ? files[path] : undefined
    const blob = blobKey.parse('0'.repeat(32))
    return hash === undefined ? undefined : { hash, blob, size: 1, contentType: undefined }
  }
}

function answer(
  files: Readonly<Record<string, string>>,
  path: string,
  [htmlHandling, notFoundHandling]: readonly [HtmlHandling, NotFoundHandling],
): string {
  const intent = resolve(finding(files), path, { htmlHandling, notFoundHandling })
  if (!intent) return 'none'
  if ('redirect' in intent) return `> ${intent.redirect}`
  return `${intent.entry.hash}${intent.status === 404 ? ' 404' : ''}`
}

suite('html_handling', () => {
  const files = {
    '/index.html': 'root',
    '/file.html': 'file',
    '/folder/index.html': 'folder',
    '/bin': 'bin',
    '/both.html': 'both.html',
    '/both/index.html': 'both/',
    '/same.html': 'same',
    '/same/index.html': 'same',
    '/taken.html': 'taken.html',
    '/taken': 'taken',
    '/deep/index': 'deep/index',
    '/deep/index.html': 'deep/index.html',
  }
  for (const [path, auto, force, drop, none] of [
    ['/', 'root', 'root', 'root', 'none'],
    ['/index.html', '> /', '> /', '> /', 'root'],
    ['/index', '> /', '> /', '> /', 'none'],
    ['/file', 'file', '> /file/', 'file', 'none'],
    ['/file.html', '> /file', '> /file/', '> /file', 'file'],
    ['/file/', '> /file', 'file', '> /file', 'none'],
    ['/file/index', '> /file', '> /file/', '> /file', 'none'],
    ['/file/index.html', '> /file', '> /file/', '> /file', 'none'],
    ['/folder', '> /folder/', '> /folder/', 'folder', 'none'],
    ['/folder.html', '> /folder/', '> /folder/', '> /folder', 'none'],
    ['/folder/', 'folder', 'folder', '> /folder', 'none'],
    ['/folder/index', '> /folder/', '> /folder/', '> /folder', 'none'],
    ['/folder/index.html', '> /folder/', '> /folder/', '> /folder', 'folder'],
    ['/bin', 'bin', 'bin', 'bin', 'bin'],
    ['/bin/', 'none', 'none', 'none', 'none'],
    ['/both', 'both.html', '> /both/', 'both.html', 'none'],
    ['/both/', 'both/', 'both/', '> /both', 'none'],
    ['/both.html', '> /both', 'both.html', '> /both', 'both.html'],
    ['/both/index.html', '> /both/', '> /both/', 'both/', 'both/'],
    ['/same', 'same', '> /same/', 'same', 'none'],
    ['/same/', 'same', 'same', '> /same', 'none'],
    ['/taken', 'taken', 'taken', 'taken', 'taken'],
    ['/taken.html', 'taken.html', '> /taken/', 'taken.html', 'taken.html'],
    ['/deep/index', 'deep/index', 'deep/index', 'deep/index', 'deep/index'],
    ['/deep/', 'deep/index.html', 'deep/index.html', '> /deep', 'none'],
    ['/nothing', 'none', 'none', 'none', 'none'],
  ] as const) {
    test(path, () => {
      assert.equal(answer(files, path, ['auto-trailing-slash', 'none']), auto, 'auto')
      assert.equal(answer(files, path, ['force-trailing-slash', 'none']), force, 'force')
      assert.equal(answer(files, path, ['drop-trailing-slash', 'none']), drop, 'drop')
      assert.equal(answer(files, path, ['none', 'none']), none, 'none')
    })
  }
})

suite('not_found_handling', () => {
  const files = {
    '/index.html': 'root',
    '/404.html': 'none of all',
    '/a/404.html': 'none of a',
    '/a/b/c.txt': 'c',
  }
  for (const [path, handling, expected] of [
    ['/x', 'none', 'none'],
    ['/x', 'single-page-application', 'root'],
    ['/x/y/z', 'single-page-application', 'root'],
    ['/a/b/c.txt', 'single-page-application', 'c'],
    ['/x', '404-page', 'none of all 404'],
    ['/a', '404-page', 'none of all 404'],
    ['/a/', '404-page', 'none of a 404'],
    ['/a/b/d', '404-page', 'none of a 404'],
    ['/a/b/c.txt', '404-page', 'c'],
    ['/404.html', '404-page', '> /404'],
    ['/404', '404-page', 'none of all'],
  ] as const) {
    test(`${path} ${handling}`, () => {
      assert.equal(answer(files, path, ['auto-trailing-slash', handling]), expected)
    })
  }

  test('without an index or a page there is nothing', () => {
    for (const handling of ['single-page-application', '404-page'] as const) {
      assert.equal(answer({}, '/x', ['auto-trailing-slash', handling]), 'none')
    }
  })
})

suite('paths that somebody hopes lead out', () => {
  const files = { '/secret': 'secret', '/a/b': 'b', '/index.html': 'root' }
  for (const [url, path] of [
    ['/../secret', '/secret'],
    ['/a/../../secret', '/secret'],
    ['/%2e%2e/secret', '/secret'],
    ['/a/%2E%2E/%2e%2e/secret', '/secret'],
    ['/..%2fsecret', '/../secret'],
    ['/a%2fb', '/a/b'],
    ['/a%2F..%2Fsecret', '/a/../secret'],
    ['/..%5csecret', '/..\\secret'],
    ['/..\\secret', '/secret'],
    ['\\..\\secret', '/secret'],
    ['/%00', '/\0'],
    ['/a\0b', '/a\0b'],
    ['//a//b', '/a/b'],
    ['/%2f%2fa', '/a'],
    ['/%', '/%'],
    ['/%zz', '/%zz'],
    ['/%c3%28', '/%c3%28'],
    ['/%c0%ae%c0%ae/secret', '/%c0%ae%c0%ae/secret'],
    ['/%252e%252e/secret', '/%2e%2e/secret'],
    ['/a\tb', '/ab'],
    ['/a b', '/a b'],
    ['/\u00c3\u00a4', '/ä'],
    ['/%C3%A4', '/ä'],
    ['/a#b', '/a'],
    ['/a;b', '/a;b'],
    ['', '/'],
    ['*', '/*'],
    ['http://other/x', '/http:/other/x'],
    ['//evil.test/x', '/evil.test/x'],
    ['/@evil.test', '/@evil.test'],
    ['/:80/', '/:80/'],
  ] as const) {
    test(JSON.stringify(url), () => {
      const decoded = decodePath(targetOf(url).pathname)
      assert.equal(decoded, path)
      assert.equal(decodePath(encodePath(decoded)), decoded)
      // A path is looked up in a table. It is no file's until the table says so.
      const shown = answer(files, decoded, ['none', 'none'])
      assert.equal(shown, Object.hasOwn(files, path) ? Reflect.get(files, path) : 'none')
    })
  }

  test('the short way through the URL is the long way', () => {
    const chars = fc.constantFrom(...Array.from('/.%2e a-_~?&=#\'"[]|^`{}\\:@;+ä'))
    const piece = fc.oneof(chars, fc.constantFrom('..', '%2e', '%2E', '%41', '//'))
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const url = `/${pieces.join('')}`
        const { pathname, search } = targetOf(url)
        const whole = new URL(`http://host${url.replaceAll('ä', '%E4')}`)
        assert.deepEqual([pathname, search], [whole.pathname, whole.search], url)
      }),
      { numRuns: 5000 },
    )
  })

  test('nothing throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (url) => {
        const { pathname } = targetOf(url)
        assert.match(pathname, /^\/[!-~]*$/)
        assert.match(encodePath(decodePath(pathname)), /^\/(?!\/)[!-~]*$/)
      }),
      { numRuns: 5000 },
    )
  })
})
