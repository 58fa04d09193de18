// Runs inside every isolate, before user code. The proxy that is the only way out of a cell speaks
// CONNECT, and workerd says nothing of TLS in a CONNECT; so the proxy does the TLS, and what is asked
// of it stands before the name (`egress/target.ts` reads it). It holds no authority: what user code
// does to it, or says in its place, opens nothing that is not open.
const { defineProperties, getPrototypeOf } = Object
const { apply, defineProperty, get, getOwnPropertyDescriptor } = Reflect

type Connect = (address: string | SocketAddress, options?: SocketOptions) => Socket

/** Takes the place of workerd's `connect`, which `cloudflare:sockets` and `node:net` both call. */
export function secureSockets(sockets: { connect: Connect }): void {
  sockets.connect = withTls(sockets.connect.bind(sockets))
}

/** The same for the `connect` of ways out that are bindings, which all that can be fetched from share. */
export function secureFetcher(fetcher: unknown): void {
  if (typeof fetcher !== 'object' || fetcher === null) return
  const prototype: object = getPrototypeOf(fetcher) ?? {}
  const connect: unknown = getOwnPropertyDescriptor(prototype, 'connect')?.value
  if (typeof connect !== 'function') return
  const value = function (this: unknown, ...args: Parameters<Connect>): Socket {
    return withTls((...plain) => apply(connect, this, plain))(...args)
  }
  defineProperty(prototype, 'connect', { value, writable: true, configurable: true })
}

function withTls(connect: Connect): Connect {
  return (address, options) => {
    const mode = options?.secureTransport
    const place = placeOf(address)
    if (place === undefined || (mode !== 'on' && mode !== 'starttls')) {
      return connect(address, options)
    }
    const { port } = place
    // Only an address in two parts is not read as a URL, in which an IPv6 address ends our words.
    const plain = (hostname: string): Socket =>
      connect({ hostname, port }, { allowHalfOpen: false, ...options, secureTransport: 'off' })
    if (mode === 'on') return told(plain(`_tls.${place.hostname}`), place, mode)
    const id = crypto.randomUUID().replaceAll('-', '').slice(0, 16)
    return withStartTls(plain(`_start.${id}.${place.hostname}`), { id, place, plain })
  }
}

/** A socket that says of itself what the one that was asked for would. */
function told(socket: Socket, place: SocketAddress, secureTransport: 'on' | 'starttls'): Socket {
  const remoteAddress = `${place.hostname}:${place.port}`
  const opened = socket.opened.then((info) => ({ ...info, remoteAddress }))
  opened.catch(() => {})
  return defineProperties(socket, {
    opened: { value: opened, configurable: true },
    secureTransport: { value: secureTransport, configurable: true },
  })
}

function withStartTls(
  socket: Socket,
  from: {
    readonly id: string
    readonly place: SocketAddress
    readonly plain: (hostname: string) => Socket
  },
): Socket {
  const { id, place, plain } = from
  let isUpgraded = false
  const startTls = (options?: TlsOptions): Socket => {
    if (isUpgraded) throw new TypeError('startTls can only be called once.')
    const reader = socket.readable.getReader()
    isUpgraded = true
    const name = options?.expectedServerHostname ?? place.hostname
    const secured = plain(`_upgrade.${id}.${name}`)
    defineProperties(socket, { upgraded: { value: true, configurable: true } })
    void finish(socket, reader)
    return told(secured, place, 'on')
  }
  defineProperties(socket, { startTls: { value: startTls, configurable: true } })
  return told(socket, place, 'starttls')
}

/** The proxy ends its half when it takes the connection over: what was written is sent, and ours ends. */
async function finish(socket: Socket, reader: ReadableStreamDefaultReader): Promise<void> {
  try {
    while (!(await reader.read()).done);
    await socket.writable.close()
  } catch {
    // It is closed already: workerd closes both halves unless it is told not to.
  }
}

/** An address in its two parts, or `undefined` for what workerd is to refuse in its own words. */
function placeOf(address: unknown): SocketAddress | undefined {
  if (typeof address === 'object' && address !== null) {
    return placeOf(`${get(address, 'hostname')}:${get(address, 'port')}`)
  }
  const match = /^([a-z0-9._-]+|\[[0-9a-f:.]+\]):(\d{1,5})$/i.exec(String(address))
  const [, hostname, port] = match ?? []
  return hostname === undefined ? undefined : { hostname, port: Number(port) }
}
