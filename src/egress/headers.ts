// What is said about one connection only (RFC 9110, section 7.6.1), and what we say ourselves.
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** The headers that are passed on, names and values in turn as in `rawHeaders`. */
export function endToEnd(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (!hopByHop.has(name.toLowerCase())) kept.push(name, headers[index + 1] ?? '')
  }
  return kept
}
