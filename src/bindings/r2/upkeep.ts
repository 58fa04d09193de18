import { messageOf } from '#contract/errors.ts'
import type { Clock } from '#contract/ports/clock.ts'
import type { Log } from '#contract/ports/log.ts'
import type { BucketStore } from './bucket-store.ts'
import type { ContentStore } from './content-store.ts'
import { endedUploadMs } from './limits.ts'
import type { ObjectStore } from './object-store.ts'
import type { Bucket, StoredObject } from './records.ts'
import { isLocked, isStale, lifecycleOf } from './rules.ts'
import type { UploadStore } from './upload-store.ts'

export type UpkeepOptions = {
  readonly buckets: BucketStore
  readonly objects: ObjectStore
  readonly uploads: UploadStore
  readonly content: ContentStore
  readonly clock: Clock
  readonly log: Log
}

// Between looks; between steps when there is more to do.
const lookMs = 10_000
const stepMs = 20
const stepRows = 500
/** Between passes over all objects that rules are about; Cloudflare promises a day. */
const passMs = 3_600_000

/** What is done behind the scenes: blobs that were let go of, old uploads, lifecycle rules. */
export class Upkeep implements AsyncDisposable {
  readonly #options: UpkeepOptions
  #timer: Disposable
  #working: Promise<void> = Promise.resolve()
  #isClosed = false
  #nextPassAt: number
  /** Buckets that the pass under way has still to do, the next first, and how far it is in that. */
  #due: readonly Bucket[] = []
  #cursor: string | undefined

  constructor(options: UpkeepOptions) {
    this.#options = options
    this.#nextPassAt = options.clock.now()
    this.#timer = this.#workIn(stepMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer[Symbol.dispose]()
    await this.#working
  }

  #workIn(milliseconds: number): Disposable {
    return this.#options.clock.after(milliseconds, () => {
      this.#working = this.#work()
    })
  }

  async #work(): Promise<void> {
    let hasMore = false
    const { content, clock, log } = this.#options
    try {
      if (this.#due.length === 0 && clock.now() >= this.#nextPassAt) this.#beginPass()
      const before = clock.now() - endedUploadMs
      const steps = [
        await content.removeDiscarded(),
        await content.checkBlobs(),
        await this.#options.uploads.forgetEnded(before, stepRows),
        await this.#pass(),
      ]
      hasMore = steps.includes(true)
    } catch (error) {
      log.error('R2 could not tidy up', { error: messageOf(error) })
    }
    if (!this.#isClosed) this.#timer = this.#workIn(hasMore ? stepMs : lookMs)
  }

  #beginPass(): void {
    this.#nextPassAt = this.#options.clock.now() + passMs
    this.#cursor = undefined
    this.#due = [...this.#options.buckets.all].filter(({ settings }) =>
      settings.lifecycle.some(({ enabled }) => enabled),
    )
  }

  /** A page of the pass. Says whether it goes on. */
  async #pass(): Promise<boolean> {
    const [due] = this.#due
    if (!due) return false
    const bucket = this.#options.buckets.find(due.account, due.jurisdiction, due.name)
    if (bucket?.id === due.id) {
      if (this.#cursor === undefined) await this.#abortStale(bucket)
      this.#cursor = await this.#applyRules(bucket)
    } else this.#cursor = undefined
    if (this.#cursor === undefined) this.#due = this.#due.slice(1)
    return this.#due.length > 0
  }

  async #abortStale(bucket: Bucket): Promise<void> {
    const { uploads, clock } = this.#options
    let after = { key: '', id: '' }
    for (;;) {
      const page = await uploads.list(bucket, after, stepRows)
      for (const upload of page) {
        if (isStale(bucket.settings.lifecycle, upload, clock.now())) await uploads.drop(upload.id)
      }
      const last = page.at(-1)
      if (page.length < stepRows || !last) return
      after = { key: last.key, id: last.id }
    }
  }

  /** What rules want of a page of objects. Resolves with where the next begins. */
  async #applyRules(bucket: Bucket): Promise<string | undefined> {
    const { objects, clock } = this.#options
    const { lifecycle, locks } = bucket.settings
    const isAboutObjects = lifecycle.some(
      (rule) => rule.enabled && (rule.deleteObjectsTransition || rule.storageClassTransitions),
    )
    if (!isAboutObjects) return undefined
    const page = await objects.list(bucket, { limit: stepRows, cursor: this.#cursor })
    const over: StoredObject[] = []
    for (const object of page.objects) {
      const wanted = lifecycleOf(lifecycle, object, clock.now())
      if (wanted === 'delete') over.push(object)
      else if (wanted !== undefined) await objects.changeClass(bucket, object, wanted)
    }
    const free = over.filter((object) => !isLocked(locks, object, clock.now()))
    if (free.length > 0) {
      await objects.delete(
        bucket,
        free.map(({ key }) => key),
        { action: 'LifecycleDeletion', versions: free.map(({ version }) => version) },
      )
    }
    return page.cursor
  }
}
