// Limits of R2. Unless said otherwise: developers.cloudflare.com/r2/platform/limits.

/** Bytes of a key, as UTF-8. */
export const keyLimit = 1024
/** Bytes of custom metadata, names and values. */
export const customMetadataLimit = 8192
/** Bytes of an object or a part that is uploaded at once: 5 GiB less 5 MiB. */
export const uploadLimit = 5 * 1024 ** 3 - 5 * 1024 ** 2
/** Bytes of an object: 5 TiB less 5 GiB. */
export const objectLimit = 5 * 1024 ** 4 - 5 * 1024 ** 3
/** Bytes of a part that is not the last. */
export const smallestPart = 5 * 1024 ** 2
/** Parts of an upload, and the highest number of one. */
export const partLimit = 10_000
/** Objects of one page of a list. */
export const listLimit = 1000
/** Keys of one delete. */
export const deleteKeys = 1000
/** Buckets of an account. */
export const bucketLimit = 1_000_000
/** Bytes of an object that the REST API takes: developers.cloudflare.com/r2/objects/upload-objects. */
export const restUploadLimit = 300 * 1024 * 1024
/** Rules of a kind in a bucket: developers.cloudflare.com/r2/buckets/object-lifecycles, bucket-locks. */
export const ruleLimit = 1000
/** developers.cloudflare.com/r2/buckets/event-notifications. */
export const notificationRuleLimit = 100
/** After which an upload that nobody completed is aborted: buckets/object-lifecycles. */
export const uploadAgeMs = 7 * 24 * 3_600_000
/** Days that temporary credentials may last, in seconds: api/tokens. */
export const credentialsSeconds = 7 * 24 * 3600

// Ours.

/** Bytes up to which an object is a column: then a put is one transaction and nothing else. */
export const inlineBytes = 16 * 1024
/** Bytes of a body that nobody wants, and that are read so that the caller hears why. */
export const drainBytes = uploadLimit
/** Bytes of what workerd says of a call, ahead of the bytes of the object. */
export const callBytes = 1024 * 1024
/** Bytes of a page of a list in JSON: workerd reads no more than 1 MiB. */
export const pageBytes = 900_000
/** Bytes of a JSON body of the REST API. */
export const jsonBytes = 4 * 1024 * 1024
/** How often a conditional write is tried when others write the same key meanwhile. */
export const writeAttempts = 100
/** How long an upload is remembered that has ended. */
export const endedUploadMs = uploadAgeMs
/** Access keys of an account. */
export const accessKeyLimit = 1_000
/** Bytes of an XML body: a thousand keys of 1024 bytes, escaped, and some air. */
export const xmlBytes = 8 * 1024 * 1024
/** Bytes of what a client of S3 sends after all that is read so that it hears why: it may be anybody. */
export const s3DrainBytes = 64 * 1024 * 1024
