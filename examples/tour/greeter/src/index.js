import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers'

/** A session that lives as long as its caller holds it: an object passed by reference over RPC. */
class Conversation extends RpcTarget {
  #said = []

  say(words) {
    this.#said.push(words)
    return `${this.#said.length}: ${words}`
  }
}

/** Called by the tour over RPC; `props` come from its service binding. */
export class Greeter extends WorkerEntrypoint {
  greet(name) {
    return `${this.ctx.props.salutation ?? 'Hello'}, ${name}!`
  }

  converse() {
    return new Conversation()
  }
}

export default {
  fetch(request) {
    return new Response(`tour-greeter got ${request.method} ${new URL(request.url).pathname}`)
  },
}
