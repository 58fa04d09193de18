import type { BackendReply } from '#contract/backend.ts'
import { argumentInvalid } from './errors.ts'
import { listLimit } from './limits.ts'
import {
  type BucketCall,
  jurisdiction,
  nothing,
  readXml,
  type S3Call,
  xmlReply,
} from './s3-call.ts'
import { corsMissing, lifecycleMissing, xmlMalformed } from './s3-errors.ts'
import type { Element, Xml } from './s3-xml.ts'
import { corsRule, type CorsRule, lifecycleRule, type LifecycleRule } from './settings.ts'

// Buckets and what they are told.

const dayMs = 24 * 3600 * 1000

/** `ListBuckets`, with R2's headers for pages. */
export async function listBuckets(call: S3Call): Promise<BackendReply> {
  const { head, buckets, credentials } = call
  const { account } = credentials
  const named = (name: string): string => head.param(name) ?? head.header(`cf-${name}`) ?? ''
  const prefix = named('prefix')
  const after = [named('start-after'), named('continuation-token')].toSorted().at(-1) ?? ''
  const limitText = head.param('max-buckets') ?? head.header('cf-max-keys') ?? `${listLimit}`
  const limit = Math.min(Number(limitText), listLimit)
  if (!(limit >= 1)) throw argumentInvalid('max-buckets is a number from 1 to 1000.')
  const own = buckets
    .of(account, jurisdiction)
    .filter(({ name }) => !credentials.buckets || credentials.buckets.includes(name))
    .filter(({ name }) => name.startsWith(prefix) && name > after)
  const shown = own.slice(0, limit)
  const next = own.length > limit ? shown.at(-1)?.name : undefined
  return xmlReply(
    [
      'ListAllMyBucketsResult',
      [
        [
          'Owner',
          [
            ['ID', account],
            ['DisplayName', account],
          ],
        ],
        [
          'Buckets',
          shown.map(({ name, createdAt }): Xml => [
            'Bucket',
            [
              ['Name', name],
              ['CreationDate', new Date(createdAt).toISOString()],
            ],
          ]),
        ],
        ['ContinuationToken', next],
      ],
    ],
    next === undefined ? {} : { 'cf-is-truncated': 'true', 'cf-next-continuation-token': next },
  )
}

export async function createBucket(call: S3Call, name: string): Promise<BackendReply> {
  const { buckets, credentials, head } = call
  const hasBody = Number(head.header('content-length') ?? 0) > 0
  const document = hasBody ? await readXml(call, 'CreateBucketConfiguration') : undefined
  const location = document?.text('LocationConstraint')
  if (location !== undefined && !/^[\w-]{1,32}$/.test(location)) {
    throw argumentInvalid('The location is a word of at most 32 characters.')
  }
  await buckets.create({ account: credentials.account, jurisdiction, name, location })
  return { status: 200, headers: { Location: `/${name}` } }
}

export async function headBucket(_call: BucketCall): Promise<BackendReply> {
  return { status: 200, headers: { 'x-amz-bucket-region': 'auto' } }
}

export async function deleteBucket({ bucket, buckets }: BucketCall): Promise<BackendReply> {
  await buckets.delete(bucket)
  return nothing()
}

export async function bucketLocation({ bucket }: BucketCall): Promise<BackendReply> {
  return xmlReply(['LocationConstraint', bucket.settings.location ?? 'auto'])
}

/** What is at rest is as safe as the disk: R2 says the same of its own. */
export async function bucketEncryption(_call: BucketCall): Promise<BackendReply> {
  const rule: Xml = [
    'Rule',
    [
      ['ApplyServerSideEncryptionByDefault', [['SSEAlgorithm', 'AES256']]],
      ['BucketKeyEnabled', true],
    ],
  ]
  return xmlReply(['ServerSideEncryptionConfiguration', [rule]])
}

// ---- CORS

export async function getCors({ bucket }: BucketCall): Promise<BackendReply> {
  const { cors } = bucket.settings
  if (cors.length === 0) throw corsMissing()
  return xmlReply(['CORSConfiguration', cors.map(shownCorsRule)])
}

function shownCorsRule({ id, allowed, exposeHeaders = [], maxAgeSeconds }: CorsRule): Xml {
  return [
    'CORSRule',
    [
      ['ID', id],
      ...allowed.origins.map((each): Xml => ['AllowedOrigin', each]),
      ...allowed.methods.map((each): Xml => ['AllowedMethod', each]),
      ...(allowed.headers ?? []).map((each): Xml => ['AllowedHeader', each]),
      ...exposeHeaders.map((each): Xml => ['ExposeHeader', each]),
      ['MaxAgeSeconds', maxAgeSeconds],
    ],
  ]
}

export async function putCors(call: BucketCall): Promise<BackendReply> {
  const document = await readXml(call, 'CORSConfiguration')
  const cors = document.all('CORSRule').map(readCorsRule)
  if (cors.length === 0) throw xmlMalformed()
  await call.buckets.change(call.bucket, (settings) => ({ ...settings, cors }))
  return { status: 200 }
}

function readCorsRule(rule: Element): CorsRule {
  const texts = (name: string): readonly string[] => rule.all(name).map(({ own }) => own)
  const [headers, exposed] = [texts('AllowedHeader'), texts('ExposeHeader')]
  const [id, age] = [rule.text('ID'), rule.text('MaxAgeSeconds')]
  const read = corsRule.safeParse({
    ...(id !== undefined && { id }),
    allowed: {
      origins: texts('AllowedOrigin'),
      methods: texts('AllowedMethod'),
      ...(headers.length > 0 && { headers }),
    },
    ...(exposed.length > 0 && { exposeHeaders: exposed }),
    ...(age !== undefined && { maxAgeSeconds: Number(age) }),
  })
  if (!read.success) throw xmlMalformed()
  return read.data
}

export async function deleteCors({ bucket, buckets }: BucketCall): Promise<BackendReply> {
  await buckets.change(bucket, (settings) => ({ ...settings, cors: [] }))
  return nothing()
}

// ---- lifecycle

export async function getLifecycle({ bucket }: BucketCall): Promise<BackendReply> {
  const { lifecycle } = bucket.settings
  if (lifecycle.length === 0) throw lifecycleMissing()
  return xmlReply(['LifecycleConfiguration', lifecycle.map(shownRule)])
}

function shownRule(rule: LifecycleRule): Xml {
  const { deleteObjectsTransition: end, storageClassTransitions = [] } = rule
  const abort = rule.abortMultipartUploadsTransition
  return [
    'Rule',
    [
      ['ID', rule.id],
      ['Filter', [['Prefix', rule.conditions?.prefix ?? '']]],
      ['Status', rule.enabled ? 'Enabled' : 'Disabled'],
      ['Expiration', end && [shownTime(end.condition)]],
      ...storageClassTransitions.map(({ condition }): Xml => [
        'Transition',
        [shownTime(condition), ['StorageClass', 'STANDARD_IA']],
      ]),
      [
        'AbortIncompleteMultipartUpload',
        abort && [['DaysAfterInitiation', daysOf(abort.condition.maxAge)]],
      ],
    ],
  ]
}

type Condition = NonNullable<LifecycleRule['deleteObjectsTransition']>['condition']

function shownTime(condition: Condition): Xml {
  if (condition.type === 'Date') return ['Date', new Date(condition.date).toISOString()]
  return ['Days', daysOf(condition.maxAge)]
}

/** Rules may have been made in seconds, by REST. */
function daysOf(seconds: number): number {
  return Math.ceil((seconds * 1000) / dayMs)
}

export async function putLifecycle(call: BucketCall): Promise<BackendReply> {
  const document = await readXml(call, 'LifecycleConfiguration')
  const lifecycle = document.all('Rule').map(readRule)
  if (lifecycle.length === 0) throw xmlMalformed()
  await call.buckets.change(call.bucket, (settings) => ({ ...settings, lifecycle }))
  return { status: 200 }
}

function readRule(rule: Element, index: number): LifecycleRule {
  const filter = rule.one('Filter')
  const prefix = rule.text('Prefix') ?? filter?.text('Prefix') ?? filter?.one('And')?.text('Prefix')
  const [status, expiration] = [rule.text('Status'), rule.one('Expiration')]
  const abort = rule.one('AbortIncompleteMultipartUpload')?.text('DaysAfterInitiation')
  const transitions = rule.all('Transition')
  const isKnown = status === 'Enabled' || status === 'Disabled'
  const isOther = transitions.some((each) => each.text('StorageClass') !== 'STANDARD_IA')
  if (!isKnown || isOther || filter?.one('Tag')) throw xmlMalformed()
  const read = lifecycleRule.safeParse({
    id: rule.text('ID') ?? `rule-${index + 1}`,
    enabled: status === 'Enabled',
    conditions: { prefix: prefix ?? '' },
    ...(expiration && { deleteObjectsTransition: { condition: readTime(expiration) } }),
    ...(transitions.length > 0 && {
      storageClassTransitions: transitions.map((each) => {
        return { condition: readTime(each), storageClass: 'InfrequentAccess' }
      }),
    }),
    ...(abort !== undefined && {
      abortMultipartUploadsTransition: { condition: ageOf(abort) },
    }),
  })
  if (!read.success) throw xmlMalformed()
  return read.data
}

function readTime(element: Element): object {
  const date = element.text('Date')
  if (date !== undefined) return { type: 'Date', date }
  return ageOf(element.text('Days') ?? '')
}

function ageOf(days: string): object {
  return { type: 'Age', maxAge: days === '' ? Number.NaN : (Number(days) * dayMs) / 1000 }
}

export async function deleteLifecycle({ bucket, buckets }: BucketCall): Promise<BackendReply> {
  await buckets.change(bucket, (settings) => ({ ...settings, lifecycle: [] }))
  return nothing()
}
