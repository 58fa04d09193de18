import type { Binding } from '#contract/binding.ts'
import { assets } from './assets/binding.ts'
import { d1 } from './d1/binding.ts'
import { durableObjects } from './durable-objects/binding.ts'
import { json, plainText } from './environment-variables/binding.ts'
import { kvNamespace } from './kv/binding.ts'
import { mtlsCertificate } from './mtls/binding.ts'
import { queue } from './queues/binding.ts'
import { r2Bucket } from './r2/binding.ts'
import { rateLimit } from './rate-limiting/binding.ts'
import { secretsStoreSecret } from './secrets-store/binding.ts'
import { secretKey, secretText } from './secrets/binding.ts'
import { service } from './service/binding.ts'
import { versionMetadata } from './version-metadata/binding.ts'
import { workerLoader } from './worker-loader/binding.ts'

/** Every kind of binding that ships, in the order of the README's table. */
export const bindings: readonly Binding[] = [
  assets,
  d1,
  durableObjects,
  workerLoader,
  plainText,
  json,
  kvNamespace,
  mtlsCertificate,
  queue,
  r2Bucket,
  rateLimit,
  secretText,
  secretKey,
  secretsStoreSecret,
  service,
  versionMetadata,
]
