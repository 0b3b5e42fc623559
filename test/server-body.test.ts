/**
 * Request bodies: encodings, limits, stalls, and answers that come before the body is in.
 * @module
 */
import { deepStrictEqual, match, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import * as zlib from 'node:zlib'
import { DarioError } from '../src/errors.ts'
import { readBody } from '../src/server/body.ts'
import { withDeadline } from './helpers/deadline.ts'
import { readStatuses, sendRaw, startServer } from './helpers/server.ts'

const TEXT = JSON.stringify({ model: 'm', text: 'grüße '.repeat(1_000) })

async function post(url: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body, headers })
  return { status: answer.status, text: await answer.text() }
}

for (const [encoding, bytes] of [
  ['gzip', gzipSync(TEXT)],
  ['x-gzip', gzipSync(TEXT)],
  ['GZIP', gzipSync(TEXT)],
  ['deflate', deflateSync(TEXT)],
  ['deflate', deflateRawSync(TEXT)],
  ['br', brotliCompressSync(TEXT)],
  ['gzip, br', brotliCompressSync(gzipSync(TEXT))],
  ['identity', Buffer.from(TEXT)],
  ['gzip', Buffer.from(TEXT)],
] as const) {
  test(`X3: a body sent as ${encoding} (${bytes.length} bytes) arrives plain and without that header`, async (context) => {
    const { url, seen } = await startServer(context)
    strictEqual((await post(url, bytes, { 'content-encoding': encoding })).status, 200)
    strictEqual(seen[0]?.body.toString(), TEXT)
    strictEqual(seen[0]?.headers['content-encoding'], undefined)
  })
}

test('X3: zstd is read where Node has it, else refused with what is read', async (context) => {
  const { url } = await startServer(context)
  const compress = 'zstdCompressSync' in zlib ? zlib.zstdCompressSync as (text: string) => Buffer : undefined
  const { status, text } = await post(url, compress?.(TEXT) ?? 'x', { 'content-encoding': 'zstd' })
  if (compress !== undefined) return strictEqual(status, 200)
  strictEqual(status, 415)
  match(text, /gzip.*deflate.*br/)
})

for (const encoding of ['compress', 'gzip, aes128gcm', 'gzip,gzip,gzip,gzip', '__proto__']) {
  test(`X3: the encoding "${encoding}" is a 415`, async (context) => {
    const { url, seen } = await startServer(context)
    strictEqual((await post(url, 'x', { 'content-encoding': encoding })).status, 415)
    strictEqual(seen.length, 0)
  })
}

test('X3: a cut gzip body is a 400', async (context) => {
  const { url } = await startServer(context)
  const { status, text } = await post(url, gzipSync(TEXT).subarray(0, 40), { 'content-encoding': 'gzip' })
  strictEqual(status, 400)
  match(text, /not valid gzip/)
})

for (const [encoding, compress] of [['gzip', gzipSync], ['br', brotliCompressSync], ['deflate', deflateSync]] as const) {
  test(`X3: a ${encoding} bomb is a 413 at the same limit`, async (context) => {
    const { url, seen } = await startServer(context, { maxBodyBytes: 100_000 })
    strictEqual((await post(url, compress(Buffer.alloc(100_001)), { 'content-encoding': encoding })).status, 413)
    strictEqual((await post(url, compress(Buffer.alloc(100_000)), { 'content-encoding': encoding })).status, 200)
    strictEqual(seen.length, 1)
  })
}

test('X8: a body over the limit is a 413 that names the setting, and is logged', async (context) => {
  const { url, seen, lines } = await startServer(context, { maxBodyBytes: 1_000 })
  const { status, text } = await post(url, Buffer.alloc(1_001))
  strictEqual(status, 413)
  match(text, /maxBodyBytes/)
  match(lines[0] ?? '', /413 request_too_large/)
  strictEqual((await post(url, Buffer.alloc(1_000))).status, 200)
  strictEqual(seen.length, 1)
})

test('X8: a chunked body is counted as it comes', async (context) => {
  const { port } = await startServer(context, { maxBodyBytes: 10 })
  const text = await sendRaw(port, 'POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    '8\r\n12345678\r\n', '8\r\n12345678\r\n', '0\r\n\r\n')
  deepStrictEqual(readStatuses(text), [413])
  match(text, /"dialect":"anthropic"/)
})

test('X8: the refusal of a big upload reaches a client that sends all of it first', async (context) => {
  const { port } = await startServer(context, { maxBodyBytes: 1_000 })
  const size = 8_000_000
  const socket = connect(port, '127.0.0.1')
  socket.write(`POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`)
  socket.pause()
  await new Promise((resolve) => socket.write(Buffer.alloc(size), resolve))
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk)).resume()
  await withDeadline(once(socket, 'close'), 5_000, 'the server closes')
  deepStrictEqual(readStatuses(text), [413])
  match(text, /maxBodyBytes/)
})

test('body: a request without a body gives an empty one', async (context) => {
  const { url, seen } = await startServer(context)
  await (await fetch(`${url}/v1/files`)).text()
  await (await fetch(`${url}/v1/chat/completions`, { method: 'POST' })).text()
  deepStrictEqual(seen.map((incoming) => incoming.body.length), [0, 0])
})

/** `readBody` alone, with a short patience. */
async function readWith(context: TestContext, stallMs: number): Promise<{ port: number; result: Promise<Buffer> }> {
  let settle: (result: Promise<Buffer>) => void
  const result = new Promise<Buffer>((resolve) => (settle = resolve))
  const server = createServer((request) => settle(readBody(request, 1_000, stallMs)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, result }
}

test('body: one that stalls is given up with a 408', async (context) => {
  const { port, result } = await readWith(context, 50)
  const call = httpRequest({ port, host: '127.0.0.1', method: 'POST', headers: { 'content-length': 10 } })
  call.on('error', () => {})
  call.write('12')
  await rejects(withDeadline(result, 5_000, 'the stall is seen'), (error) => error instanceof DarioError && error.status === 408)
})

test('body: the client\'s leaving ends the reading', async (context) => {
  const { port, result } = await readWith(context, 60_000)
  const socket = connect(port, '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12', () => socket.resetAndDestroy())
  await rejects(withDeadline(result, 5_000, 'the leaving is seen'), (error) => error instanceof DarioError && error.code === 'client_closed')
})

test('body: one in many pieces arrives in order', async (context) => {
  const { port, result } = await readWith(context, 60_000)
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n')
  for (let index = 0; index < 100; index++) socket.write(`2\r\n${String(index).padStart(2, '0')}\r\n`)
  socket.write('0\r\n\r\n')
  strictEqual((await result).toString(), Array.from({ length: 100 }, (_, index) => String(index).padStart(2, '0')).join(''))
  socket.destroy()
})

test('body: one that somebody in front has read is an error at once, not after the stall', async (context) => {
  const server = createServer(async (request, response) => {
    for await (const _ of request);
    response.end(await readBody(request, 100, 60_000).then(String, (error: DarioError) => error.message))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const answer = await withDeadline(fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: '{}' }), 5_000, 'the answer')
  match(await answer.text(), /put `proxy\.handle` in front of what parses bodies/)
})
