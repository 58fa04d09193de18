import type { HttpResponse } from '#http1/exchange.ts'

/** A page of ours in place of a Worker's response. */
export type ErrorPage = {
  readonly status: number
  /** Cloudflare's number of the error, where it has one. */
  readonly code?: number
  readonly title: string
  readonly text: string
  /** Where to go instead. */
  readonly location?: string
}

/** Sends a visitor to the same place by TLS, with the method and body that it came with. */
export function redirectTo(location: string): ErrorPage {
  return {
    status: 308,
    title: 'Permanent redirect',
    text: 'This site is reached by TLS.',
    location,
  }
}

export const pages = {
  badHost: {
    status: 400,
    title: 'Bad request',
    text: 'The Host header of this request is missing, doubled or not a host name.',
  },
  badTarget: {
    status: 400,
    title: 'Bad request',
    text: 'The request line must hold a path, beginning with a slash.',
  },
  urlTooLong: { status: 414, title: 'URI too long', text: 'The URL is longer than 16 KB.' },
  noWorker: {
    status: 404,
    title: 'There is nothing here yet',
    text: 'No Worker is deployed at this host name.',
  },
  threw: {
    status: 500,
    code: 1101,
    title: 'Worker threw exception',
    text: 'An unknown error occurred while rendering the page: the Worker threw a JavaScript exception.',
  },
  exceeded: {
    status: 503,
    code: 1102,
    title: 'Worker exceeded resource limits',
    text: 'The Worker used more CPU time or memory than it may, and was stopped.',
  },
  unavailable: {
    status: 502,
    title: 'Bad gateway',
    text: 'The process of this Worker is not answering. It is being restarted.',
  },
} as const satisfies Record<string, ErrorPage>

/** Sends a page, unless a response has already begun: then the connection is cut, as it must be. */
export function sendPage(response: HttpResponse, page: ErrorPage, ray: string): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const html = render(page, ray)
  const headers: Readonly<Record<string, string>> = {
    'Content-Type': 'text/html; charset=UTF-8',
    'Content-Length': String(Buffer.byteLength(html)),
    'Cache-Control': 'private, no-store',
    'Referrer-Policy': 'same-origin',
    'X-Frame-Options': 'SAMEORIGIN',
    'CF-Ray': ray,
    // Who sends what can't be understood may mean something else by what comes behind it, too.
    ...(page.status === 400 && { Connection: 'close' }),
    ...(page.location !== undefined && { Location: page.location }),
    ...(page.status === 502 && { 'Retry-After': '1' }),
  }
  response.writeHead(page.status, Object.entries(headers).flat())
  response.end(html)
}

/** Sends a text of ours. */
export function sendText(response: HttpResponse, text: string): void {
  const length = String(Buffer.byteLength(text))
  response.writeHead(200, ['Content-Type', 'text/plain', 'Content-Length', length])
  response.end(text)
}

/** The whole page. Nothing in it comes from a user: the ray is ours. */
function render(page: ErrorPage, ray: string): string {
  const heading = page.code === undefined ? `Error ${page.status}` : `Error ${page.code}`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${page.title} | ${heading}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 12vh auto; max-width: 38rem; padding: 0 1.5rem }
h1 { font-size: 2.4rem; font-weight: 300; margin: 0 } h1 small { font-size: 0.9rem; color: #666; white-space: nowrap }
h2 { font-weight: 400; color: #666; margin: 0 0 2rem }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #161616 } h2, h1 small { color: #999 } }
</style>
</head>
<body>
<h1>${heading} <small>Ray ID: ${ray}</small></h1>
<h2>${page.title}</h2>
<p>${page.text}</p>
</body>
</html>
`
}
