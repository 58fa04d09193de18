// What create-vite's React template is given to be a full-stack app: an API beside its files.
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url)
    if (pathname === '/api/visits') {
      const visits = Number((await env.VISITS.get('visits')) ?? 0) + 1
      await env.VISITS.put('visits', String(visits))
      return Response.json({ visits })
    }
    return Response.json({ error: `no ${pathname}` }, { status: 404 })
  },
}
