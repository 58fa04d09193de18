import { z } from 'zod'
import { bindingName } from '#contract/binding.ts'
import { objectNamespaceId, workerName } from '#contract/ids.ts'

const shape = {
  type: z.literal('durable_object_namespace'),
  name: bindingName,
  class_name: z.string().min(1).max(200),
  /** Another Worker of the account; the Worker itself if absent. */
  script_name: workerName.exactOptional(),
  environment: z.string().min(1).exactOptional(),
}

/** A binding as it is uploaded. Which namespace a class has is not the client's to say. */
export const objectsEntry = z.object(shape)

/** As it is stored with a version: the class was found. */
export const storedObjectsEntry = z.object({ ...shape, namespace_id: objectNamespaceId })
