import { doesNotMatch, equal, match, ok, rejects } from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { decodeBody, readText, toErrorSentence } from '../src/backends/body.ts'
import { toClientHeaders } from '../src/backends/headers.ts'
import { toReadable } from '../src/backends/source.ts'
import { withDeadline } from './helpers/deadline.ts'
import { KEY, makeCall, never, startBackend, startRaw } from './helpers/http-backend.ts'
import { startUpstream } from './helpers/upstream.ts'

const HEAD = 'HTTP/1.1 200 OK\r\n'

for (const [title, bytes, code] of [
  ['shorter than its content-length', `${HEAD}content-length: 10\r\n\r\nshort`, 'upstream_unreachable'],
  ['chunked without the last chunk', `${HEAD}transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n`, 'upstream_unreachable'],
  ['with a broken chunk size', `${HEAD}transfer-encoding: chunked\r\n\r\n5\r\nshort\r\nZZ\r\n`, 'upstream_protocol'],
] as const) {
  test(`broken upstream: a body ${title} never looks complete`, async (t) => {
    const raw = await startRaw(t, (socket) => { socket.end(bytes) })
    const answer = await startBackend(t, raw.url).send(makeCall(), KEY, never())
    await rejects(withDeadline(readText(answer), 2_000, 'break'), { name: 'DarioError', code })
  })
}

test('broken upstream: a reset within the body is a DarioError on the body', async (t) => {
  const raw = await startRaw(t, (socket) => { socket.write(`${HEAD}content-length: 10\r\n\r\nshort`) })
  const answer = await startBackend(t, raw.url).send(makeCall(), KEY, never())
  const body = toReadable(answer.body)
  body.once('data', () => raw.sockets[0]?.resetAndDestroy())
  const [error] = await withDeadline(once(body, 'error'), 2_000, 'break') as [Error & { code: string }]
  equal(error.name, 'DarioError')
  match(error.message, /middle of its answer/)
})

for (const [title, bytes, code] of [
  ['that is not HTTP', 'SSH-2.0-OpenSSH_9.6\r\n', 'upstream_protocol'],
  ['with too many headers', `${HEAD}x: ${'y'.repeat(40_000)}\r\n\r\n`, 'upstream_protocol'],
  ['with a NUL in a header', `${HEAD}x: a\0b\r\ncontent-length: 0\r\n\r\n`, 'upstream_protocol'],
  ['with two lengths', `${HEAD}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd`, 'upstream_protocol'],
  ['with a length and chunks', `${HEAD}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`, 'upstream_protocol'],
  ['that switches protocols', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n', 'upstream_protocol'],
  ['that is empty', '', 'upstream_unreachable'],
] as const) {
  test(`broken upstream: an answer ${title} is refused`, async (t) => {
    const raw = await startRaw(t, (socket) => { socket.end(bytes) })
    await rejects(withDeadline(startBackend(t, raw.url).send(makeCall(), KEY, never()), 2_000, 'refusal'), { name: 'DarioError', code })
  })
}

test('broken upstream: odd bytes in header values never make the client side throw', async (t) => {
  const odd = Buffer.from(`${HEAD}x-latin: caf\xe9\r\nx-folded: one\r\n two\r\nx-tab: a\tb\r\ncontent-length: 0\r\n\r\n`, 'latin1')
  const raw = await startRaw(t, (socket) => { socket.end(odd) })
  const answer = await startBackend(t, raw.url).send(makeCall(), KEY, never()).catch((error: Error & { code: string }) => error)
  if (answer instanceof Error) return equal(answer.code, 'upstream_protocol') // newer parsers refuse folded lines
  const client = await startUpstream(t, (_, response) => { response.writeHead(200, toClientHeaders(answer.headers, true)).end() })
  const second = await startBackend(t, client.url).send(makeCall(), KEY, never())
  equal(second.headers['x-latin'], 'caf\xe9')
  equal(second.headers['x-tab'], 'a\tb')
})

test('broken upstream: an informational answer before the real one is skipped', async (t) => {
  const raw = await startRaw(t, (socket) => { socket.end(`HTTP/1.1 103 Early Hints\r\n\r\n${HEAD}content-length: 2\r\n\r\nok`) })
  equal(await readText(await startBackend(t, raw.url).send(makeCall(), KEY, never())), 'ok')
})

test('broken upstream: a refused connection says that nothing listens there', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  await rejects(startBackend(t, `http://127.0.0.1:${port}`).send(makeCall(), KEY, never()), (error: Error & { code: string }) => {
    equal(error.code, 'upstream_unreachable')
    match(error.message, /nothing listens at 127\.0\.0\.1:\d+; .*backends\.up\.baseUrl.*\(ECONNREFUSED\)/)
    return true
  })
})

test('broken upstream: plain HTTP where TLS was expected says so', async (t) => {
  const upstream = await startUpstream(t, (_, response) => { response.end() })
  const backend = startBackend(t, upstream.url.replace('http:', 'https:'))
  await rejects(backend.send(makeCall(), KEY, never()), { code: 'upstream_unreachable', message: /does not speak TLS/ })
})

test('X1: a body that was compressed against our wish is relayed as it is and decoded for readers', async (t) => {
  const zipped = gzipSync('{"a":1}')
  const upstream = await startUpstream(t, (_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': zipped.length }).end(zipped)
  })
  const backend = startBackend(t, upstream.url)
  const relayed = await backend.send(makeCall(), KEY, never())
  equal(relayed.headers['content-encoding'], 'gzip')
  const chunks: Buffer[] = []
  for await (const chunk of toReadable(relayed.body)) chunks.push(chunk as Buffer)
  equal(Buffer.concat(chunks).equals(zipped), true)
  equal(await readText(await backend.send(makeCall(), KEY, never())), '{"a":1}')
})

for (const [encoding, bytes] of [
  ['br', brotliCompressSync('text')],
  ['deflate', deflateSync('text')],
  ['identity', Buffer.from('text')],
  ['gzip, identity, br', brotliCompressSync(gzipSync('text'))],
] as const) {
  test(`X2: content-encoding "${encoding}" is undone in reverse order`, async (t) => {
    const upstream = await startUpstream(t, (_, response) => { response.writeHead(200, { 'content-encoding': encoding }).end(bytes) })
    equal(await readText(await startBackend(t, upstream.url).send(makeCall(), KEY, never())), 'text')
  })
}

test('X2: an unknown or damaged encoding is a protocol error of the upstream', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    response.writeHead(200, { 'content-encoding': request.url.endsWith('x') ? 'constructor' : 'gzip' }).end('not gzip')
  })
  const backend = startBackend(t, upstream.url)
  const unknown = await backend.send(makeCall({ path: '/v1/x' }), KEY, never())
  await rejects(async () => decodeBody(unknown), { code: 'upstream_protocol' })
  await rejects(readText(await backend.send(makeCall(), KEY, never())), { code: 'upstream_protocol' })
})

test('X2: a compressed body that breaks off is the same error as a plain one', async (t) => {
  const raw = await startRaw(t, (socket) => {
    const part = gzipSync('text'.repeat(1_000)).subarray(0, 20)
    socket.write(`${HEAD}content-encoding: gzip\r\ncontent-length: 1000\r\n\r\n`)
    socket.end(part)
  })
  const answer = await startBackend(t, raw.url).send(makeCall(), KEY, never())
  await rejects(withDeadline(readText(answer), 2_000, 'break'), { name: 'DarioError', code: 'upstream_unreachable' })
})

test('E8: a page of HTML becomes one sentence with its status', () => {
  const sentence = toErrorSentence(502, '<!doctype html><html><head><title>Bad\n gateway</title></head><body><p>x</p></body></html>')
  equal(sentence, 'the upstream answered 502 with a page of HTML instead of JSON: Bad gateway')
  doesNotMatch(toErrorSentence(500, `line\n\x1b[31m${'x'.repeat(5_000)}`), /[\n\x1b]|x{201}/)
})

test('E8: a megabyte of titles that never end is one sentence too, at once', () => {
  const started = performance.now()
  match(toErrorSentence(502, '<title'.repeat(100_000)), /a page of HTML/)
  ok(performance.now() - started < 1_000) // it held everybody up for a minute
})

test('X2: an answer in more layers than anybody packs it in is refused', async (t) => {
  const upstream = await startUpstream(t, (_, response) => {
    response.writeHead(200, { 'content-encoding': Array.from({ length: 1_000 }, () => 'gzip').join() }).end('x')
  })
  const answer = await startBackend(t, upstream.url).send(makeCall(), KEY, never())
  await rejects(async () => decodeBody(answer), { code: 'upstream_protocol', message: /1000 times/ })
})
