import type { Site, SiteReply, SiteRequest, SiteServer } from '#contract/assets.ts'
import type { HostAnswer } from '#contract/hosts.ts'
import { headerOf, type HttpRequest, type HttpResponse } from '#http1/exchange.ts'
import type { Visit } from './visitor.ts'

export type Asked = {
  readonly request: HttpRequest
  readonly response: HttpResponse
  readonly visit: Visit
}

/**
 * Answers a request from the files of a version; `false` if that is the Worker's to do. At once where
 * the answer is in memory.
 */
export function answerFromFiles(
  server: SiteServer,
  site: Site,
  asked: Asked,
): boolean | Promise<boolean> {
  const reply = server.route(site, siteRequest(asked))
  return reply instanceof Promise
    ? reply.then((later) => send(asked.response, later))
    : send(asked.response, reply)
}

/** Answers a request to a host that is no Worker's. */
export async function answerAtHost(answer: HostAnswer, asked: Asked): Promise<void> {
  await send(asked.response, await answer(siteRequest(asked)))
}

function siteRequest({ request, visit }: Asked): SiteRequest {
  const { hostname, protocol } = visit
  return {
    method: request.method,
    url: request.url,
    hostname,
    protocol,
    header: (name) => headerOf(request, name),
  }
}

function send(response: HttpResponse, reply: SiteReply | 'worker'): boolean | Promise<boolean> {
  if (reply === 'worker') return false
  const { status, headers, body } = reply
  if (body !== undefined && !(body instanceof Uint8Array)) {
    return sendPieces(response, { status, headers, body })
  }
  response.writeHead(status, headers)
  response.end(body)
  return true
}

type Pieces = Pick<SiteReply, 'status' | 'headers'> & { readonly body: AsyncIterable<Uint8Array> }

async function sendPieces(response: HttpResponse, reply: Pieces): Promise<boolean> {
  response.writeHead(reply.status, reply.headers)
  try {
    for await (const piece of reply.body) {
      // Whoever leaves frees the file.
      if (response.destroyed) return true
      if (!response.write(piece)) await writable(response)
    }
    response.end()
  } catch {
    // A response cut in the middle must look cut to the visitor as well.
    response.destroy()
  }
  return true
}

/** Resolves when more can be written, or nobody is there to read any more. */
function writable(response: HttpResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('close', done)
      resolve()
    }
    response.once('drain', done)
    response.once('close', done)
  })
}
