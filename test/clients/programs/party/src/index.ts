import { type Connection, type ConnectionContext, routePartykitRequest, Server } from 'partyserver'

type Env = { MyServer: DurableObjectNamespace<MyServer> }

/** A party of partyserver: hibernating, with connections that have a state and a tag. */
export class MyServer extends Server<Env> {
  static options = { hibernate: true }
  started = 0

  onStart(): void {
    this.started++
    this.ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS said (text TEXT)')
  }

  getConnectionTags(_: Connection, { request }: ConnectionContext): string[] {
    return [new URL(request.url).searchParams.get('side') ?? 'none']
  }

  onConnect(connection: Connection<{ sent: number }>): void {
    connection.setState({ sent: 0 })
    connection.send(`welcome to ${this.name}`)
    this.broadcast(`${connection.id} is here`, [connection.id])
  }

  onMessage(connection: Connection<{ sent: number }>, message: string): void {
    this.ctx.storage.sql.exec('INSERT INTO said VALUES (?)', message)
    connection.setState((state) => ({ sent: (state?.sent ?? 0) + 1 }))
    this.broadcast(`${connection.id} ${connection.state?.sent}: ${message}`)
    for (const left of this.getConnections('left')) left.send('only the left')
  }

  onClose(connection: Connection): void {
    this.broadcast(`${connection.id} has gone`)
  }

  async onRequest(request: Request): Promise<Response> {
    if (request.method === 'POST') await this.ctx.storage.setAlarm(Date.now() + 300)
    const said = this.ctx.storage.sql.exec('SELECT text FROM said').toArray()
    return Response.json({ name: this.name, said: said.map(({ text }) => text) })
  }

  onAlarm(): void {
    this.broadcast(`an alarm in ${this.name}`)
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    return (await routePartykitRequest(request, env)) ?? new Response('Not found', { status: 404 })
  },
}
