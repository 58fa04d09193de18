// What `env` has of a secret of a store: an object with `get()`. Each call asks the back end
// (`service.ts`), so that a new value is seen by a Worker that runs.

type Inner = { readonly fetcher: Fetcher }

export default function secretsStoreSecret(inner: Inner): object {
  return new SecretsStoreSecret(inner)
}

class SecretsStoreSecret {
  readonly #fetcher: Fetcher

  constructor({ fetcher }: Inner) {
    this.#fetcher = fetcher
  }

  /** The value as of now. Rejects if there is no such secret, or this Worker may not have it. */
  async get(): Promise<string> {
    const response = await this.#fetcher.fetch('http://secrets-store/')
    // Also the backplane's own 429: the invocation has made all the calls that it may.
    if (response.status !== 200) throw new Error(response.statusText)
    // `text()` would take a byte order mark away.
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    return decoder.decode(await response.arrayBuffer())
  }
}
