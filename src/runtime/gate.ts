/** Lets so many through at once; the rest wait in line. */
export class Gate {
  #free: number
  readonly #line: (() => void)[] = []

  constructor(width: number) {
    this.#free = width
  }

  async pass<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1
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
