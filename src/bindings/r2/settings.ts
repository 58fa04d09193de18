import { z } from 'zod'
import { ruleLimit } from './limits.ts'

// What a bucket is told beside its objects, in the words of the REST API.

const storageClass = z.enum(['Standard', 'InfrequentAccess'])
const ruleId = z.string().max(255)
const prefix = z.string().max(1024)
const date = z.iso.datetime({ offset: true }).or(z.iso.date())
const age = z.object({ type: z.literal('Age'), maxAge: z.number().int().nonnegative() })
const ageOrDate = z.discriminatedUnion('type', [age, z.object({ type: z.literal('Date'), date })])

export const corsRule = z.object({
  id: ruleId.optional(),
  allowed: z.object({
    origins: z.array(z.string().max(1024)).min(1).max(100),
    methods: z.array(z.enum(['GET', 'PUT', 'POST', 'DELETE', 'HEAD'])).min(1),
    headers: z.array(z.string().max(255)).max(100).optional(),
  }),
  exposeHeaders: z.array(z.string().max(255)).max(100).optional(),
  maxAgeSeconds: z.number().int().min(0).max(86_400).optional(),
})
export type CorsRule = z.output<typeof corsRule>

export const lifecycleRule = z.object({
  id: ruleId.min(1),
  enabled: z.boolean(),
  conditions: z.object({ prefix: prefix.optional() }).optional(),
  deleteObjectsTransition: z.object({ condition: ageOrDate }).optional(),
  storageClassTransitions: z
    .array(z.object({ condition: ageOrDate, storageClass }))
    .max(10)
    .optional(),
  abortMultipartUploadsTransition: z.object({ condition: age }).optional(),
})
export type LifecycleRule = z.output<typeof lifecycleRule>

export const lockRule = z.object({
  id: ruleId.min(1),
  enabled: z.boolean(),
  prefix: prefix.optional(),
  condition: z.discriminatedUnion('type', [
    z.object({ type: z.literal('Age'), maxAgeSeconds: z.number().int().positive() }),
    z.object({ type: z.literal('Date'), date }),
    z.object({ type: z.literal('Indefinite') }),
  ]),
})
export type LockRule = z.output<typeof lockRule>

export const action = z.enum([
  'PutObject',
  'CopyObject',
  'CompleteMultipartUpload',
  'DeleteObject',
  'LifecycleDeletion',
])

export const notificationRule = z.object({
  ruleId: z.string(),
  createdAt: z.string(),
  actions: z.array(action).min(1),
  prefix: prefix.optional(),
  suffix: prefix.optional(),
  description: z.string().max(1024).optional(),
})
export type NotificationRule = z.output<typeof notificationRule>

export const customDomain = z.object({
  domain: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/i),
  enabled: z.boolean(),
  zoneId: z.string().max(64).optional(),
  minTLS: z.enum(['1.0', '1.1', '1.2', '1.3']).optional(),
  ciphers: z.array(z.string().max(255)).max(100).optional(),
})
export type CustomDomain = z.output<typeof customDomain>

export const bucketSettings = z.object({
  storageClass,
  location: z.string().optional(),
  /** The label of its public address, whether or not that answers: unguessable, and never reused. */
  publicId: z.string(),
  isPublic: z.boolean(),
  cors: z.array(corsRule).max(ruleLimit),
  lifecycle: z.array(lifecycleRule).max(ruleLimit),
  locks: z.array(lockRule).max(ruleLimit),
  notifications: z.record(z.string(), z.array(notificationRule)),
  domains: z.array(customDomain),
})
export type BucketSettings = z.output<typeof bucketSettings>
