// A path as rules are held against it, whoever made it and whatever it is disguised as. Otherwise a
// visitor could walk around a rule to what it guards: a Worker sees `/x/../admin` as `/admin`.
// developers.cloudflare.com/rules/normalization/how-it-works

/** A path and query without dot segments, doubled slashes and letters that need no escape. */
export function canonicalUrl(url: string): string {
  if (!isOdd.test(url)) return url
  const [whole = ''] = url.split('#', 1)
  const query = whole.indexOf('?')
  const path = unescaped(query < 0 ? whole : whole.slice(0, query))
  // Dot segments first: to the URL that a Worker sees, the one in `/a//../b` goes with the empty
  // segment and not with `a`.
  const { pathname } = new URL(`http://host${path}`)
  return withoutEmpty(pathname) + (query < 0 ? '' : whole.slice(query))
}

const isOdd = /[\\%#]|\/[./]|[^!-~]/

/** The same of a path, or of the beginning of one, but for dot segments. */
export function plainPath(path: string): string {
  return withoutEmpty(unescaped(path))
}

function unescaped(path: string): string {
  return path.replaceAll(/%[0-9a-f]{2}/gi, plainOf).replaceAll('\\', '/')
}

function withoutEmpty(path: string): string {
  return path.replaceAll(/\/{2,}/g, '/')
}

/** The character behind an escape, if it needs none; the escape in capitals if it does. */
function plainOf(escape: string): string {
  const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
  return /[A-Za-z0-9._~-]/.test(char) ? char : escape.toUpperCase()
}
