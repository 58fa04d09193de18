import { z } from 'zod'
import { bindingName, jsonValue } from '#contract/binding.ts'

/** A string in `vars`: `{"type":"plain_text","name":"GREETING","text":"hello"}`. */
export const plainTextEntry = z.object({
  type: z.literal('plain_text'),
  name: bindingName,
  text: z.string(),
})

/** Anything else in `vars`: a number, a boolean, a list, an object, null. */
export const jsonEntry = z.object({
  type: z.literal('json'),
  name: bindingName,
  json: jsonValue,
})
