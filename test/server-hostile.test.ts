/**
 * Bytes that no honest client sends, over raw sockets: a clear refusal, no second request smuggled in, no crash.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { withDeadline } from './helpers/deadline.ts'
import { readStatuses, sendRaw, startServer } from './helpers/server.ts'

const SMUGGLED = 'POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}'
const HEAD = 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n'

const SMUGGLING = {
  'content-length beside transfer-encoding': `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'transfer-encoding beside content-length': `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'two content-lengths': `${HEAD}Content-Length: 0\r\nContent-Length: 5\r\n\r\n${SMUGGLED}`,
  'a list of content-lengths': `${HEAD}Content-Length: 0, 5\r\n\r\n${SMUGGLED}`,
  'a signed content-length': `${HEAD}Content-Length: +0\r\n\r\n${SMUGGLED}`,
  'a hexadecimal content-length': `${HEAD}Content-Length: 0x0\r\n\r\n${SMUGGLED}`,
  'a content-length beyond 64 bits': `${HEAD}Content-Length: 18446744073709551616\r\n\r\n${SMUGGLED}`,
  'transfer-encoding xchunked': `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'transfer-encoding chunked, identity': `${HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a space before the colon': `${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a bare line feed after a header': `${HEAD}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a bare carriage return in a header': `${HEAD}X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a folded header': `${HEAD}Transfer-Encoding:\r\n chunked\r\nX: y\r\n z\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a NUL in a header': `${HEAD}X: a\0b\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`,
  'a NUL in a header name': `${HEAD}X\0: a\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`,
  'a broken chunk size': `${HEAD}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n${SMUGGLED}`,
  'a negative chunk size': `${HEAD}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a chunk size beyond 64 bits': `${HEAD}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n${SMUGGLED}`,
  'a chunk longer than it says': `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n${SMUGGLED}`,
  'a space in the target': `GET /v1/ files HTTP/1.1\r\nHost: localhost\r\n\r\n${SMUGGLED}`,
  'a lower-case method': `post /v1/messages HTTP/1.1\r\nHost: localhost\r\n\r\n${SMUGGLED}`,
  'no HTTP at all': `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${SMUGGLED}`,
}

for (const [title, bytes] of Object.entries(SMUGGLING)) {
  test(`smuggling: ${title} gives one 400 and nothing reaches the exchange`, async (context) => {
    const { port, seen } = await startServer(context)
    const text = await sendRaw(port, Buffer.from(bytes, 'latin1'))
    deepStrictEqual(readStatuses(text), [400])
    match(text, /"type":"invalid_request_error"/)
    deepStrictEqual(seen.map((incoming) => incoming.path), [])
  })
}

test('smuggling: a header value cannot start a new header in the answer', async (context) => {
  const { port } = await startServer(context, { guard: { allowedOrigins: ['http://good.example'] } })
  const text = await sendRaw(port, 'OPTIONS /v1/messages HTTP/1.1\r\nHost: localhost\r\nOrigin: http://good.example\r\n'
    + 'Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: a%0d%0aset-cookie: x\r\nConnection: close\r\n\r\n')
  strictEqual(/^set-cookie/im.test(text), false)
})

test('hostile: a body shorter than its content-length is no request', async (context) => {
  const { port, seen } = await startServer(context)
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.end(`${HEAD}Content-Length: 10\r\n\r\n{}`)
  await withDeadline(once(socket.resume(), 'close'), 5_000, 'the server closes')
  strictEqual(seen.length, 0)
})

test('hostile: bytes after the content-length are another request, and a bad one', async (context) => {
  const { port, seen } = await startServer(context)
  const statuses = readStatuses(await sendRaw(port, `${HEAD}Content-Length: 2\r\n\r\n{}{"more":1}`))
  ok(statuses.includes(400))
  ok(seen.every((incoming) => incoming.body.toString() === '{}'))
})

test('hostile: 40,000 bytes of headers are a 431 in JSON', async (context) => {
  const { port, seen } = await startServer(context)
  const text = await sendRaw(port, `${HEAD}X: ${'a'.repeat(40_000)}\r\n\r\n`)
  deepStrictEqual(readStatuses(text), [431])
  match(text, /32 KiB/)
  strictEqual(seen.length, 0)
})

test('hostile: 10,000 bytes of headers are served', async (context) => {
  const { port } = await startServer(context)
  deepStrictEqual(readStatuses(await sendRaw(port, `GET /v1/files HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(10_000)}\r\n`
    + 'Connection: close\r\n\r\n')), [200])
})

test('hostile: headers that never end are a 408', async (context) => {
  const { port } = await startServer(context, { headersTimeout: 100 })
  const text = await sendRaw(port, 'GET /v1/files HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
  deepStrictEqual(readStatuses(text), [408])
  match(text, /did not come in time/)
})

test('hostile: a connection that says nothing is closed', async (context) => {
  const { port } = await startServer(context, { headersTimeout: 100 })
  await sendRaw(port)
})

for (const [title, target] of Object.entries({
  'an absolute form': 'http://evil.example/v1/files',
  'dots': '/v1/files/../../secret',
  'escaped dots': '/v1/files/%2e%2E/secret',
  'escaped slashes and dots': '/v1/files/..%2f..%2fsecret',
  'escaped backslashes and dots': '/v1/files/..%5c..%5csecret',
  'an escaped NUL': '/v1/files/a%00b',
  'an escaped line end': '/v1/files/a%0d%0ab',
  'half an escape': '/v1/files/%zz',
  'a fragment': '/v1/files#a',
  'a backslash': '/v1\\files',
  'an asterisk': '*',
})) {
  test(`hostile: a target with ${title} is a 400`, async (context) => {
    const { port, seen } = await startServer(context)
    const method = target === '*' ? 'OPTIONS' : 'GET'
    const text = await sendRaw(port, `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    deepStrictEqual(readStatuses(text), [400])
    strictEqual(seen.length, 0)
  })
}

test('hostile: CONNECT is refused with the hint that dario is no forward proxy', async (context) => {
  const { port } = await startServer(context)
  const text = await sendRaw(port, 'CONNECT api.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  deepStrictEqual(readStatuses(text), [405])
  match(text, /HTTPS_PROXY/)
})

test('hostile: a connection reset after CONNECT does not end the process', async (context) => {
  const { port, url } = await startServer(context)
  const socket = connect(port, '127.0.0.1')
  socket.write('CONNECT api.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  socket.resetAndDestroy()
  await once(socket, 'close')
  strictEqual((await fetch(`${url}/health`)).status, 200)
})

test('hostile: an upgrade to WebSocket is a 426 in the dialect of the path', async (context) => {
  const { port, seen } = await startServer(context)
  const text = await sendRaw(port, 'GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n'
    + 'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n')
  deepStrictEqual(readStatuses(text), [426])
  match(text, /"dialect":"responses"/)
  strictEqual(seen.length, 0)
})

test('routes: a client that offers h2c is served in HTTP/1.1', async (context) => {
  const { port } = await startServer(context)
  const text = await sendRaw(port, 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\n'
    + 'Connection: Upgrade, HTTP2-Settings, close\r\nHTTP2-Settings: x\r\nContent-Length: 2\r\n\r\n{}')
  deepStrictEqual(readStatuses(text), [200])
})

test('hostile: another major version of HTTP is a 505', async (context) => {
  const { port, seen } = await startServer(context)
  const text = await sendRaw(port, 'POST /v1/messages HTTP/2.0\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}'
    + 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  strictEqual(readStatuses(text)[0], 505)
  strictEqual(seen.length, 0)
})

test('routes: pipelined requests are answered in order, each with its own body', async (context) => {
  const { port } = await startServer(context)
  const bodies = ['{"a":1}', '{"b":22}', '{"c":333}']
  const text = await sendRaw(port, bodies.map((body) => `${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`).join(''),
    'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  deepStrictEqual(readStatuses(text), [200, 200, 200, 200])
  ok(text.indexOf('\\"a\\"') < text.indexOf('\\"b\\"') && text.indexOf('\\"b\\"') < text.indexOf('\\"c\\"'))
})

for (const waiting of ['', `${HEAD}Content-Length: 2\r\n\r\n{}`]) {
  test(`hostile: garbage behind a running answer${waiting && ' and a waiting request'} cuts it and writes nothing into it`, async (context) => {
    const { port, seen } = await startServer(context, {
      answer: (_incoming, response) => {
        if (seen.length > 1) return
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write('data: first\n\n')
      },
    })
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk))
    socket.write(`${HEAD}Content-Length: 2\r\n\r\n{}`)
    while (!text.includes('first')) await withDeadline(once(socket, 'data'), 5_000, 'the answer begins')
    socket.write(`${waiting}garbage garbage garbage\r\n\r\n`)
    await withDeadline(once(socket, 'close'), 5_000, 'the server cuts')
    deepStrictEqual(readStatuses(text), [200])
  })
}
