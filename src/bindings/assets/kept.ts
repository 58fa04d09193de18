// Bounded memory. What was not asked for while as much else came in goes: there are two generations,
// a value that is asked for is of the younger, and when that is half of what there may be, the older
// one is dropped. So a hit in the younger costs a look-up and writes nothing.

/** Values by key, within a total weight. */
export class Kept<Value> {
  readonly #half: number
  readonly #weigh: (value: Value) => number
  #young = new Map<string, Value>()
  #old = new Map<string, Value>()
  #weight = 0

  constructor(limit: number, weigh: (value: Value) => number = () => 1) {
    this.#half = limit / 2
    this.#weigh = weigh
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set(key: string, value: Value): void {
    this.delete(key)
    const weight = this.#weigh(value)
    if (weight > this.#half) return
    if (this.#weight + weight > this.#half) {
      this.#old = this.#young
      this.#young = new Map()
      this.#weight = 0
    }
    this.#young.set(key, value)
    this.#weight += weight
  }

  delete(key: string): void {
    const young = this.#young.get(key)
    if (young !== undefined) this.#weight -= this.#weigh(young)
    this.#young.delete(key)
    this.#old.delete(key)
  }
}

/** The values of one owner among many. */
export type Shelf<Value> = {
  young: Map<string, Value>
  old: Map<string, Value>
}

/** Values by owner and key, all within one total weight. */
export class Shelves<Value> {
  readonly #half: number
  readonly #weigh: (value: Value) => number
  #young = new Set<Shelf<Value>>()
  #old = new Set<Shelf<Value>>()
  #weight = 0

  constructor(limit: number, weigh: (value: Value) => number = () => 1) {
    this.#half = limit / 2
    this.#weigh = weigh
  }

  find(shelf: Shelf<Value>, key: string): Value | undefined {
    const young = shelf.young.get(key)
    if (young !== undefined) return young
    const old = shelf.old.get(key)
    if (old !== undefined) this.keep(shelf, key, old)
    return old
  }

  keep(shelf: Shelf<Value>, key: string, value: Value): void {
    const weight = this.#weigh(value)
    if (weight > this.#half) return
    if (this.#weight + weight > this.#half) this.#turn()
    shelf.old.delete(key)
    shelf.young.set(key, value)
    this.#young.add(shelf)
    this.#weight += weight
  }

  #turn(): void {
    for (const shelf of this.#old) shelf.old = new Map()
    for (const shelf of this.#young) {
      shelf.old = shelf.young
      shelf.young = new Map()
    }
    this.#old = this.#young
    this.#young = new Set()
    this.#weight = 0
  }
}
