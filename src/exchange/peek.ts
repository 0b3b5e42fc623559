/**
 * Looks into a JSON request without parsing it: a scan of the bytes that finds the top-level members (RFC 8259).
 * A conversation is a megabyte of JSON per turn, and routing needs three small members of it.
 * @module
 */
import { DarioError } from '../errors.ts'

/** Byte offsets of a JSON value: from its first byte up to, not including, `end`. */
export interface Range {
  start: number
  end: number
}

export interface Peek {
  /** '' when the request names none. */
  model: string
  stream: boolean
  /** The parsed member, or undefined. The last one counts when a name is written twice, as in JSON.parse. */
  read(name: string): unknown
  /** Parsed elements from the head of an array member, at most `most`. */
  readHead(name: string, most: number): unknown[]
  /** The body with another model's name in place; every other byte stays. */
  withModel(model: string): Buffer
}

const QUOTE = 34, BACKSLASH = 92, COMMA = 44, COLON = 58
const OPEN_OBJECT = 123, CLOSE_OBJECT = 125, OPEN_ARRAY = 91, CLOSE_ARRAY = 93
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

/**
 * Escapes and control characters inside strings are left to whoever parses the value: checking them would cost what
 * this scan saves.
 * @throws DarioError `invalid_json` with the byte offset.
 */
export function peek(body: Buffer): Peek {
  // Latin-1 keeps one character per byte, and searching a string costs less than a call into Buffer's native side.
  const text = body.toString('latin1')
  const members = readMembers(text)
  const models = members.filter(({ name }) => name === 'model')
  const find = (name: string): Range | undefined => members.findLast((member) => member.name === name)
  const parse = ({ start, end }: Range): unknown => parseSlice(body, start, end)
  const readMember = (name: string): unknown => {
    const range = find(name)
    return range === undefined ? undefined : parse(range)
  }
  const model = readMember('model') ?? ''
  if (typeof model !== 'string') {
    throw new DarioError('invalid_request', 'model must be a string: the name of a model', { path: 'model' })
  }
  return {
    model,
    stream: readMember('stream') === true,
    read: readMember,
    readHead(name, most) {
      const range = find(name)
      return range === undefined || text.charCodeAt(range.start) !== OPEN_ARRAY
        ? []
        : readElements(text, range.start, most).map(parse)
    },
    withModel(other) {
      const pieces: Buffer[] = []
      let from = 0
      for (const { start, end } of models) {
        pieces.push(body.subarray(from, start), Buffer.from(JSON.stringify(other)))
        from = end
      }
      return Buffer.concat([...pieces, body.subarray(from)])
    },
  }
}

function parseSlice(body: Buffer, start: number, end: number): unknown {
  try {
    return JSON.parse(body.toString('utf8', start, end))
  } catch {
    throw notJson(start, 'a string here is not valid JSON')
  }
}

function readMembers(text: string): (Range & { name: string })[] {
  const members: (Range & { name: string })[] = []
  let at = skipBlank(text, 0)
  if (text.charCodeAt(at) !== OPEN_OBJECT) throw notJson(at, 'the body must be a JSON object')
  at = skipBlank(text, at + 1)
  if (text.charCodeAt(at) !== CLOSE_OBJECT) {
    for (;;) {
      const nameEnd = skipString(text, at)
      const name = readName(text.slice(at, nameEnd), at)
      at = skipBlank(text, nameEnd)
      if (text.charCodeAt(at) !== COLON) throw notJson(at, 'a colon is missing')
      const start = skipBlank(text, at + 1)
      const end = skipValue(text, start)
      members.push({ name, start, end })
      at = skipBlank(text, end)
      if (text.charCodeAt(at) !== COMMA) break
      at = skipBlank(text, at + 1)
    }
  }
  if (text.charCodeAt(at) !== CLOSE_OBJECT) throw notJson(at, 'a comma or } is missing')
  at = skipBlank(text, at + 1)
  if (at !== text.length) throw notJson(at, 'something follows the JSON object')
  return members
}

function readName(quoted: string, at: number): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1)
  try {
    return JSON.parse(quoted) as string
  } catch {
    throw notJson(at, 'this name is not a valid string')
  }
}

function readElements(text: string, arrayStart: number, most: number): Range[] {
  const elements: Range[] = []
  let at = skipBlank(text, arrayStart + 1)
  while (elements.length < most && text.charCodeAt(at) !== CLOSE_ARRAY) {
    const end = skipValue(text, at)
    elements.push({ start: at, end })
    at = skipBlank(text, end)
    if (text.charCodeAt(at) !== COMMA) break
    at = skipBlank(text, at + 1)
  }
  return elements
}

/** Returns the offset behind the value at `at`. Iterative: 100,000 levels are no stack overflow. */
function skipValue(text: string, at: number): number {
  const open: number[] = []
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      const close = code === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY
      const next = skipBlank(text, at + 1)
      if (text.charCodeAt(next) !== close) {
        open.push(close)
        at = close === CLOSE_OBJECT ? skipName(text, next) : next
        continue
      }
      at = next + 1
    } else {
      at = code === QUOTE ? skipString(text, at) : skipScalar(text, at)
    }
    for (;;) {
      const close = open.at(-1)
      if (close === undefined) return at
      at = skipBlank(text, at)
      const next = text.charCodeAt(at)
      if (next === COMMA) {
        at = skipBlank(text, at + 1)
        if (close === CLOSE_OBJECT) at = skipName(text, at)
        break
      }
      if (next !== close) throw notJson(at, `a comma or ${String.fromCharCode(close)} is missing`)
      open.pop()
      at++
    }
  }
}

function skipName(text: string, at: number): number {
  const colon = skipBlank(text, skipString(text, at))
  if (text.charCodeAt(colon) !== COLON) throw notJson(colon, 'a colon is missing')
  return skipBlank(text, colon + 1)
}

function skipString(text: string, at: number): number {
  if (text.charCodeAt(at) !== QUOTE) throw notJson(at, 'a name or value is missing')
  for (let quote = at; ;) {
    quote = text.indexOf('"', quote + 1)
    if (quote === -1) throw notJson(at, 'this string does not end')
    let before = quote - 1
    while (text.charCodeAt(before) === BACKSLASH) before--
    if ((quote - before) % 2 === 1) return quote + 1 // an even number of backslashes: the quote is not escaped
  }
}

function skipScalar(text: string, at: number): number {
  SCALAR.lastIndex = at
  if (!SCALAR.test(text)) throw notJson(at, 'a value is missing')
  return SCALAR.lastIndex
}

function skipBlank(text: string, at: number): number {
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return at
    at++
  }
}

function notJson(offset: number, what: string): DarioError {
  return new DarioError('invalid_json', `the request body is not valid JSON: ${what} (byte ${offset})`)
}
