import { WorkerEntrypoint } from 'cloudflare:workers'

// Stands between a Worker that another one has loaded and whoever watches it: workerd does not say in
// its events what it was loaded as. Both sides are the same account's.

type Props = { readonly name: string; readonly target: Target }
type Target = { tail(events: readonly object[]): Promise<void> }
type Exports = { Tail(options: { readonly props: Props }): unknown }

export default class extends WorkerEntrypoint {
  /** What to name as a watcher of a Worker, so that `target` gets its events with its name. */
  named(name: string, target: Target): unknown {
    const exports = this.ctx.exports as unknown as Exports
    return exports.Tail({ props: { name, target } })
  }
}

export class Tail extends WorkerEntrypoint<unknown, Props> {
  override async tail(events: readonly { readonly entrypoint?: string }[]): Promise<void> {
    const { name, target } = this.ctx.props
    const told = events
      // What the loader itself called is nobody's business.
      .filter(({ entrypoint }) => !entrypoint?.startsWith('__bindery_'))
      .map((event) => ({ ...plain(event), ...(name !== '' && { scriptName: name }) }))
    if (told.length > 0) await target.tail(told)
  }
}

/** workerd's own objects do not travel. */
function plain(event: object): object {
  return JSON.parse(JSON.stringify(event)) as object
}
