/** How deep JSON from outside may nest. What reads it later does so by recursion. */
const deepest = 100

/** `JSON.parse` with a bound on nesting. Throws a `SyntaxError`. */
export function parseJson(text: string): unknown {
  let depth = 0
  let isInText = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (isInText) {
      if (char === '\\') at++
      else if (char === '"') isInText = false
    } else if (char === '"') isInText = true
    else if (char === '[' || char === '{') depth++
    else if (char === ']' || char === '}') depth--
    if (depth > deepest) throw new SyntaxError('nested too deeply')
  }
  return JSON.parse(text)
}
