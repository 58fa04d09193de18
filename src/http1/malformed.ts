/** What is no HTTP/1, or not as it is wanted here: the connection ends with this status. */
export class Malformed extends Error {
  readonly status: RefusalStatus

  constructor(status: RefusalStatus, reason: string) {
    super(reason)
    this.status = status
  }
}

/** What a connection is refused with, and the words of it. */
export const refusals = {
  400: 'Bad Request',
  408: 'Request Timeout',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  505: 'HTTP Version Not Supported',
} as const

export type RefusalStatus = keyof typeof refusals
