import { deepStrictEqual, equal, ok, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { createResponseParser } from '../src/backends/response-parser.ts'

interface Told { status: number; headers: unknown; body: string; ended: boolean; persists: boolean | undefined; isWhole: boolean }

/** What a reader is told of an answer that comes in these pieces, and whether the connection's end then cuts it off. */
function parse(pieces: readonly string[], method = 'POST'): Told {
  const told: Told = { status: 0, headers: undefined, body: '', ended: false, persists: undefined, isWhole: false }
  const parser = createResponseParser()
  parser.expect(method, {
    head: (status, headers) => Object.assign(told, { status, headers }),
    body(bytes) {
      ok(!told.ended)
      told.body += bytes.toString('latin1')
    },
    end: (persists) => Object.assign(told, { ended: true, persists }),
  })
  for (const piece of pieces) parser.push(Buffer.from(piece, 'latin1'))
  told.isWhole = parser.finish()
  return told
}

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

for (const [title, answer, wanted] of [
  ['a length', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello', { body: 'hello', persists: true }],
  ['a length of nothing', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', { body: '', persists: true }],
  ['chunks', `${CHUNKED}5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n`, { body: 'hello!', persists: true }],
  ['chunks with extensions and a trailer', `${CHUNKED}5 ;a="b"\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n`, { body: 'hello', persists: true }],
  ['sizes in capitals and with zeros in front', `${CHUNKED}00A\r\n0123456789\r\n0\r\n\r\n`, { body: '0123456789', persists: true }],
  ['no length', 'HTTP/1.1 200 OK\r\n\r\nall of it', { body: 'all of it', persists: false }],
  ['connection: close', 'HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 1\r\n\r\nx', { body: 'x', persists: false }],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx', { body: 'x', persists: false }],
  ['an interim answer in front', 'HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx', { body: 'x', persists: true }],
  ['status 204', 'HTTP/1.1 204 No Content\r\n\r\n', { body: '', persists: true, status: 204 }],
  ['status 304 with the length of what it has not', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n', { body: '', persists: true, status: 304 }],
  ['no reason phrase', 'HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx', { body: 'x', persists: true }],
] as const) {
  test(`response parser: ${title} is the same answer at every cut`, () => {
    const cuts = [[answer], [...answer], ...Array.from(answer, (_, at) => [answer.slice(0, at), answer.slice(at)])]
    for (const pieces of cuts) {
      const { headers, ...told } = parse(pieces)
      ok(headers !== undefined)
      deepStrictEqual(told, { status: 200, ended: true, isWhole: true, ...wanted }, JSON.stringify(pieces))
    }
  })
}

test('response parser: an answer to HEAD has no body, whatever its length says', () => {
  const told = parse(['HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n'], 'HEAD')
  deepStrictEqual([told.ended, told.persists, told.body], [true, true, ''])
})

for (const [title, answer] of [
  ['both lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n'],
  ['one length twice', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n'],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n'],
  ['a length with a sign', 'HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n'],
  ['a length in hexadecimal', 'HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\n'],
  ['another coding behind chunked', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n'],
  ['chunked twice', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n'],
  ['chunks from HTTP/1.0', 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'],
  ['a space in front of a colon', 'HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\n'],
  ['a folded line', 'HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\n\r\n'],
  ['a line without a colon', 'HTTP/1.1 200 OK\r\nhello\r\n\r\n'],
  ['a header without a name', 'HTTP/1.1 200 OK\r\n: 1\r\n\r\n'],
  ['a line feed alone', 'HTTP/1.1 200 OK\r\nx: 1\ny: 2\r\n\r\n'],
  ['a carriage return alone', 'HTTP/1.1 200 OK\r\nx: 1\ry: 2\r\n\r\n'],
  ['NUL in a value', 'HTTP/1.1 200 OK\r\nx: 1\0\r\n\r\n'],
  ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['a status of 099', 'HTTP/1.1 099 OK\r\n\r\n'],
  ['an upgrade', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n'],
  ['another protocol', 'SSH-2.0-x\r\n'],
  ['a chunk without a size', `${CHUNKED}\r\nhello`],
  ['a chunk with a negative size', `${CHUNKED}-5\r\nhello`],
  ['a chunk of more than 2^48 bytes', `${CHUNKED}1000000000000\r\n`],
  ['a chunk size behind a space', `${CHUNKED} 5\r\nhello\r\n`],
  ['a chunk that is longer than its size', `${CHUNKED}4\r\nhello\r\n`],
  ['a chunk that ends in a line feed alone', `${CHUNKED}5\r\nhello\n0\r\n\r\n`],
  ['a size that ends in a line feed alone', `${CHUNKED}5\nhello\r\n`],
  ['a line feed in an extension', `${CHUNKED}5;a\n\r\nhello\r\n`],
] as const) {
  test(`response parser: ${title} is refused at every cut`, () => {
    for (const pieces of [[answer], [...answer], [answer.slice(0, 20), answer.slice(20)]]) throws(() => parse(pieces), { code: 'HTTP_INVALID' })
  })
}

for (const [title, start, more] of [
  ['headers', 'HTTP/1.1 200 OK\r\n', 'x: 1\r\n'], ['one header', 'HTTP/1.1 200 OK\r\nx: ', 'y'.repeat(100)],
  ['extensions', CHUNKED, '1;x=y\r\n.\r\n'], ['one extension', `${CHUNKED}1;`, 'y'.repeat(100)], ['trailers', `${CHUNKED}0\r\n`, 'x: 1\r\n'],
] as const) {
  test(`response parser: ${title} without end are refused`, () => {
    throws(() => parse([start, ...Array.from({ length: 20_000 }, () => more)]), { code: 'HTTP_HEADER_OVERFLOW' })
  })
}

for (const [title, answer] of [
  ['a head', 'HTTP/1.1 200 OK\r\ncontent-le'], ['a body with a length', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell'],
  ['a chunk', `${CHUNKED}5\r\nhell`], ['chunks without the last one', `${CHUNKED}5\r\nhello\r\n`], ['a trailer', `${CHUNKED}0\r\n`],
] as const) {
  test(`response parser: ${title} that was cut off never looks whole`, () => {
    const { ended, isWhole } = parse([answer])
    deepStrictEqual([ended, isWhole], [false, false])
  })
}

test('response parser: bytes behind an answer end the connection', () => {
  for (const answer of ['HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx', `${CHUNKED}0\r\n\r\n`]) {
    equal(parse([`${answer}HTTP/1.1 200 OK\r\n\r\n`]).persists, false)
    throws(() => parse([answer, 'HTTP/1.1 200 OK\r\n\r\n']), { code: 'HTTP_INVALID' })
  }
})

test('response parser: headers are joined as Node joins them', () => {
  const lines = 'X-Many: 1\r\nx-many:2\t\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Type: a\r\ncontent-type: b\r\n__proto__: x\r\nx-raw: \xe9\xa0\r\nx-empty:\r\n'
  const { headers } = parse([`HTTP/1.1 200 OK\r\n${lines}\r\n`])
  deepStrictEqual(headers, { 'x-many': '1, 2', 'set-cookie': ['a=1', 'b=2'], 'content-type': 'a', 'x-raw': '\xe9\xa0', 'x-empty': '' })
})

test('response parser: a header of many spaces is refused without a pause', () => {
  const spaces = ' '.repeat(15_000)
  for (const value of [spaces + spaces, `a${spaces}${spaces}`, `${spaces}a${spaces}`, 'a '.repeat(15_000)]) {
    const started = performance.now()
    throws(() => parse([`HTTP/1.1 200 OK\r\nx:${value}\0\r\n\r\n`]), { code: 'HTTP_INVALID' })
    ok(performance.now() - started < 300) // 1 ms; a second where each space is tried as the value's first character
  }
})
