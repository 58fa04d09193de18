import type { Range } from './range.ts'
import type { StoredObject } from './records.ts'

export type Shown = {
  /** Whether HTTP metadata is shown; it is by default, as custom metadata. */
  readonly http?: boolean
  readonly custom?: boolean
  readonly range?: Range | undefined
}

/** The numbers of checksums on the wire. */
const numbers = { md5: '0', sha1: '1', sha256: '2', sha384: '3', sha512: '4' } as const

/** An object as workerd's client reads it (r2.md §2.1): what there is not is left out. */
export function nativeJson(object: StoredObject, shown: Shown = {}): object {
  const { http, custom, checksums, keyMd5 } = object
  const { http: hasHttp = true, custom: hasCustom = true, range } = shown
  return {
    name: object.key,
    version: object.version,
    size: object.size,
    etag: object.etag,
    uploaded: object.uploadedAt,
    storageClass: object.storageClass,
    checksums: Object.fromEntries(
      Object.entries(numbers).flatMap(([name, number]) => {
        const sum = Object.entries(checksums).find(([each]) => each === name)?.[1]
        return sum === undefined ? [] : [[number, sum]]
      }),
    ),
    ...(hasHttp && { httpFields: http }),
    ...(hasCustom && { customFields: custom.map(([k, v]) => ({ k, v })) }),
    ...(range && { range }),
    ...(keyMd5 !== undefined && { ssec: { algorithm: 'AES256', keyMd5 } }),
  }
}
