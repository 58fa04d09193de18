import type { AccountId, ObjectId, ObjectNamespaceId } from '#contract/ids.ts'

/**
 * The `ObjectFiles` port: the stored Durable Objects, as the operator sees them from outside of the
 * processes that run them. Processes write to the same files all the while; nothing here ever waits
 * for them or makes them wait, and what must not happen beside them says so.
 *
 * An object is a database `<id>.sqlite`, a database `<id>.<n>.sqlite` for each of its facets, and
 * `<id>.facets`, which says which facet has which number. An object's alarm is part of its database.
 */
export interface ObjectFiles extends AsyncDisposable {
  /** The objects of a namespace in the order of their ids; none of a namespace that has no files. */
  list(place: ObjectPlace, page: ObjectPage): Promise<readonly StoredObject[]>

  has(place: ObjectPlace, object: ObjectId): Promise<boolean>

  sizeOf(place: ObjectPlace): Promise<{ readonly objects: number; readonly bytes: number }>

  /** Every alarm that is set in a namespace. */
  alarms(place: ObjectPlace): Promise<ReadonlyMap<ObjectId, ObjectAlarm>>

  /**
   * Takes a copy of an object, while a process may write to it: each database of it has all that was
   * committed up to some moment, and nothing of what came later. (A facet's moment may be another
   * than the object's: no transaction reaches over both.) `undefined` if there is no such object.
   * Throws `ObjectBusyError` if it is written to too fast: then once more while it is stopped.
   * Whoever asked disposes of the copy.
   */
  export(place: ObjectPlace, object: ObjectId): Promise<ObjectCopy | undefined>

  /**
   * Takes in files of objects, named as above, to put them into a namespace later: a `-wal` file
   * beside its database is taken as well, so the files of a back-up will do. Throws
   * `ObjectImportError`, with nothing kept, if any of it can't be an object of this namespace.
   */
  import(place: ObjectPlace, files: AsyncIterable<NamedFile>): Promise<StagedObjects>

  /**
   * Removes all objects and alarms of a namespace; one that is gone already is fine. No process may
   * have it open. Once it resolves they do not come back, whatever happens.
   */
  delete(place: ObjectPlace): Promise<void>

  /**
   * Comes first, before any process runs: finishes what a crash interrupted (an import that had
   * begun to replace objects, a deletion) and removes what was left half made.
   */
  sweep(): Promise<void>
}

/** A namespace of an account. */
export type ObjectPlace = {
  readonly account: AccountId
  readonly namespace: ObjectNamespaceId
}

export type ObjectPage = {
  /** Only what comes after this one. */
  readonly after?: ObjectId | undefined
  readonly limit: number
}

export type StoredObject = {
  readonly id: ObjectId
  /** Of all its files. */
  readonly sizeBytes: number
  /** Whether its database, or a facet's, has any table. */
  readonly hasStoredData: boolean
  /** Milliseconds since 1970. */
  readonly modifiedAt: number
}

export type ObjectAlarm = {
  /** When it is to run, in milliseconds since 1970. */
  readonly at: number
  /** The name that the object was made with, which it is told again when the alarm runs. */
  readonly name?: string
}

/** Files of one object at one moment. Nobody else writes to them. */
export interface ObjectCopy extends AsyncDisposable {
  /** The object's own database comes first. */
  readonly files: readonly (NamedFile & { readonly sizeBytes: number })[]
}

export type NamedFile = {
  readonly name: string
  /** The bytes. Read once. */
  readonly bytes: AsyncIterable<Uint8Array>
}

/** Objects that are ready to be put in their place. Whoever asked for them disposes of them. */
export interface StagedObjects extends AsyncDisposable {
  readonly objects: readonly ObjectId[]
  /**
   * Puts them into the namespace: each replaces the object of that id, with its facets and its
   * alarm; others stay. No process may have the namespace open. Resolves when it is on disk; after a
   * crash in the middle `sweep` finishes it. `names` are those of objects with alarms.
   */
  put(names: ReadonlyMap<ObjectId, string>): Promise<void>
}

/** An object is written to so fast that no copy of it can be taken meanwhile. */
export class ObjectBusyError extends Error {
  constructor(object: ObjectId) {
    super(`the object ${object} is written to too fast to be copied meanwhile`)
    this.name = 'ObjectBusyError'
  }
}

/** What was to be imported can't be: one sentence for whoever sent it. */
export class ObjectImportError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ObjectImportError'
  }
}
