import { z } from 'zod'
import { bindingName, jsonValue } from '#contract/binding.ts'
import { workerName } from '#contract/ids.ts'

/**
 * `services: [{ binding, service, entrypoint?, props? }]`. `environment` names a legacy service
 * environment, which is the Worker `service-environment` unless the name says so already.
 */
export const serviceEntry = z.object({
  type: z.literal('service'),
  name: bindingName,
  service: workerName,
  environment: z.string().min(1).max(63).exactOptional(),
  entrypoint: z.string().min(1).max(255).exactOptional(),
  props: z.record(z.string(), jsonValue).exactOptional(),
  cross_account_grant: z.string().exactOptional(),
})
export type ServiceEntry = z.output<typeof serviceEntry>
