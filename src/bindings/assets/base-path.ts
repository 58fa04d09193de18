// `base_path`: the files are served below it, and nothing outside of it is a file.

/** Reads it: `/`, or with a slash at either end. `problem` is in upstream's words. */
export function readBasePath(
  value: string,
): { readonly path: string } | { readonly problem: string } {
  const problem = problemOf(value)
  if (problem !== undefined) return { problem }
  const segments: string[] = []
  for (const segment of value.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return { path: segments.length === 0 ? '/' : `/${segments.join('/')}/` }
}

function problemOf(value: string): string | undefined {
  if (value === '') return 'The value must not be empty.'
  if (value.startsWith('//') || /^[a-z][a-z\d+.-]*:/i.test(value)) {
    return 'The value must be a pathname, not a URL.'
  }
  if (value.includes('\\')) return 'The value must not contain backslashes.'
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x1f\x7f]/.test(value)) return 'The value must not contain control characters.'
  if (/[?#]/.test(value)) return 'The value must not contain query strings or fragments.'
  if (value.includes('%')) return 'The value must not contain percent-encoded sequences.'
  return undefined
}

/** The path of a file below the base, or `undefined` for what is outside of it. */
export function withoutBase(path: string, base: string): string | undefined {
  if (base === '/') return path
  if (path === base.slice(0, -1)) return '/'
  return path.startsWith(base) ? path.slice(base.length - 1) : undefined
}

/** Where visitors find the path of a file. The empty path is the base without its last slash. */
export function withBase(path: string, base: string): string {
  if (base === '/') return path
  return path === '/' ? base : base.slice(0, -1) + path
}
