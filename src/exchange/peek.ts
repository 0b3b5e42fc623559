/**
 * Looks into a JSON request without parsing it: a scan of the bytes that finds the top-level members (RFC 8259).
 * A conversation is a megabyte of JSON per turn, and routing needs three small members of it.
 * @module
 */
import { DarioError } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'

/** Byte offsets of a JSON value: from its first byte up to, not including, `end`. */
interface Range {
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
const SCALAR = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$/
/** Levels: what parses, checks or writes the value later is recursive. Vendors refuse far fewer. */
const MAX_DEPTH = 1000
/** Looked up once: every string with quotations in it asks for each of them. */
const find = Buffer.prototype.indexOf
/** Up to here a loop finds a quotation mark sooner than a call into native code does. */
const NEAR = 48

/**
 * Escapes and control characters inside strings are left to whoever parses the value: checking them would cost what
 * this scan saves.
 * @throws DarioError `invalid_json` with the byte offset.
 */
export function peek(body: Buffer): Peek {
  const members = readMembers(body)
  const models = members.filter(({ name }) => name === 'model')
  const find = (name: string): Range | undefined => members.findLast((member) => member.name === name)
  const parse = (range: Range): unknown => parseSlice(body, range)
  const readMember = (name: string): unknown => {
    const range = find(name)
    return range && parse(range)
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
      return range === undefined || body[range.start] !== OPEN_ARRAY ? [] : readElements(body, range.start, most).map(parse)
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

/** The whole of a body that `peek` has seen. @throws DarioError `invalid_json`. */
export function parseBody(body: Buffer): JsonObject {
  try {
    return JSON.parse(body.toString()) as JsonObject
  } catch (cause) {
    throw new DarioError('invalid_json', `the request body is not valid JSON: ${(cause as Error).message}`, { cause })
  }
}

function parseSlice(body: Buffer, { start, end }: Range): unknown {
  try {
    return JSON.parse(body.toString('utf8', start, end))
  } catch {
    throw notJson(start, 'a string here is not valid JSON')
  }
}

function readMembers(body: Buffer): (Range & { name: string })[] {
  const members: (Range & { name: string })[] = []
  let at = skipBlank(body, 0)
  if (body[at] !== OPEN_OBJECT) throw notJson(at, 'the body must be a JSON object')
  at = skipBlank(body, at + 1)
  if (body[at] !== CLOSE_OBJECT) {
    for (;;) {
      const nameEnd = skipString(body, at)
      const quoted = body.toString('utf8', at, nameEnd)
      const name = quoted.includes('\\') ? parseSlice(body, { start: at, end: nameEnd }) as string : quoted.slice(1, -1)
      at = skipBlank(body, nameEnd)
      if (body[at] !== COLON) throw notJson(at, 'a colon is missing')
      const start = skipBlank(body, at + 1)
      const end = skipValue(body, start)
      members.push({ name, start, end })
      at = skipBlank(body, end)
      if (body[at] !== COMMA) break
      at = skipBlank(body, at + 1)
    }
  }
  if (body[at] !== CLOSE_OBJECT) throw notJson(at, 'a comma or } is missing')
  at = skipBlank(body, at + 1)
  if (at !== body.length) throw notJson(at, 'something follows the JSON object')
  return members
}

function readElements(body: Buffer, arrayStart: number, most: number): Range[] {
  const elements: Range[] = []
  let at = skipBlank(body, arrayStart + 1)
  while (elements.length < most && body[at] !== CLOSE_ARRAY) {
    const end = skipValue(body, at)
    elements.push({ start: at, end })
    at = skipBlank(body, end)
    if (body[at] !== COMMA) break
    at = skipBlank(body, at + 1)
  }
  return elements
}

/** Returns the offset behind the value at `at`. */
function skipValue(body: Buffer, at: number): number {
  const open: number[] = []
  for (;;) {
    const byte = body[at]
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      const close = byte === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY
      const next = skipBlank(body, at + 1)
      if (body[next] !== close) {
        if (open.push(close) > MAX_DEPTH) {
          throw new DarioError('invalid_request', `the request body has over ${MAX_DEPTH} levels of nesting; send it flatter`)
        }
        at = close === CLOSE_OBJECT ? skipName(body, next) : next
        continue
      }
      at = next + 1
    } else {
      at = byte === QUOTE ? skipString(body, at) : skipScalar(body, at)
    }
    for (;;) {
      const close = open.at(-1)
      if (close === undefined) return at
      at = skipBlank(body, at)
      if (body[at] === COMMA) {
        at = skipBlank(body, at + 1)
        if (close === CLOSE_OBJECT) at = skipName(body, at)
        break
      }
      if (body[at] !== close) throw notJson(at, `a comma or ${String.fromCharCode(close)} is missing`)
      open.pop()
      at++
    }
  }
}

function skipName(body: Buffer, at: number): number {
  const colon = skipBlank(body, skipString(body, at))
  if (body[colon] !== COLON) throw notJson(colon, 'a colon is missing')
  return skipBlank(body, colon + 1)
}

function skipString(body: Buffer, at: number): number {
  if (body[at] !== QUOTE) throw notJson(at, 'a name or value is missing')
  const near = Math.min(at + NEAR, body.length)
  let next = at + 1
  while (next < near) {
    const byte = body[next]
    if (byte === QUOTE) return next + 1
    next += byte === BACKSLASH ? 2 : 1
  }
  for (let quote = next - 1; ;) {
    quote = find.call(body, QUOTE, quote + 1)
    if (quote === -1) throw notJson(at, 'this string does not end')
    let before = quote - 1
    while (before >= next && body[before] === BACKSLASH) before--
    if ((quote - before) % 2 === 1) return quote + 1 // an even number of backslashes: the quote is not escaped
  }
}

function skipScalar(body: Buffer, at: number): number {
  let end = at
  while (end < body.length && !isDelimiter(body[end])) end++
  if (!SCALAR.test(body.toString('latin1', at, end))) throw notJson(at, 'a value is missing')
  return end
}

function isDelimiter(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY || isBlank(byte)
}

function skipBlank(body: Buffer, at: number): number {
  while (isBlank(body[at])) at++
  return at
}

function isBlank(byte: number | undefined): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9
}

function notJson(offset: number, what: string): DarioError {
  return new DarioError('invalid_json', `the request body is not valid JSON: ${what} (byte ${offset})`)
}
