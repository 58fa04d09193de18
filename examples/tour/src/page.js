/** The tour as a page. Everything shown is escaped: answers hold what visitors and operators wrote. */
export function page(stops, request) {
  const items = stops.map(
    ({ title, code, answer }) => `
    <section>
      <h2>${escape(title)}</h2>
      <code>${escape(code)}</code>
      <pre>${escape(typeof answer === 'string' ? answer : JSON.stringify(answer, null, 2))}</pre>
    </section>`,
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The tour of Bindery</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1c1c1c; background: #fbfaf7 }
  h1 { font-weight: 600; margin-bottom: 0 } header p { color: #666; margin-top: .25rem }
  section { border: 1px solid #e2ded3; border-radius: 8px; background: #fff; padding: .75rem 1.25rem; margin: 1rem 0 }
  h2 { font-size: 1.05rem; margin: 0 0 .25rem } code { color: #9a4b00; font-size: .85rem }
  pre { background: #f4f2ec; border-radius: 6px; padding: .6rem .8rem; overflow-x: auto; font-size: .85rem; margin: .6rem 0 .2rem }
  @media (prefers-color-scheme: dark) {
    body { color: #e6e3dc; background: #161513 } section { background: #201f1c; border-color: #37342d }
    pre { background: #2a2824 } code { color: #f0a35e } header p { color: #9d988c }
  }
</style>
</head>
<body>
<header>
  <h1>The tour of Bindery</h1>
  <p>${escape(request.headers.get('cf-ray') ?? '')} · ${escape(request.cf?.httpProtocol ?? '')} · each card is a binding of this Worker, called just now</p>
</header>
${items.join('')}
</body>
</html>
`
}

function escape(text) {
  return text.replace(
    /[&<>"']/g,
    (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[char],
  )
}
