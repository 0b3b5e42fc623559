import { equal, match, ok, rejects } from 'node:assert/strict'
import { once } from 'node:events'
import { Socket, createServer } from 'node:net'
import type { AddressInfo, TcpSocketConnectOpts } from 'node:net'
import { test } from 'node:test'
import { MAX_TIMER } from '../src/config/values.ts'
import { readText } from '../src/backends/body.ts'
import { withDeadline } from './helpers/deadline.ts'
import { KEY, makeCall, never, startBackend, startRaw } from './helpers/http-backend.ts'
import { startUpstream } from './helpers/upstream.ts'

const LONG = 30_000

test('X4: no headers within firstByte is a timeout that names the setting, and the socket is closed', async (t) => {
  const raw = await startRaw(t, () => {})
  const backend = startBackend(t, raw.url, { timeouts: { connect: LONG, firstByte: 100, silence: LONG } })
  await rejects(backend.send(makeCall(), KEY, never()), (error: Error & { code: string }) => {
    equal(error.code, 'upstream_timeout')
    match(error.message, /backends\.up\.timeouts\.firstByte/)
    return true
  })
  const [socket] = raw.sockets
  ok(socket)
  if (!socket.destroyed) await withDeadline(once(socket, 'close'), 2_000, 'socket closes')
})

test('X4: silence within the body is a timeout that names the setting', async (t) => {
  const upstream = await startUpstream(t, (_, response) => { response.write('begun') })
  const backend = startBackend(t, upstream.url, { timeouts: { connect: LONG, firstByte: LONG, silence: 80 } })
  const answer = await backend.send(makeCall(), KEY, never())
  await rejects(withDeadline(readText(answer), 2_000, 'silence'), (error: Error & { code: string }) => {
    equal(error.code, 'upstream_timeout')
    match(error.message, /backends\.up\.timeouts\.silence/)
    return true
  })
})

test('X4: a stream longer than every timeout goes on as long as chunks come', async (t) => {
  const upstream = await startUpstream(t, (_, response) => {
    let count = 0
    const timer = setInterval(() => {
      response.write('.')
      if (++count === 20) {
        clearInterval(timer)
        response.end()
      }
    }, 100)
  })
  const backend = startBackend(t, upstream.url, { timeouts: { connect: 1_000, firstByte: 1_000, silence: 1_000 } })
  equal(await readText(await backend.send(makeCall(), KEY, never())), '.'.repeat(20))
})

test('X4: a reader that is slow is not silence of the upstream', async (t) => {
  const upstream = await startUpstream(t, (_, response) => { response.end(Buffer.alloc(2_000_000, 'x')) })
  const backend = startBackend(t, upstream.url, { timeouts: { connect: LONG, firstByte: LONG, silence: 500 } })
  const { body } = await backend.send(makeCall(), KEY, never())
  let size = 0
  const whole = new Promise<void>((resolve, reject) => body.read({
    data(chunk) {
      size += chunk.length
      if (size > 100_000) return
      body.pause()
      setTimeout(body.resume, 1_100) // over twice the limit
    },
    end: resolve,
    fail: reject,
  }))
  await withDeadline(whole, 20_000, 'end')
  equal(size, 2_000_000)
})

test('X4: silence is counted from when the reader goes on, not from the last chunk before it paused', async (t) => {
  const upstream = await startUpstream(t, (_, response) => { response.end(Buffer.alloc(2_000_000, 'x')) })
  const backend = startBackend(t, upstream.url, { timeouts: { connect: LONG, firstByte: LONG, silence: 1_000 } })
  const { body } = await backend.send(makeCall(), KEY, never())
  let size = 0
  const whole = new Promise<void>((resolve, reject) => body.read({
    data(chunk) {
      size += chunk.length
      if (size > chunk.length) return
      body.pause()
      const paused = performance.now()
      setTimeout(() => setImmediate(() => {
        body.resume()
        // The limit since the last chunk passes before anything can be read: behind an immediate timers come first.
        while (performance.now() < paused + 1_200) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
      }), 800)
    },
    end: resolve,
    fail: reject,
  }))
  await withDeadline(whole, 20_000, 'end')
  equal(size, 2_000_000)
})

test('X4: an answer that came whole may wait for its reader longer than the silence limit', async (t) => {
  const upstream = await startUpstream(t, (_, response) => { response.end('whole') })
  const backend = startBackend(t, upstream.url, { timeouts: { connect: LONG, firstByte: LONG, silence: 300 } })
  const answer = await backend.send(makeCall(), KEY, never())
  await new Promise((resolve) => setTimeout(resolve, 700))
  equal(await readText(answer), 'whole')
})

test('X4: a TLS server that never shakes hands is a connect timeout', async (t) => {
  const server = createServer((socket) => { socket.on('error', () => {}) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const backend = startBackend(t, `https://127.0.0.1:${port}`, { timeouts: { connect: 100, firstByte: LONG, silence: LONG } })
  await rejects(withDeadline(backend.send(makeCall(), KEY, never()), 2_000, 'connect'), (error: Error & { code: string }) => {
    equal(error.code, 'upstream_timeout')
    match(error.message, /backends\.up\.timeouts\.connect/)
    return true
  })
})

test('http backend: an abort while connecting rejects at once with its reason', async (t) => {
  const control = new AbortController()
  const reason = new Error('client left')
  const server = createServer((socket) => {
    socket.on('error', () => {})
    control.abort(reason)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const backend = startBackend(t, `https://127.0.0.1:${port}`, { timeouts: { connect: LONG, firstByte: LONG, silence: LONG } })
  await withDeadline(rejects(backend.send(makeCall(), KEY, control.signal), (error) => error === reason), 2_000, 'abort')
})

test('http backend: close ends connections that are being made', async (t) => {
  const server = createServer((socket) => { socket.on('error', () => {}) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const backend = startBackend(t, `https://127.0.0.1:${port}`, { timeouts: { connect: LONG, firstByte: LONG, silence: LONG } })
  const sent = rejects(backend.send(makeCall(), KEY, never()), { code: 'upstream_unreachable' })
  await once(server, 'connection')
  await backend.close()
  await withDeadline(sent, 2_000, 'close')
})

test('http backend: the longest timeout that a configuration may hold does not fire at once', async (t) => {
  const upstream = await startUpstream(t, (_, response) => { setTimeout(() => response.end('late'), 50) })
  const backend = startBackend(t, upstream.url, { timeouts: { connect: MAX_TIMER, firstByte: MAX_TIMER, silence: MAX_TIMER } })
  equal(await readText(await backend.send(makeCall(), KEY, never())), 'late')
})

for (const [way, url, environment] of [
  ['an http upstream', 'http://127.0.0.1:9', {}],
  ['an https upstream', 'https://127.0.0.1:9', {}],
  ['a proxy', 'https://a.test', { HTTPS_PROXY: 'http://127.0.0.1:9' }],
  ['a proxy over TLS', 'https://a.test', { HTTPS_PROXY: 'https://127.0.0.1:9' }],
] as const) {
  test(`http backend: each address of ${way} gets a tenth of the connect timeout, not the 250 ms that a slow network needs`, async (t) => {
    const dial = t.mock.method(Socket.prototype, 'connect')
    const timeouts = { connect: 20_000, firstByte: LONG, silence: LONG }
    await rejects(startBackend(t, url, { timeouts, environment }).send(makeCall(), KEY, never()), { code: 'upstream_unreachable' })
    const [given] = dial.mock.calls[0]?.arguments as unknown as [TcpSocketConnectOpts | [TcpSocketConnectOpts]]
    equal((Array.isArray(given) ? given[0] : given).autoSelectFamilyAttemptTimeout, 2_000)
  })
}
