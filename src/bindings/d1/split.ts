// Several statements in one text, as clients of the REST API send them. Only what hides a semicolon has
// to be known: strings, names, comments and the bodies of triggers (sqlite.org/lang.html,
// sqlite.org/c3ref/complete.html, which ends a trigger the same way).

export type SqlStatement = {
  /** Without the semicolon and what is blank around it. */
  readonly text: string
  /** Its first word, in capitals. */
  readonly verb: string
}

/** The statements of a text, in order. What holds nothing but comments is none. */
export function statementsOf(sql: string): readonly SqlStatement[] {
  const found: SqlStatement[] = []
  let start = 0
  let progress = newProgress()
  const end = (at: number): void => {
    if (progress.words.length > 0 || progress.isOther) {
      found.push({ text: sql.slice(start, at).trim(), verb: progress.words[0] ?? '' })
    }
    start = at + 1
    progress = newProgress()
  }
  token.lastIndex = 0
  for (let match = token.exec(sql); match; match = token.exec(sql)) {
    const [text] = match
    if (text === ';') {
      if (isOver(progress)) end(match.index)
      else progress = { ...progress, last: [progress.last[1], ';'] }
    } else if (isWord.test(text)) progress = withWord(progress, text.toUpperCase())
    else if (!isNothing.test(text)) {
      progress = { ...progress, isOther: true, last: [progress.last[1], ''] }
    }
  }
  end(sql.length)
  return found
}

const readers: readonly string[] = ['SELECT', 'VALUES', 'EXPLAIN']

/** Whether a text is known to change nothing. One that begins with `WITH` may end otherwise. */
export function isReadOnly(sql: string): boolean {
  return statementsOf(sql).every(({ verb }) => readers.includes(verb))
}

// What is not closed goes on to the end. A line ends where SQLite says so: at a line feed.
const token =
  /--[^\n]*|\/\*[^]*?(?:\*\/|$)|'[^']*(?:''[^']*)*(?:'|$)|"[^"]*(?:""[^"]*)*(?:"|$)|`[^`]*(?:``[^`]*)*(?:`|$)|\[[^\]]*(?:\]|$)|[\w$\u0080-\uffff]+|\s+|[^]/g
const isWord = /^[\w$\u0080-\uffff]/
const isNothing = /^(?:\s|--|\/\*)/

/** How far a statement has been read. */
type Progress = {
  /** The words that it begins with, as far as they say what it is. */
  readonly words: readonly string[]
  /** Whether there was anything but words. */
  readonly isOther: boolean
  /** The last two tokens, if they are words or semicolons. */
  readonly last: readonly [string, string]
}

function newProgress(): Progress {
  return { words: [], isOther: false, last: ['', ''] }
}

/** Words that tell a trigger: `EXPLAIN QUERY PLAN CREATE TEMPORARY TRIGGER`. */
const headWords = 6

function withWord({ words, isOther, last }: Progress, word: string): Progress {
  const isHead = words.length < headWords && !isOther
  return { words: isHead ? [...words, word] : words, isOther, last: [last[1], word] }
}

const trigger = /^(?:EXPLAIN (?:QUERY PLAN )?)?CREATE (?:TEMP |TEMPORARY )?TRIGGER\b/

/** Whether a semicolon is the statement's end: that of a trigger comes behind `; END`. */
function isOver({ words, last }: Progress): boolean {
  const isTrigger = trigger.test(words.join(' '))
  return !isTrigger || (last[0] === ';' && last[1] === 'END')
}
