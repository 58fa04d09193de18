import { parseXml, XmlElement, XmlText, XmlCdata } from '@rgrove/parse-xml'
import { xmlMalformed } from './s3-errors.ts'

/** An element: its name, and what is in it. An element whose content is `undefined` is left out. */
export type Xml = readonly [name: string, content: XmlContent]
export type XmlContent = string | number | boolean | readonly Xml[] | undefined

const declaration = '<?xml version="1.0" encoding="UTF-8"?>'

/** A document in the namespace of S3. */
export function writeXml([name, content]: Xml): string {
  const xmlns = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
  return `${declaration}<${name}${xmlns}>${contentOf(content)}</${name}>`
}

/** The document of an error has no namespace. */
export function writeErrorXml(fields: readonly Xml[]): string {
  return `${declaration}${elementOf(['Error', fields])}`
}

function elementOf([name, content]: Xml): string {
  return content === undefined ? '' : `<${name}>${contentOf(content)}</${name}>`
}

function contentOf(content: XmlContent): string {
  if (content === undefined) return ''
  if (typeof content === 'object') return content.map(elementOf).join('')
  return escape(String(content))
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/** Control characters are written as S3 does, though XML 1.0 has no place for them: clients read them. */
function escape(text: string): string {
  return text.replaceAll(
    /[&<>"'\ufffe\uffff]|(?![\t\n])\p{Cc}/gu,
    (char) => entities[char] ?? `&#x${char.charCodeAt(0).toString(16)};`,
  )
}

/** An element that came in, whatever its namespace. */
export class Element {
  readonly #element: XmlElement

  constructor(element: XmlElement) {
    this.#element = element
  }

  /** Reads a document whose outermost element has this name. Throws `xmlMalformed`. */
  static read(text: string, name: string): Element {
    let root: XmlElement | null
    try {
      // No entities but the five: a document type is passed over unread.
      root = parseXml(text).root
    } catch {
      throw xmlMalformed()
    }
    if (!root || localName(root) !== name) throw xmlMalformed()
    return new Element(root)
  }

  all(name: string): readonly Element[] {
    return this.#element.children.flatMap((child) =>
      child instanceof XmlElement && localName(child) === name ? [new Element(child)] : [],
    )
  }

  one(name: string): Element | undefined {
    return this.all(name)[0]
  }

  /** The text of the first element of this name. */
  text(name: string): string | undefined {
    return this.one(name)?.own
  }

  /** What is written in it. */
  get own(): string {
    return this.#element.children
      .map((child) => (child instanceof XmlText || child instanceof XmlCdata ? child.text : ''))
      .join('')
  }
}

function localName({ name }: XmlElement): string {
  return name.slice(name.indexOf(':') + 1)
}
