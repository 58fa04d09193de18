import page from './page.html'

export { Limiter } from './limiter.js'
export { Room } from './room.js'

const longestRoomName = 32

/** A page for every room, and a WebSocket for each visitor in it. */
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url)
    if (pathname === '/rooms' && request.method === 'POST') {
      // A private room has no name to guess: whoever is told its id is in.
      return Response.json({ room: env.ROOMS.newUniqueId().toString() }, { status: 201 })
    }
    const [, room, rest] = /^\/rooms\/([^/]+)(|\/socket)$/.exec(pathname) ?? []
    if (rest === '/socket') {
      const id = idOf(room, env.ROOMS)
      if (id === undefined) return new Response('There is no such room.\n', { status: 404 })
      return env.ROOMS.get(id).fetch(request)
    }
    if (pathname === '/' || rest === '') {
      return new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } })
    }
    return new Response('There is nothing here.\n', { status: 404 })
  },
}

/** The object of a room: by its id if it is private, else by its name. */
function idOf(room, rooms) {
  try {
    if (/^[0-9a-f]{64}$/.test(room)) return rooms.idFromString(room)
    const name = decodeURIComponent(room).trim().toLowerCase()
    return name.length <= longestRoomName ? rooms.idFromName(name) : undefined
  } catch {
    // An id of another namespace, or a % that escapes nothing.
    return undefined
  }
}
