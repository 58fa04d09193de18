import { Actor, handler, Persist } from '@cloudflare/actors'

/** An actor of @cloudflare/actors: a property that is kept, migrations in SQL, and several alarms. */
export class MyActor extends Actor<object> {
  @Persist visits = 0

  static async nameFromRequest(request: Request): Promise<string> {
    return new URL(request.url).pathname.slice(1)
  }

  constructor(ctx: DurableObjectState, env: object) {
    super(ctx, env)
    this.storage.migrations = [
      { idMonotonicInc: 1, description: 'notes', sql: 'CREATE TABLE notes (text TEXT)' },
    ]
  }

  async onRequest(request: Request): Promise<Response> {
    await this.storage.runMigrations()
    if (request.method === 'POST') {
      await this.alarms.schedule(1, 'note', ['first'])
      await this.alarms.schedule(1, 'note', ['second'])
    }
    this.visits++
    const notes = this.sql<{ text: string }>`SELECT text FROM notes ORDER BY text`
    return Response.json({
      name: this.identifier,
      visits: this.visits,
      notes: notes.map(({ text }) => text),
    })
  }

  note(text: string): void {
    this.sql`INSERT INTO notes VALUES (${`${text} of ${this.identifier}`})`
  }
}

export default handler(MyActor)
