import { Agent, callable, getAgentByName, routeAgentRequest } from 'agents'

type Env = { CounterAgent: DurableObjectNamespace<CounterAgent> }
type State = { count: number; reminded: readonly string[] }

/** The counter of the README of agents, with a scheduled task, a table and agents below it. */
export class CounterAgent extends Agent<Env, State> {
  initialState: State = { count: 0, reminded: [] }

  @callable()
  increment(): number {
    this.sql`CREATE TABLE IF NOT EXISTS steps (n INTEGER)`
    this.sql`INSERT INTO steps VALUES (${this.state.count + 1})`
    this.setState({ ...this.state, count: this.state.count + 1 })
    return this.state.count
  }

  @callable()
  async remindIn(seconds: number, of: string): Promise<string> {
    return (await this.schedule(seconds, 'remind', { of })).id
  }

  @callable({ streaming: true })
  async countTo(stream: { send(chunk: unknown): void; end(last: unknown): void }, n: number) {
    for (let at = 1; at < n; at++) stream.send(at)
    stream.end(n)
  }

  remind({ of }: { of: string }): void {
    this.setState({ ...this.state, reminded: [...this.state.reminded, of] })
  }

  /** Lets an agent of this one's own do it: a facet, with a database of its own. */
  async delegate(to: string): Promise<number> {
    return (await this.subAgent(HelperAgent, to)).help()
  }

  steps(): number {
    return this.sql<{ n: number }>`SELECT count(*) AS n FROM steps`[0]?.n ?? 0
  }

  onRequest(): Response {
    return Response.json({ name: this.name, ...this.state })
  }
}

export class HelperAgent extends Agent<Env, { helped: number }> {
  initialState = { helped: 0 }

  help(): number {
    this.setState({ helped: this.state.helped + 1 })
    return this.state.helped
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    const agent = await getAgentByName(env.CounterAgent, 'one')
    if (pathname === '/steps') return Response.json(await agent.steps())
    if (pathname === '/delegate') {
      return Response.json(await agent.delegate(searchParams.get('to') ?? ''))
    }
    return (await routeAgentRequest(request, env)) ?? new Response('Not found', { status: 404 })
  },
}
