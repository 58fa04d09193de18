import type { HtmlHandling, NotFoundHandling } from './config.ts'
import type { AssetEntry } from './entry.ts'

/** What a request asks for, as the URL parser of browsers and of Workers sees it. */
export type Target = { readonly pathname: string; readonly search: string }

/** Reads path and query as they were sent. Bytes beyond ASCII are taken for UTF-8. */
export function targetOf(url: string): Target {
  if (isPlain.test(url)) {
    const mark = url.indexOf('?')
    if (mark < 0) return { pathname: url, search: '' }
    return { pathname: url.slice(0, mark), search: mark === url.length - 1 ? '' : url.slice(mark) }
  }
  const sent = url.startsWith('/') ? url : `/${url}`
  const ascii = sent.replaceAll(/[^\0-\x7f]/g, escaped)
  return URL.parse(`http://host${ascii}`) ?? { pathname: '/', search: '' }
}

/** Path and query that the parser leaves as they are: no dot segments, nothing to escape. */
const isPlain =
  /^(?=\/)(?:\/(?!\.|%2e)[\w~!$&'()*+,;=:@|[\]%-][\w.~!$&'()*+,;=:@|[\]%-]*)*\/?(?:\?[\w./~!$&()*+,;=:@|?%-]*)?$/i

function escaped(char: string): string {
  const code = char.charCodeAt(0)
  return code < 256
    ? `%${code.toString(16).toUpperCase()}`
    : encodeURIComponent(char.toWellFormed())
}

/** The path as files are named: each segment decoded if it can be, one slash at a time. */
export function decodePath(pathname: string): string {
  const decoded = pathname.includes('%')
    ? pathname.split('/').map(decodeSegment).join('/')
    : pathname
  return decoded.includes('//') ? decoded.replaceAll(/\/+/g, '/') : decoded
}

/** The one way to write a path. What was decoded from a URL is well-formed. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

export type Find = (path: string) => AssetEntry | undefined

/** What there is at a path: a file, or another path that has it. */
export type Intent =
  | { readonly entry: AssetEntry; readonly status: 200 | 404 }
  | { readonly redirect: string }

export type Handling = {
  readonly htmlHandling: HtmlHandling
  readonly notFoundHandling: NotFoundHandling
}

/** Finds what answers a decoded path. */
export function resolve(find: Find, path: string, handling: Handling): Intent | undefined {
  for (const step of stepsFor(path, handling.htmlHandling)) {
    if (step.to === undefined) {
      const entry = find(step.file)
      if (entry) return { entry, status: 200 }
      continue
    }
    // Only to where the very same file is, and never to where a file of that name would be hidden.
    const hash = find(step.file)?.hash
    if (hash === undefined || find(step.to)) continue
    if (shownAt(find, step.to, handling)?.entry.hash === hash) return { redirect: step.to }
  }
  return notFound(find, path, handling.notFoundHandling)
}

type Shown = Extract<Intent, { readonly entry: unknown }>

/** What a path shows without leading on to another. */
function shownAt(find: Find, path: string, handling: Handling): Shown | undefined {
  for (const { file, to } of stepsFor(path, handling.htmlHandling)) {
    const entry = to === undefined ? find(file) : undefined
    if (entry) return { entry, status: 200 }
  }
  return notFound(find, path, handling.notFoundHandling)
}

function notFound(find: Find, path: string, handling: NotFoundHandling): Shown | undefined {
  if (handling === 'none') return undefined
  if (handling === 'single-page-application') {
    const entry = find('/index.html')
    return entry && { entry, status: 200 }
  }
  for (let end = path.lastIndexOf('/'); end >= 0; end = end && path.lastIndexOf('/', end - 1)) {
    const entry = find(`${path.slice(0, end)}/404.html`)
    if (entry) return { entry, status: 404 }
    if (end === 0) break
  }
  return undefined
}

/** Show `file`; or lead to `to`, if it shows `file`. */
type Step = { readonly file: string; readonly to?: string }

/** How a path may end, the longer before the shorter; all else is the last. */
const endings = ['/index.html', '/index', '/', '.html', ''] as const
type Ending = (typeof endings)[number]

/**
 * What is tried for a path by its ending, `$` being what is before that. `a` shows a file,
 * `a > b` leads on. What is listed for the empty ending is tried for every path, after its own.
 */
const steps: Readonly<Record<HtmlHandling, Readonly<Partial<Record<Ending, readonly string[]>>>>> =
  {
    'auto-trailing-slash': {
      '/index.html': ['$/index.html > $/', '$.html > $'],
      '/index': ['$/index', '$/index.html > $/', '$.html > $'],
      '/': ['$/index.html', '$.html > $'],
      '.html': ['$.html > $', '$/index.html > $/'],
      '': ['$', '$.html', '$/index.html > $/'],
    },
    'force-trailing-slash': {
      '/index.html': ['$/index.html > $/', '$.html > $/'],
      '/index': ['$/index', '$/index.html > $/', '$.html > $/'],
      '/': ['$/index.html', '$.html'],
      '.html': ['$.html > $/', '$.html', '$/index.html > $/'],
      '': ['$', '$.html > $/', '$/index.html > $/'],
    },
    'drop-trailing-slash': {
      '/index.html': ['$/index.html > $', '$/index.html', '$.html > $'],
      '/index': ['$/index', '$.html > $', '$/index.html > $'],
      '/': ['$.html > $', '$/index.html > $'],
      '.html': ['$.html > $', '$/index.html > $'],
      '': ['$', '$.html', '$/index.html'],
    },
    none: { '': ['$'] },
  }

type Template = { readonly file: string; readonly to?: string }

const templates = new Map(
  Object.entries(steps).map(([handling, byEnding]) => [
    handling,
    endings.map((ending) => (byEnding[ending] ?? []).map(templateOf)),
  ]),
)

function templateOf(text: string): Template {
  const [file = '', to] = text.split(' > ').map((part) => part.slice(1))
  return to === undefined ? { file } : { file, to }
}

function* stepsFor(path: string, handling: HtmlHandling): Generator<Step> {
  const byEnding = templates.get(handling) ?? []
  const index = endings.findIndex((ending) => path.endsWith(ending))
  const stem = path.slice(0, path.length - (endings[index] ?? '').length)
  if (stem === '' && path === '/' && handling === 'drop-trailing-slash') {
    yield { file: '/index.html' }
  }
  for (const template of byEnding[index] ?? []) yield at(stem, template)
  if (path === stem) return
  for (const template of byEnding.at(-1) ?? []) yield at(path, template)
}

function at(stem: string, { file, to }: Template): Step {
  // The root is never without its slash.
  return to === undefined ? { file: stem + file } : { file: stem + file, to: stem + to || '/' }
}
