/**
 * A value of Cap'n Proto's text format. Objects are structs (fields that are `undefined` are left
 * out), bytes are `Data`, `symbol` makes what is written without quotes: enums and `void`.
 */
export type Capnp =
  | string
  | number
  | boolean
  | Uint8Array
  | CapnpSymbol
  | readonly Capnp[]
  | { readonly [field: string]: Capnp | undefined }

/** An enumerant, or `void`. */
export class CapnpSymbol {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

export const capnpVoid = new CapnpSymbol('void')

/** Writes a value. Strings may hold any character: nothing in them can end their quotes. */
export function renderCapnp(value: Capnp): string {
  const pieces: string[] = []
  write(value, pieces)
  return pieces.join('')
}

function write(value: Capnp, pieces: string[]): void {
  if (typeof value === 'string') pieces.push(quoted(value))
  else if (typeof value === 'number' || typeof value === 'boolean') pieces.push(String(value))
  else if (value instanceof CapnpSymbol) pieces.push(value.name)
  else if (value instanceof Uint8Array) pieces.push('0x"', Buffer.from(value).toString('hex'), '"')
  else if (isList(value)) writeList(value, pieces)
  else writeStruct(value, pieces)
}

function writeList(list: readonly Capnp[], pieces: string[]): void {
  pieces.push('[')
  for (const [index, item] of list.entries()) {
    if (index > 0) pieces.push(', ')
    write(item, pieces)
  }
  pieces.push(']')
}

function writeStruct(
  struct: { readonly [field: string]: Capnp | undefined },
  pieces: string[],
): void {
  pieces.push('(')
  let isFirst = true
  for (const [field, value] of Object.entries(struct)) {
    if (value === undefined) continue
    pieces.push(isFirst ? '' : ', ', field, ' = ')
    write(value, pieces)
    isFirst = false
  }
  pieces.push(')')
}

/** Whether a value is a list. */
export function isList(value: Capnp): value is readonly Capnp[] {
  return Array.isArray(value)
}

// Control characters, quotes and backslashes are escaped; all else is UTF-8 as it is. A lone
// surrogate has no UTF-8: it becomes U+FFFD, as everywhere on the way to a Worker.
const special = /[\\"]|\p{Cc}/gu

function quoted(text: string): string {
  const escaped = text.toWellFormed().replaceAll(special, (char) => {
    return [...new TextEncoder().encode(char)]
      .map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
      .join('')
  })
  return `"${escaped}"`
}
