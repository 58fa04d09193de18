import type { Action, Bucket, StorageClass } from './records.ts'
import type { LifecycleRule, LockRule } from './settings.ts'

// What the rules of a bucket say of an object. Pure.

type Named = { readonly key: string; readonly uploadedAt: number }

/** Whether a lock forbids to replace or delete an object now. */
export function isLocked(locks: readonly LockRule[], object: Named, now: number): boolean {
  return locks.some(
    (lock) =>
      lock.enabled && object.key.startsWith(lock.prefix ?? '') && holdsLock(lock, object, now),
  )
}

function holdsLock({ condition }: LockRule, { uploadedAt }: Named, now: number): boolean {
  switch (condition.type) {
    case 'Indefinite':
      return true
    case 'Age':
      return now < uploadedAt + condition.maxAgeSeconds * 1000
    case 'Date':
      return now < Date.parse(condition.date)
  }
}

/** Whether some rule may lock an object of this key at all. */
export function mayBeLocked(locks: readonly LockRule[], key: string): boolean {
  return locks.some(({ enabled, prefix = '' }) => enabled && key.startsWith(prefix))
}

type Condition = NonNullable<LifecycleRule['deleteObjectsTransition']>['condition']

function isDue(condition: Condition, since: number, now: number): boolean {
  if (condition.type === 'Date') return now >= Date.parse(condition.date)
  return now >= since + condition.maxAge * 1000
}

/** What lifecycle rules want of an object now: to delete goes before to change its class. */
export function lifecycleOf(
  rules: readonly LifecycleRule[],
  object: Named & { readonly storageClass: StorageClass },
  now: number,
): 'delete' | StorageClass | undefined {
  const own = rules.filter(
    ({ enabled, conditions }) => enabled && object.key.startsWith(conditions?.prefix ?? ''),
  )
  const isOver = own.some(
    ({ deleteObjectsTransition: end }) => end && isDue(end.condition, object.uploadedAt, now),
  )
  if (isOver) return 'delete'
  const transition = own
    .flatMap(({ storageClassTransitions = [] }) => storageClassTransitions)
    .find(
      (each) =>
        each.storageClass !== object.storageClass && isDue(each.condition, object.uploadedAt, now),
    )
  return transition?.storageClass
}

/** Whether an upload has been open for longer than rules let it. */
export function isStale(
  rules: readonly LifecycleRule[],
  upload: { readonly key: string; readonly createdAt: number },
  now: number,
): boolean {
  return rules.some(
    ({ enabled, conditions, abortMultipartUploadsTransition: abort }) =>
      enabled &&
      abort !== undefined &&
      upload.key.startsWith(conditions?.prefix ?? '') &&
      isDue(abort.condition, upload.createdAt, now),
  )
}

/** The queues that are to be told of what happened to an object. */
export function queuesToTell(
  { notifications }: Bucket['settings'],
  action: Action,
  key: string,
): readonly string[] {
  return Object.entries(notifications)
    .filter(([, rules]) =>
      rules.some(
        ({ actions, prefix = '', suffix = '' }) =>
          actions.includes(action) && key.startsWith(prefix) && key.endsWith(suffix),
      ),
    )
    .map(([queue]) => queue)
}
