import { deepStrictEqual, doesNotMatch, equal, match, ok, rejects } from 'node:assert/strict'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { readText } from '../src/backends/body.ts'
import { KEY, makeCall, never, startBackend, startRaw } from './helpers/http-backend.ts'
import { withDeadline } from './helpers/deadline.ts'
import { sendJson, sendSse, startUpstream } from './helpers/upstream.ts'

test('http backend: body, method, path and query reach the upstream unchanged', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, { fine: true }, { 'x-request-id': 'r1' }))
  const body = Buffer.from('{"model":"m","n":1.0}')
  const answer = await startBackend(t, upstream.url).send(makeCall({ path: '/v1/chat/completions?a=b%20c', body }), KEY, never())
  equal(answer.status, 200)
  equal(answer.headers['x-request-id'], 'r1')
  equal(await readText(answer), '{"fine":true}')
  const seen = upstream.received[0]
  equal(seen?.method, 'POST')
  equal(seen?.url, '/v1/chat/completions?a=b%20c')
  deepStrictEqual(seen?.body, body)
  equal(seen?.headers['content-length'], String(body.length))
  equal(seen?.headers['transfer-encoding'], undefined)
  equal(seen?.headers['accept-encoding'], 'identity')
  equal(seen?.headers.host, `127.0.0.1:${upstream.port}`)
})

for (const [type, root, path] of [
  ['openai', '', '/v1/chat/completions'],
  ['openai', '/', '/v1/chat/completions'],
  ['openai', '/v1', '/v1/chat/completions'],
  ['openai', '/v1/', '/v1/chat/completions'],
  ['openai', '/api', '/api/v1/chat/completions'],
  ['openai', '/api/v1', '/api/v1/chat/completions'],
  ['openai', '/v1beta/openai', '/v1beta/openai/chat/completions'],
  ['openai', '/api/paas/v4', '/api/paas/v4/chat/completions'],
  ['anthropic', '/v1', '/v1/chat/completions'],
  ['anthropic', '/v1/gateway/anthropic', '/v1/gateway/anthropic/v1/chat/completions'],
] as const) {
  test(`X10: ${type} root "${root}" gives ${path}`, async (t) => {
    const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
    await readText(await startBackend(t, upstream.url + root, { type }).send(makeCall(), KEY, never()))
    equal(upstream.received[0]?.url, path)
  })
}

test('http backend: an anthropic backend gets x-api-key and a version when the client sent none', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url, { type: 'anthropic', speaks: ['anthropic'] })
  await readText(await backend.send(makeCall({ dialect: 'anthropic' }), KEY, never()))
  await readText(await backend.send(makeCall({ dialect: 'anthropic', headers: { 'anthropic-version': '2099-01-01' } }), KEY, never()))
  const [first, second] = upstream.received
  equal(first?.headers['x-api-key'], KEY.value)
  equal(first?.headers.authorization, undefined)
  equal(first?.headers['anthropic-version'], '2023-06-01')
  equal(second?.headers['anthropic-version'], '2099-01-01')
})

test('http backend: an openai backend gets a bearer, and a version too when it is spoken to in anthropic', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url)
  await readText(await backend.send(makeCall(), KEY, never()))
  await readText(await backend.send(makeCall({ dialect: 'anthropic' }), KEY, never()))
  const [chat, anthropic] = upstream.received
  equal(chat?.headers.authorization, `Bearer ${KEY.value}`)
  equal(chat?.headers['anthropic-version'], undefined)
  equal(anthropic?.headers.authorization, `Bearer ${KEY.value}`)
  equal(anthropic?.headers['anthropic-version'], '2023-06-01')
})

test('http backend: no credential is sent without a key', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  await readText(await startBackend(t, upstream.url).send(makeCall(), undefined, never()))
  await readText(await startBackend(t, upstream.url).send(makeCall(), { ...KEY, value: '' }, never()))
  for (const seen of upstream.received) equal(seen.headers.authorization, undefined)
  equal(upstream.received.length, 2)
})

test('http backend: the user agent names dario first, then the client', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url)
  await readText(await backend.send(makeCall({ headers: { 'user-agent': 'tool/9' } }), KEY, never()))
  await readText(await backend.send(makeCall(), KEY, never()))
  deepStrictEqual(upstream.received.map((seen) => seen.headers['user-agent']), ['dario/1.2.3 (tool/9)', 'dario/1.2.3'])
})

test('H3: beta tokens of client and configuration are merged; H4: dropped ones are not sent', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url, { headers: { 'Anthropic-Beta': 'ours,both' }, dropBetas: ['bad'] })
  await readText(await backend.send(makeCall({ dialect: 'anthropic', headers: { 'anthropic-beta': 'theirs, both,bad' } }), KEY, never()))
  await readText(await backend.send(makeCall({ dialect: 'chat' }), KEY, never()))
  deepStrictEqual(upstream.received.map((seen) => seen.headers['anthropic-beta']), ['theirs,both,ours', undefined])
})

test('http backend: configured headers replace the client\'s, once', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url, { headers: { 'X-Title': 'configured é 😀' } })
  await readText(await backend.send(makeCall({ headers: { 'x-title': 'client' } }), KEY, never()))
  const titles = upstream.received[0]?.rawHeaders.filter((_, index, all) => index % 2 === 1 && all[index - 1]?.toLowerCase() === 'x-title')
  deepStrictEqual(titles, [Buffer.from('configured é 😀').toString('latin1')])
})

test('http backend: configured headers replace ours, once, but for what frames the request', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const headers = { Host: 'virtual.test', Authorization: 'Basic x', Connection: 'close', 'Content-Length': '5', 'Transfer-Encoding': 'chunked' }
  await readText(await startBackend(t, upstream.url, { headers }).send(makeCall(), KEY, never()))
  const { rawHeaders = [] } = upstream.received[0] ?? {}
  const sent = rawHeaders.flatMap((name, at) => at % 2 === 0 && name !== 'content-type' && name !== 'user-agent' ? [`${name}: ${rawHeaders[at + 1]}`] : [])
  deepStrictEqual(sent, ['host: virtual.test', 'connection: keep-alive', 'accept-encoding: identity', 'authorization: Basic x', 'content-length: 13'])
})

test('http backend: sequential requests share one connection', async (t) => {
  const ports = new Set<number | undefined>()
  const upstream = await startUpstream(t, (_, response, message) => {
    ports.add(message.socket.remotePort)
    sendJson(response, 200, {})
  })
  const backend = startBackend(t, upstream.url)
  for (let count = 0; count < 5; count++) {
    await readText(await backend.send(makeCall(), KEY, never()))
    await new Promise(setImmediate) // the socket returns to the agent in the tick after the end
  }
  equal(ports.size, 1)
})

test('http backend: a kept-alive socket that died is replaced without an error', async (t) => {
  const ok200 = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
  const raw = await startRaw(t, (socket, connection) => {
    socket.write(ok200)
    // The first connection resets at its second request, as a server does whose idle limit just passed.
    if (connection === 1) socket.once('data', () => socket.resetAndDestroy())
  })
  const backend = startBackend(t, raw.url)
  equal(await readText(await backend.send(makeCall(), KEY, never())), 'ok')
  await new Promise(setImmediate)
  equal(await readText(await backend.send(makeCall(), KEY, never())), 'ok')
  equal(raw.sockets.length, 2)
})

test('http backend: a kept-alive socket that the system aborted, as Windows does in another network, is replaced too', async (t) => {
  const raw = await startRaw(t, (socket) => { socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok') })
  const backend = startBackend(t, raw.url)
  equal(await readText(await backend.send(makeCall(), KEY, never())), 'ok')
  t.mock.method(Socket.prototype, 'write', function (this: Socket) {
    this.destroy(Object.assign(new Error(), { code: 'ECONNABORTED' }))
  }, { times: 1 })
  equal(await readText(await backend.send(makeCall(), KEY, never())), 'ok')
  equal(raw.sockets.length, 2)
})

test('http backend: a new socket that is reset is an error at once, without a second request', async (t) => {
  const raw = await startRaw(t, (socket) => socket.resetAndDestroy())
  await rejects(startBackend(t, raw.url).send(makeCall(), KEY, never()), { code: 'upstream_unreachable' })
  equal(raw.sockets.length, 1)
})

test('Z10: a redirect is not followed and only its host is named', async (t) => {
  const upstream = await startUpstream(t, (_, response) => {
    response.writeHead(307, { location: 'https://elsewhere.example/path?secret=1' }).end()
  })
  await rejects(startBackend(t, upstream.url).send(makeCall(), KEY, never()), (error: Error & { code: string }) => {
    equal(error.code, 'upstream_error')
    match(error.message, /elsewhere\.example/)
    doesNotMatch(error.message, /secret/)
    return true
  })
  equal(upstream.received.length, 1)
})

test('http backend: an error status is an answer, not an error', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 429, { error: 1 }, { 'retry-after': '7' }))
  const answer = await startBackend(t, upstream.url).send(makeCall(), KEY, never())
  equal(answer.status, 429)
  equal(answer.headers['retry-after'], '7')
  equal(await readText(answer), '{"error":1}')
})

test('http backend: an abort before headers reaches the upstream and rejects with its reason', async (t) => {
  const control = new AbortController()
  const reason = new Error('client left')
  let closed: Promise<unknown> | undefined
  const upstream = await startUpstream(t, (_, response) => {
    closed = once(response, 'close')
    control.abort(reason)
  })
  await rejects(startBackend(t, upstream.url).send(makeCall(), KEY, control.signal), (error) => error === reason)
  await withDeadline(closed ?? Promise.reject(new Error('not asked')), 2_000, 'upstream sees the abort')
})

test('http backend: an abort within the body destroys it with the reason and the socket with it', async (t) => {
  const control = new AbortController()
  const reason = new Error('client left')
  let closed: Promise<unknown> | undefined
  const upstream = await startUpstream(t, (_, response) => {
    closed = once(response, 'close')
    response.write('first')
  })
  const answer = await startBackend(t, upstream.url).send(makeCall(), KEY, control.signal)
  const failed = rejects(readText(answer), (error) => error === reason)
  control.abort(reason)
  await failed
  await withDeadline(closed ?? Promise.reject(new Error('not asked')), 2_000, 'upstream sees the abort')
})

test('http backend: a signal that is aborted already sends nothing', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const reason = new Error('too late')
  await rejects(startBackend(t, upstream.url).send(makeCall(), KEY, AbortSignal.abort(reason)), (error) => error === reason)
  equal(upstream.received.length, 0)
})

test('http backend: no listener stays on the signal when the answer is over', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendSse(response, ['data: 1\n\n']))
  const signal = never()
  let listeners = 0
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = (...all: Parameters<typeof addEventListener>) => { listeners++; addEventListener.apply(signal, all) }
  signal.removeEventListener = (...all: Parameters<typeof removeEventListener>) => { listeners--; removeEventListener.apply(signal, all) }
  const answer = await startBackend(t, upstream.url).send(makeCall(), KEY, signal)
  equal(listeners, 1)
  await readText(answer)
  equal(listeners, 0)
})

test('http backend: answers that come at the same time over many connections keep their own bytes', async (t) => {
  const upstream = await startUpstream(t, async (request, response) => {
    for (let piece = 0; piece < 200; piece++) {
      response.write(`${String(request.body)}${piece} `.repeat(piece % 20 === 0 ? 2_000 : 1))
      if (piece % 3 === 0) await new Promise(setImmediate)
    }
    response.end()
  })
  const backend = startBackend(t, upstream.url)
  const expected = (name: string): string => Array.from({ length: 200 }, (_, piece) => `${name}${piece} `.repeat(piece % 20 === 0 ? 2_000 : 1)).join('')
  await Promise.all(Array.from({ length: 20 }, async (_, index) => {
    const name = `answer ${index}:`
    const { body } = await backend.send(makeCall({ body: name }), KEY, never())
    const pieces: Buffer[] = []
    await new Promise<void>((resolve, reject) => body.read({
      data(bytes) {
        pieces.push(bytes)
        if (pieces.length % 7 !== index % 7) return
        body.pause()
        setImmediate(body.resume)
      },
      end: resolve,
      fail: reject,
    }))
    equal(Buffer.concat(pieces).toString(), expected(name))
  }))
})

test('http backend: 3 MB of body come and go whole', async (t) => {
  const upstream = await startUpstream(t, (request, response) => { response.end(request.body) })
  const body = Buffer.alloc(3_000_000, 'abcdefg')
  const text = await readText(await startBackend(t, upstream.url).send(makeCall({ body }), KEY, never()))
  ok(text === body.toString())
})

test('Z6: a key with a character that HTTP forbids is refused without showing it', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const key = { ...KEY, value: 'sk-secret\nx: y' }
  await rejects(startBackend(t, upstream.url).send(makeCall(), key, never()), (error: Error & { code: string }) => {
    equal(error.code, 'config_invalid')
    doesNotMatch(JSON.stringify([error.message, String(error.cause), error.stack]), /sk-secret/)
    return true
  })
})

test('Z10: a path cannot choose the host or add a header', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url)
  await rejects(backend.send(makeCall({ path: '/v1/x HTTP/1.1\r\nx: y' }), KEY, never()), { code: 'invalid_request' })
  await readText(await backend.send(makeCall({ path: '/v1//evil.example/@evil.example' }), KEY, never()))
  equal(upstream.received[0]?.url, '/v1//evil.example/@evil.example')
})
