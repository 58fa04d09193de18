import type { Ports } from '#contract/ports.ts'
import { type BucketStore, openBuckets } from './bucket-store.ts'
import { ContentStore } from './content-store.ts'
import { Courier } from './courier.ts'
import { AccessKeys } from './key-store.ts'
import { NoticesStore } from './notices-store.ts'
import { ObjectStore } from './object-store.ts'
import { UploadStore } from './upload-store.ts'

/** All that keeps state, each with those that it needs. Does not own the ports. */
export interface Parts extends AsyncDisposable, Pick<Ports, 'clock' | 'random' | 'log'> {
  readonly buckets: BucketStore
  readonly objects: ObjectStore
  readonly uploads: UploadStore
  readonly content: ContentStore
  readonly courier: Courier
  readonly keys: AccessKeys
}

export async function openParts(ports: Ports): Promise<Parts> {
  const buckets = await openBuckets(ports)
  const content = new ContentStore(ports)
  const courier = new Courier({ ...ports, notices: new NoticesStore(ports) })
  const objects = new ObjectStore({ ports, content, onNotice: () => courier.look() })
  const uploads = new UploadStore({ ports, content, objects })
  const { clock, random, log } = ports
  return {
    buckets,
    objects,
    uploads,
    content,
    courier,
    keys: new AccessKeys(ports),
    clock,
    random,
    log,
    async [Symbol.asyncDispose]() {
      await courier[Symbol.asyncDispose]()
      await content[Symbol.asyncDispose]()
    },
  }
}
