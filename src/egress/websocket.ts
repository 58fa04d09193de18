import { Buffer } from 'node:buffer'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Dialer } from './dialer.ts'
import { failureOf, failureText } from './errors.ts'
import { endToEnd } from './headers.ts'
import { headerBytes, responseHeadMs } from './limits.ts'
import { splice } from './splice.ts'
import type { Target } from './target.ts'

/** Hands a handshake to an origin and joins the two connections if it accepts. Never throws. */
export async function forwardWebSocket(
  dialer: Dialer,
  target: Target,
  visit: { readonly request: IncomingMessage; readonly cell: Duplex; readonly head: Buffer },
): Promise<void> {
  const { request, cell, head } = visit
  try {
    const { hostname: host, port, secure } = target
    const socket = await dialer.dial({ host, port, secure, allowHalfOpen: false })
    if (cell.destroyed) return void socket.destroy()
    const answered = await shakeHands(socket, target, request)
    if (answered.origin) {
      cell.write(headOf(answered.response))
      answered.origin.unshift(answered.head)
      cell.unshift(head)
      await splice(cell, answered.origin).done
      return
    }
    // Not a WebSocket after all: pass the answer on and close, whatever it is.
    cell.write(headOf(answered.response, ['Connection: close']))
    answered.response.pipe(cell)
    answered.response.once('error', () => cell.destroy())
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    const { status } = failureOf(error)
    const text = failureText(error, target.secure && dialer.offersCertificate)
    const length = Buffer.byteLength(text)
    cell.end(
      `HTTP/1.1 ${status} Failed\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n${text}`,
    )
  }
}

type Answered = {
  readonly response: IncomingMessage
  /** The connection, if it has become a WebSocket, and what came behind its head. */
  readonly origin?: Duplex
  readonly head: Buffer
}

function shakeHands(socket: Socket, target: Target, request: IncomingMessage): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      createConnection: () => socket,
      path: target.path,
      headers: [
        'Host',
        target.host,
        ...endToEnd(request.rawHeaders),
        'Connection',
        'Upgrade',
        'Upgrade',
        'websocket',
      ],
      setDefaultHeaders: false,
      maxHeaderSize: headerBytes,
      timeout: responseHeadMs,
    })
    outgoing.once('upgrade', (response, origin, head) => resolve({ response, origin, head }))
    outgoing.once('response', (response) => resolve({ response, head: Buffer.alloc(0) }))
    outgoing.once('timeout', () => outgoing.destroy(new Error('the origin does not answer')))
    outgoing.once('error', reject)
    outgoing.end()
  })
}

/** The head of a response, as bytes for a connection that nothing else writes to. */
function headOf(answer: IncomingMessage, extra: readonly string[] = []): Buffer {
  const { statusCode, statusMessage, rawHeaders } = answer
  const kept = extra.length > 0 ? endToEnd(rawHeaders) : rawHeaders
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`, ...extra]
  for (let index = 0; index + 1 < kept.length; index += 2) {
    lines.push(`${kept[index]}: ${kept[index + 1]}`)
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}
