import { newWorkersRpcResponse, RpcTarget } from 'capnweb'
import { DurableObject } from 'cloudflare:workers'

type Env = { ROOMS: DurableObjectNamespace<Room> }
type Hear = ((text: string) => void) & { dup(): Hear }

/** What a client of capnweb holds of a room, after it said a name. */
class Seat extends RpcTarget {
  #room: Room
  #name: string

  constructor(room: Room, name: string) {
    super()
    this.#room = room
    this.#name = name
  }

  say(text: string): number {
    return this.#room.say(`${this.#name}: ${text}`)
  }

  listen(hear: Hear): void {
    this.#room.listeners.add(hear.dup())
  }
}

class Door extends RpcTarget {
  #room: Room

  constructor(room: Room) {
    super()
    this.#room = room
  }

  enter(name: string): Seat {
    return new Seat(this.#room, name)
  }

  said(): string[] {
    return this.#room.said()
  }
}

/** A room whose clients speak RPC over a WebSocket that does not hibernate, or over HTTP. */
export class Room extends DurableObject<Env> {
  readonly listeners = new Set<Hear>()

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS said (text TEXT)')
  }

  say(text: string): number {
    this.ctx.storage.sql.exec('INSERT INTO said VALUES (?)', text)
    for (const hear of this.listeners) hear(text)
    return this.said().length
  }

  said(): string[] {
    const rows = this.ctx.storage.sql.exec<{ text: string }>('SELECT text FROM said').toArray()
    return rows.map(({ text }) => text)
  }

  fetch(request: Request): Promise<Response> {
    return newWorkersRpcResponse(request, new Door(this))
  }
}

export default {
  fetch: (request: Request, env: Env): Promise<Response> =>
    env.ROOMS.getByName('room').fetch(request),
}
