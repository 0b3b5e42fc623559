import { deepStrictEqual, equal, match, rejects } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { readText } from '../src/backends/body.ts'
import { createConnections } from '../src/backends/connections.ts'
import type { Connections } from '../src/backends/connections.ts'
import { createConnector } from '../src/backends/tunnel.ts'
import { withDeadline } from './helpers/deadline.ts'
import { KEY, makeCall, never, startBackend, startRaw } from './helpers/http-backend.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

const FINE = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'

test('connections: requests at the same time have one each, and the next ones use them again', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url)
  let sockets = 0
  upstream.server.on('connection', () => sockets++)
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 4 }, async () => await readText(await backend.send(makeCall(), KEY, never()))))
  }
  equal(sockets, 4)
})

for (const [title, first] of [
  ['that says connection: close', FINE.replace('content-length', 'connection: close\r\ncontent-length')],
  ['that keeps it for one second only', FINE.replace('content-length', 'keep-alive: timeout=1\r\ncontent-length')],
  ['with more bytes than its length', `${FINE}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n"evil"`],
] as const) {
  test(`connections: an answer ${title} is the last one on its connection`, async (t) => {
    const raw = await startRaw(t, (socket, connection) => socket.write(connection === 1 ? first : FINE))
    const backend = startBackend(t, raw.url)
    for (let round = 0; round < 2; round++) equal(await readText(await backend.send(makeCall(), KEY, never())), '{}')
    equal(raw.sockets.length, 2)
  })
}

test('connections: an answer that nobody asked for is not taken for the next one', async (t) => {
  const raw = await startRaw(t, (socket) => socket.write(FINE))
  const backend = startBackend(t, raw.url)
  await readText(await backend.send(makeCall(), KEY, never()))
  const closed = once(raw.sockets[0]!, 'close')
  raw.sockets[0]!.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n"evil"')
  await withDeadline(closed, 2_000, 'the connection is closed')
  equal(await readText(await backend.send(makeCall(), KEY, never())), '{}')
})

test('connections: an answer before the whole request was read is told, and its connection not used again', async (t) => {
  const raw = await startRaw(t, (socket, connection) => {
    if (connection === 1) socket.pause()
    socket.write(connection === 1 ? 'HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}' : FINE)
  })
  const backend = startBackend(t, raw.url)
  const early = await backend.send(makeCall({ body: Buffer.alloc(20_000_000, 'x') }), KEY, never())
  deepStrictEqual([early.status, await readText(early)], [413, '{}'])
  equal((await backend.send(makeCall(), KEY, never())).status, 200)
  equal(raw.sockets.length, 2)
})

test('connections: each answer goes to who asked, over a hundred requests that overlap', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    const wait = Number(/\d+/.exec(request.body.toString())) % 7
    setTimeout(() => sendJson(response, 200, { got: request.body.toString() }), wait)
  })
  const backend = startBackend(t, upstream.url)
  await Promise.all(Array.from({ length: 100 }, async (_, index) => {
    const body = JSON.stringify({ index })
    const answer = await readText(await backend.send(makeCall({ body: Buffer.from(body) }), KEY, never()))
    equal(answer, JSON.stringify({ got: body }))
  }))
})

test('connections: a header of the client cannot end the head or begin another', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, {}))
  const backend = startBackend(t, upstream.url)
  for (const value of ['a\r\nx-evil: 1', 'a\nb', 'a\0b', 'snowman ☃']) {
    await rejects(backend.send(makeCall({ headers: { 'x-own': value } }), KEY, never()), { code: 'config_invalid' })
  }
  equal(upstream.received.length, 0)
})

test('connections: a kept connection does not keep a program alive, a request does', async (t) => {
  const upstream = await startUpstream(t, (_, response) => {
    setTimeout(() => sendJson(response, 200, { late: true }), 200)
  })
  const program = `
    import { createProxy } from ${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)}
    const proxy = createProxy({ backends: { up: { type: 'openai', baseUrl: ${JSON.stringify(upstream.url)}, keys: ['k'] } }, environment: {} })
    const answer = await proxy.fetch(new Request('http://localhost/v1/chat/completions', { method: 'POST', body: '{"model":"up:m"}' }))
    console.log(await answer.text())`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill())
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
  const [code] = await withDeadline(once(child, 'close'), 20_000, 'the program ends')
  equal(code, 0)
  match(output, /"late":true/)
})

test('connections: a kept one that breaks inside the head of an answer is an error: the request was read, and is not sent twice', async (t) => {
  const raw = await startRaw(t, (socket) => {
    socket.write(FINE)
    socket.once('data', () => socket.end('HTTP/1.1 200 O'))
  })
  const backend = startBackend(t, raw.url)
  await readText(await backend.send(makeCall(), KEY, never()))
  await rejects(backend.send(makeCall(), KEY, never()), { name: 'DarioError', code: 'upstream_unreachable' })
  equal(raw.sockets.length, 1)
})

for (const hour of [3_600_000, -3_600_000]) {
  test(`connections: none is used again when the clock went ${hour} ms on: the machine slept, or the clock was set`, async (t) => {
    const raw = await startRaw(t, (socket) => socket.write(FINE))
    const backend = startBackend(t, raw.url)
    await readText(await backend.send(makeCall(), KEY, never()))
    const { now } = Date
    t.mock.method(Date, 'now', () => now() + hour)
    await readText(await withDeadline(backend.send(makeCall(), KEY, never()), 2_000, 'answer'))
    equal(raw.sockets.length, 2)
  })
}

test('connections: close ends the requests under way, before their answers and within', async (t) => {
  const raw = await startRaw(t, (socket, connection) => {
    if (connection === 1) socket.write('HTTP/1.1 200 OK\r\n\r\nhalf')
  })
  const backend = startBackend(t, raw.url)
  const begun = readText(await backend.send(makeCall(), KEY, never()))
  const waits = backend.send(makeCall(), KEY, never())
  while (raw.sockets[1] === undefined) await setImmediate()
  await backend.close()
  for (const one of [begun, waits]) {
    await rejects(withDeadline<unknown>(one, 2_000, 'end'), { code: 'upstream_unreachable', message: 'backend up was closed' })
  }
})

/** One request over a kept connection, or a new one. */
async function askOnce(connections: Connections): Promise<void> {
  const connection = connections.take() ?? await connections.open()
  await new Promise<void>((resolve, reject) => connection.send('GET', 'GET / HTTP/1.1\r\n\r\n', undefined, {
    head() {}, body: () => true, end: resolve, fail: reject,
  }))
}

test('connections: none is used again in another network, where it would be silent for many minutes', async (t) => {
  const raw = await startRaw(t, (socket) => socket.write(FINE) && socket.on('data', () => socket.write(FINE)))
  const connector = createConnector(new URL(raw.url), undefined, 2_000, 'up')
  t.after(() => connector.close())
  let network = 'home'
  const connections = createConnections(connector, 60_000, () => network)
  let time = Date.now()
  t.mock.method(Date, 'now', () => time += 1_000)
  const opened: number[] = []
  for (network of ['home', 'home', 'train', 'train', 'home']) {
    await withDeadline(askOnce(connections), 2_000, 'answer')
    opened.push(raw.sockets.length)
  }
  deepStrictEqual(opened, [1, 1, 2, 2, 3])
})
