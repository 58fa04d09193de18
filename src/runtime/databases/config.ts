import { type Capnp, renderCapnp } from '#runtime/capnp.ts'

/** The configuration of a database cell: an engine, its objects, and nothing else. */
export function writeEngineConfig(engine: {
  readonly source: string
  /** The `uniqueKey` of its namespace. */
  readonly product: string
  readonly diskPath: string
  readonly socketPath: string
  /** How large a file may grow. */
  readonly fileBytes: number
}): string {
  const { source, product, diskPath, socketPath, fileBytes } = engine
  const config: Capnp = {
    services: [
      {
        name: 'engine',
        worker: {
          compatibilityDate: '2026-11-01',
          // `SqlStorage.ingest`, for files.
          compatibilityFlags: ['experimental'],
          modules: [{ name: 'engine.js', esModule: source }],
          durableObjectNamespaces: [{ className: 'Database', uniqueKey: product, enableSql: true }],
          durableObjectStorage: { localDisk: 'disk' },
          bindings: [
            { name: 'DATABASES', durableObjectNamespace: { className: 'Database' } },
            { name: 'FILE_BYTES', json: JSON.stringify(fileBytes) },
          ],
        },
      },
      { name: 'disk', disk: { path: diskPath, writable: true } },
      // Without one of this name workerd adds its own, which reaches the network.
      { name: 'internet', network: { allow: [] } },
    ],
    sockets: [{ name: 'engine', address: `unix:${socketPath}`, service: 'engine', http: {} }],
  }
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = ${renderCapnp(config)};
`
}
