import { z } from 'zod'
import { bindingName, type Entry } from '#contract/binding.ts'
import { certificatesLength, nameLength, privateKeyLength } from './limits.ts'

export const certificateId = z.uuid().brand<'CertificateId'>()
export type CertificateId = z.output<typeof certificateId>

/** An entry of upload metadata. What it names is looked up by `admit`. */
export const mtlsEntry = z.object({
  type: z.literal('mtls_certificate'),
  name: bindingName,
  certificate_id: z.string().min(1).max(100),
})

/** What is uploaded. An empty name is none; others need not be unique. */
export const uploadBody = z.object({
  name: z
    .string()
    .max(nameLength)
    .nullish()
    .transform((name) => name || undefined),
  certificates: z.string().max(certificatesLength),
  private_key: z
    .string()
    .max(privateKeyLength)
    .nullish()
    .transform((text) => text || undefined),
  ca: z.boolean().default(false),
})

/** Which of them a list is for. Of other types than uploaded ones there are none. */
export const listQuery = z.object({
  ca: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional(),
  name: z.string().optional(),
  type: z
    .string()
    .default('custom')
    .transform((text) => text.split(',')),
})

/** Whether an entry of a version names a certificate. */
export function isEntryOf(id: CertificateId): (entry: Entry) => boolean {
  return (entry) => {
    const parsed = mtlsEntry.safeParse(entry)
    return parsed.success && parsed.data.certificate_id === id
  }
}
