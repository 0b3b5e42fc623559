/**
 * Reads HTTP/1.1 answers from the bytes of one connection, strictly: what could be read in two ways is refused. Node's own
 * client costs as much as the rest of a small request, and a callback per chunk of a stream.
 * https://www.rfc-editor.org/rfc/rfc9112
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http'
import { createChunkReader, toFault } from './chunk-reader.ts'
import type { ChunkReader } from './chunk-reader.ts'

export interface AnswerReader {
  /** Once per answer, behind all interim ones. */
  head(status: number, headers: IncomingHttpHeaders): void
  /** Bytes of the body, without its framing; at most once per `push`. */
  body(bytes: Buffer): void
  /** `persists`: the connection may carry another request. */
  end(persists: boolean): void
}

export interface ResponseParser {
  /** A request of this method was sent, and its answer is told to `reader`. */
  expect(method: string, reader: AnswerReader): void
  /**
   * Keeps nothing of `bytes`, but moves chunks together in them.
   * @throws Error with a `code` that `explain` knows, for what is not one whole answer per request.
   */
  push(bytes: Buffer): void
  /** The other side closed. False when that cut the answer off. */
  finish(): boolean
}

/** Bytes of all lines before a body: twice what Node's own client takes. */
const MAX_HEAD = 32_768
const BLANK_LINE = '\r\n\r\n'
const PROTOCOL = 'HTTP/1.'
const STATUS = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n/
/**
 * A value begins and ends with what is no blank: else each of 30,000 blanks is tried as its beginning, for a second.
 * Blanks are spaces and tabs only: a byte over 0x7f may belong to a character.
 */
const LINE = /([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*(?:([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[\t ]*)?\r\n/y
/** A second value would change what the first one said. */
const SINGLE: ReadonlySet<string> = new Set(['age', 'content-type', 'etag', 'expires', 'last-modified', 'location', 'retry-after', 'server'])

type State =
  | 'idle' | 'head'
  | 'counted' // by content-length
  | 'open' // up to the end of the connection
  | 'chunked'

export function createResponseParser(): ResponseParser {
  let state: State = 'idle'
  let reader: AnswerReader | undefined
  let method = ''
  /** What came of a head so far. */
  let held: Buffer | undefined
  /** Bytes of the body that are still to come. */
  let left = 0
  let chunks: ChunkReader | undefined
  let persists = false

  function complete(isLast: boolean): void {
    state = 'idle'
    const told = reader
    reader = undefined
    told?.end(persists && isLast) // bytes behind an answer that nobody asked for: they must not begin the next one
  }

  function push(bytes: Buffer): void {
    let all = bytes
    let at = 0
    while (state === 'head') {
      const known = held?.length ?? 0
      if (at === 0 && held !== undefined) all = Buffer.concat([held, bytes])
      const end = all.indexOf(BLANK_LINE, at + Math.max(0, known - BLANK_LINE.length))
      if (end - at > MAX_HEAD || (end === -1 && all.length - at > MAX_HEAD)) throw toFault('HTTP_HEADER_OVERFLOW')
      held = end === -1 ? Buffer.from(all.subarray(at)) : undefined
      if (held !== undefined) return checkStart(held)
      readHead(all.toString('latin1', at, end + 2))
      at = end + BLANK_LINE.length
    }
    readBody(all, at)
  }

  /** Something else than HTTP may wait for us to speak after its greeting. */
  function checkStart(begun: Buffer): void {
    const start = begun.toString('latin1', 0, PROTOCOL.length)
    if (!PROTOCOL.startsWith(start)) throw toFault('HTTP_INVALID')
  }

  function readHead(text: string): void {
    const [line = '', minor, code] = STATUS.exec(text) ?? []
    if (line === '') throw toFault('HTTP_INVALID')
    const status = Number(code)
    const headers = readHeaders(text, line.length)
    if (status === 101) throw toFault('HTTP_INVALID') // nobody asked for an upgrade
    if (status < 200) return // interim: the answer is still to come
    const connection = String(headers.connection ?? '').toLowerCase()
    persists = minor === '1' ? !connection.includes('close') : connection.includes('keep-alive')
    const isChunked = readFraming(headers, minor === '1')
    reader?.head(status, headers)
    if (method === 'HEAD' || status === 204 || status === 304) {
      left = 0
      state = 'counted'
    } else if (isChunked) {
      chunks = createChunkReader()
      state = 'chunked'
    } else if (headers['content-length'] === undefined) {
      persists = false
      state = 'open'
    } else state = 'counted'
  }

  /** Sets `left`; true for chunks. */
  function readFraming(headers: IncomingHttpHeaders, mayChunk: boolean): boolean {
    const coding = headers['transfer-encoding']
    const length = headers['content-length']
    left = length === undefined ? 0 : Number(length)
    if (length !== undefined && (!/^\d{1,15}$/.test(length) || coding !== undefined)) throw toFault('HTTP_INVALID')
    if (coding === undefined) return false
    if (coding.toLowerCase() !== 'chunked' || !mayChunk) throw toFault('HTTP_INVALID') // no other was asked for
    return true
  }

  function readBody(bytes: Buffer, from: number): void {
    const total = bytes.length
    if (state === 'counted') {
      const end = Math.min(total, from + left)
      left -= end - from
      if (end > from) reader?.body(from === 0 && end === total ? bytes : bytes.subarray(from, end))
      if (left === 0) complete(end === total)
    } else if (state === 'open') {
      if (total > from) reader?.body(bytes.subarray(from))
    } else if (state === 'idle') {
      if (total > from) throw toFault('HTTP_INVALID')
    } else if (chunks !== undefined) {
      const end = chunks.read(bytes, from, (body) => reader?.body(body))
      if (end !== undefined) complete(end === total)
    }
  }

  return {
    expect(asked, told) {
      method = asked
      reader = told
      state = 'head'
    },
    push,
    finish() {
      if (state === 'open') complete(false)
      return state === 'idle'
    },
  }
}

/** As Node joins them: the first of a single one, `set-cookie` as a list, others as one list with commas. */
function readHeaders(text: string, from: number): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {}
  LINE.lastIndex = from
  for (let at = from; at < text.length; at = LINE.lastIndex) {
    const line = LINE.exec(text)
    if (line === null) throw toFault('HTTP_INVALID')
    const name = line[1]!.toLowerCase()
    const value = line[2] ?? ''
    const before = headers[name]
    if (name === 'set-cookie') headers[name] = [...headers[name] ?? [], value]
    else if (before === undefined) headers[name] = value
    else if (name === 'content-length' || name === 'transfer-encoding') throw toFault('HTTP_INVALID')
    else if (!SINGLE.has(name) && typeof before === 'string') headers[name] = `${before}, ${value}`
  }
  return headers
}
