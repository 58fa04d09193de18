// Dictionaries of RFC 8941 (Structured Field Values for HTTP), as far as their strings go.

/**
 * The members of a dictionary that are strings, by key. `undefined` if it is not well formed: then
 * nothing of it counts. Of a key that comes twice, the last one does.
 */
export function readDictionary(text: string): ReadonlyMap<string, string> | undefined {
  const strings = new Map<string, string>()
  let rest = text.replace(/^ +/, '').replace(/ +$/, '')
  while (rest !== '') {
    const member = memberPattern.exec(rest)
    const [all = '', key = '', quoted] = member ?? []
    if (!member || key === '') return undefined
    strings.delete(key)
    if (quoted !== undefined) strings.set(key, quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1'))
    rest = rest.slice(all.length)
    if (rest === '') break
    const comma = /^[ \t]*,[ \t]*/.exec(rest)
    // A comma at the end announces a member that is not there.
    if (!comma || comma[0].length === rest.length) return undefined
    rest = rest.slice(comma[0].length)
  }
  return strings
}

const key = String.raw`[a-z*][a-z0-9_.*-]*`
const string = String.raw`"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"`
const bareItem = [
  string,
  String.raw`-?\d{1,12}\.\d{1,3}`,
  String.raw`-?\d{1,15}`,
  String.raw`[A-Za-z*][A-Za-z0-9!#$%&'*+.^_|~:/\x60-]*`,
  String.raw`:[A-Za-z0-9+/=]*:`,
  String.raw`\?[01]`,
].join('|')
const parameters = `(?:; *${key}(?:=(?:${bareItem}))?)*`
const item = `(?:${bareItem})${parameters}`
const innerList = String.raw`\( *(?:${item}(?: +${item})*)? *\)${parameters}`

/** One member: its key, and its value if that is a string. */
const memberPattern = new RegExp(
  `^(${key})(?:=(?:(${string})${parameters}|${item}|${innerList})|${parameters})`,
)
