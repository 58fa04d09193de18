import { DurableObject } from 'cloudflare:workers'

const kept = 100
const longestName = 32
const longestText = 500
/** Codes that say why there was no Close frame; none may be sent in one (RFC 6455, 7.4.1). */
const reserved = [1004, 1005, 1006, 1015]

/**
 * A room: its messages are in SQLite, and who is here is in what is attached to the WebSockets. So
 * it can be put out of memory while everybody is silent, and nobody notices (that is hibernation).
 *
 * A visitor sends `{ name, after? }` first and `{ text }` from then on. The room sends `welcome`
 * (who is here, and the messages after `after`), `message`, `joined`, `left` and `refused`.
 */
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env)
    ctx.storage.sql.exec(`CREATE TABLE IF NOT EXISTS messages (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      at INTEGER NOT NULL,
      name TEXT NOT NULL,
      text TEXT NOT NULL
    )`)
    // Answered by the runtime, without waking the room.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'))
  }

  fetch(request) {
    if (request.headers.get('upgrade') !== 'websocket') {
      return new Response('This is for WebSockets.\n', { status: 426 })
    }
    const [client, server] = Object.values(new WebSocketPair())
    this.ctx.acceptWebSocket(server)
    server.serializeAttachment({ address: request.headers.get('cf-connecting-ip') })
    return new Response(null, { status: 101, webSocket: client })
  }

  async webSocketMessage(socket, data) {
    const visitor = socket.deserializeAttachment()
    const message = parse(data)
    if (message === undefined) return refuse(socket, 'That is no message.')
    if (visitor.name === undefined) return this.#join(socket, visitor, message)
    const text = textOf(message.text, longestText)
    if (text === undefined) return refuse(socket, `A message has 1 to ${longestText} characters.`)
    const missingMs = await this.env.LIMITERS.getByName(visitor.address).take()
    if (missingMs > 0) {
      return refuse(socket, `Not so fast: wait ${Math.ceil(missingMs / 1_000)} s.`)
    }
    this.#broadcast({ type: 'message', ...this.#keep(visitor.name, text) })
  }

  webSocketClose(socket, code, reason) {
    socket.close(reserved.includes(code) ? 1000 : code, reason)
    this.#leave(socket)
  }

  webSocketError(socket) {
    this.#leave(socket)
  }

  #join(socket, visitor, { name: wanted, after }) {
    const name = textOf(wanted, longestName)
    if (name === undefined) return refuse(socket, `A name has 1 to ${longestName} characters.`)
    socket.serializeAttachment({ ...visitor, name })
    this.#broadcast({ type: 'joined', name }, socket)
    const messages = this.ctx.storage.sql
      .exec('SELECT * FROM messages WHERE id > ? ORDER BY id', Number(after) || 0)
      .toArray()
    send(socket, { type: 'welcome', name, here: this.#here(), messages })
  }

  #leave(socket) {
    const { name } = socket.deserializeAttachment()
    if (name !== undefined) this.#broadcast({ type: 'left', name }, socket)
  }

  #here() {
    const names = this.ctx.getWebSockets().map((socket) => socket.deserializeAttachment().name)
    return names.filter((name) => name !== undefined)
  }

  /** Stores a message and lets the oldest go; both or neither, as there is no `await` between. */
  #keep(name, text) {
    const { sql } = this.ctx.storage
    const message = sql
      .exec(
        'INSERT INTO messages (at, name, text) VALUES (?, ?, ?) RETURNING *',
        Date.now(),
        name,
        text,
      )
      .one()
    sql.exec('DELETE FROM messages WHERE id <= ?', message.id - kept)
    return message
  }

  /** To everybody who has said a name. What it says is on disk before it leaves (the output gate). */
  #broadcast(message, except) {
    for (const socket of this.ctx.getWebSockets()) {
      if (socket === except || socket.deserializeAttachment().name === undefined) continue
      send(socket, message)
    }
  }
}

function parse(data) {
  try {
    const message = JSON.parse(data)
    return typeof message === 'object' && message !== null ? message : undefined
  } catch {
    return undefined
  }
}

/** A text without the space around it, if there is any and it is not too long. */
function textOf(value, longest) {
  const text = typeof value === 'string' ? value.trim() : ''
  return text !== '' && text.length <= longest ? text : undefined
}

function refuse(socket, text) {
  send(socket, { type: 'refused', text })
}

function send(socket, message) {
  try {
    socket.send(JSON.stringify(message))
  } catch {
    // It is closing: webSocketClose follows.
  }
}
