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
    else if (this.#line.length >= this.#longestLine) throw new Error('too much to do at once')
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
