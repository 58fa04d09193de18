import { z } from 'zod'
import { jsonValue } from '#contract/binding.ts'
import type { Json, JsonObject } from '#contract/json.ts'

// The part of GraphQL (spec.graphql.org, October 2021, §2) in which clients ask for numbers: one query,
// fields with arguments, variables. No fragments, directives, mutations and block strings.

/** A field that is asked for, with variables in their places. */
export type Field = {
  readonly name: string
  /** What it is called in the answer. */
  readonly alias: string
  readonly args: JsonObject
  readonly fields: readonly Field[]
}

/** What a client is told is wrong with its query. */
export class QueryError extends Error {}

export const queryBody = z.object({
  query: z.string().max(64 * 1024),
  variables: z.record(z.string(), jsonValue).nullish(),
})

const deepest = 20
const tokenPattern =
  /[\s,\ufeff]+|#[^\n\r]*|("(?:[^"\\\n\r]|\\.)*"|\.\.\.|[A-Za-z_]\w*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}()[\]:$!=@|&])/y

/** Reads a query. Throws a `QueryError`. */
export function parseQuery(text: string, variables: JsonObject): readonly Field[] {
  const reader = new Reader(tokensOf(text), variables)
  const fields = reader.operation()
  if (!reader.isOver) throw new QueryError('only one query can be asked at a time')
  return fields
}

function tokensOf(text: string): readonly string[] {
  const tokens: string[] = []
  tokenPattern.lastIndex = 0
  while (tokenPattern.lastIndex < text.length) {
    const at = tokenPattern.lastIndex
    const match = tokenPattern.exec(text)
    if (!match) throw new QueryError(`unexpected character at ${at}`)
    if (match[1] !== undefined) tokens.push(match[1])
  }
  return tokens
}

class Reader {
  readonly #tokens: readonly string[]
  readonly #variables: JsonObject
  #at = 0

  constructor(tokens: readonly string[], variables: JsonObject) {
    this.#tokens = tokens
    this.#variables = variables
  }

  get isOver(): boolean {
    return this.#at >= this.#tokens.length
  }

  operation(): readonly Field[] {
    if (this.#peek() !== '{') {
      if (this.#next() !== 'query') throw new QueryError('only queries are answered')
      if (isName(this.#peek())) this.#next()
      if (this.#peek() === '(') this.#skipDefinitions()
    }
    return this.#selection(1)
  }

  /** Types of variables: what comes is looked at where it is used. */
  #skipDefinitions(): void {
    let depth = 0
    do {
      const token = this.#next()
      if (token === '(') depth++
      else if (token === ')') depth--
    } while (depth > 0)
  }

  #selection(depth: number): readonly Field[] {
    if (depth > deepest) throw new QueryError('nested too deeply')
    this.#expect('{')
    const fields: Field[] = []
    while (this.#peek() !== '}') fields.push(this.#field(depth))
    this.#next()
    return fields
  }

  #field(depth: number): Field {
    const alias = this.#name()
    const isAliased = this.#peek() === ':'
    if (isAliased) this.#next()
    const name = isAliased ? this.#name() : alias
    const args = this.#peek() === '(' ? this.#members(['(', ')'], depth) : {}
    const fields = this.#peek() === '{' ? this.#selection(depth + 1) : []
    return { name, alias, args, fields }
  }

  #members([open, close]: readonly [string, string], depth: number): JsonObject {
    this.#expect(open)
    const members: [string, Json][] = []
    while (this.#peek() !== close) {
      const name = this.#name()
      this.#expect(':')
      members.push([name, this.#value(depth + 1)])
    }
    this.#next()
    return Object.fromEntries(members)
  }

  #value(depth: number): Json {
    if (depth > deepest) throw new QueryError('nested too deeply')
    const token = this.#peek()
    if (token === '{') return this.#members(['{', '}'], depth)
    this.#next()
    if (token === '$') return this.#variables[this.#name()] ?? null
    if (token === '[') {
      const items: Json[] = []
      while (this.#peek() !== ']') items.push(this.#value(depth + 1))
      this.#next()
      return items
    }
    if (token === 'true' || token === 'false') return token === 'true'
    if (token === 'null') return null
    // The name of an enumeration stands for itself.
    return isName(token) ? token : literal(token)
  }

  #name(): string {
    const token = this.#next()
    if (!isName(token)) throw new QueryError(`a name is expected, not "${token}"`)
    return token
  }

  #expect(wanted: string): void {
    const token = this.#next()
    if (token !== wanted) throw new QueryError(`"${wanted}" is expected, not "${token}"`)
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? ''
  }

  #next(): string {
    const token = this.#tokens[this.#at++]
    if (token === undefined) throw new QueryError('it ends too early')
    return token
  }
}

function isName(token: string): boolean {
  return /^[A-Za-z_]/.test(token)
}

/** A number, or a text. */
function literal(token: string): Json {
  try {
    const value: Json = JSON.parse(token)
    return value
  } catch {
    throw new QueryError(`a value is expected, not "${token}"`)
  }
}
