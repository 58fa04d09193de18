import type { Ports } from '#contract/ports.ts'
import type { Log } from '#contract/ports/log.ts'
import { type BucketStore, openBuckets } from './bucket-store.ts'
import { ContentStore } from './content-store.ts'
import { NoticesStore } from './notices-store.ts'
import { ObjectStore } from './object-store.ts'
import { UploadStore } from './upload-store.ts'

/** All that keeps state, each with those that it needs. Does not own the ports. */
export interface Parts extends AsyncDisposable {
  readonly buckets: BucketStore
  readonly objects: ObjectStore
  readonly uploads: UploadStore
  readonly content: ContentStore
  readonly notices: NoticesStore
  readonly log: Log
}

export async function openParts(
  ports: Ports,
  onNotice: () => void = () => undefined,
): Promise<Parts> {
  const buckets = await openBuckets(ports)
  const content = new ContentStore(ports)
  const objects = new ObjectStore({ ports, content, onNotice })
  const uploads = new UploadStore({ ports, content, objects })
  const notices = new NoticesStore(ports)
  return {
    buckets,
    objects,
    uploads,
    content,
    notices,
    log: ports.log,
    [Symbol.asyncDispose]: () => content[Symbol.asyncDispose](),
  }
}
