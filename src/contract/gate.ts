/** As many wait at a gate as may. */
export class GateFullError extends Error {
  constructor() {
    super('too much to do at once')
    this.name = 'GateFullError'
  }
}

/** Lets so many through at once; the rest wait in line, and are turned away if it is full. */
export class Gate {
  readonly #longestLine: number
  readonly #line: (() => void)[] = []
  #free: number

  constructor(width: number, longestLine: number) {
    this.#free = width
    this.#longestLine = longestLine
  }

  async pass<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1
    else if (this.#line.length >= this.#longestLine) throw new GateFullError()
    else await new Promise<void>((resolve) => this.#line.push(resolve))
    try {
      return await run()
    } finally {
      const next = this.#line.shift()
      if (next) next()
      else this.#free += 1
    }
  }
}

export type SharedGateOptions = {
  readonly width: number
  /** How many with the same key are let through at once. */
  readonly own: number
  readonly longestLine: number
}

/** A gate of which nobody takes more than a part: others are let through beside one in a hurry. */
export class SharedGate<Key> {
  readonly #options: SharedGateOptions
  readonly #gate: Gate
  /** Of those who are in it or wait for it. */
  readonly #own = new Map<Key, { readonly gate: Gate; users: number }>()

  constructor(options: SharedGateOptions) {
    this.#options = options
    this.#gate = new Gate(options.width, options.longestLine)
  }

  async pass<Result>(key: Key, run: () => Promise<Result>): Promise<Result> {
    const { own: width, longestLine } = this.#options
    const own = this.#own.get(key) ?? { gate: new Gate(width, longestLine), users: 0 }
    this.#own.set(key, own)
    own.users += 1
    try {
      return await own.gate.pass(() => this.#gate.pass(run))
    } finally {
      own.users -= 1
      if (own.users === 0) this.#own.delete(key)
    }
  }
}
