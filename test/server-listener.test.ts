/**
 * Where the server binds, what it says when it cannot, and how it stops.
 * @module
 */
import { deepStrictEqual, match, notStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Server as NetServer, connect, createServer as createNetServer } from 'node:net'
import type { AddressInfo, ListenOptions } from 'node:net'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { DarioError } from '../src/errors.ts'
import { withDeadline } from './helpers/deadline.ts'
import { makeServer, startServer } from './helpers/server.ts'

const HAS_IPV6 = Object.values(networkInterfaces()).flat().some((address) => address?.address === '::1')

async function occupy(context: TestContext, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  const server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** A POST whose answer is open: resolves when its first bytes are here. */
async function openAnswer(port: number): Promise<{ text: () => string; closed: Promise<unknown> }> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('error', () => {})
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk))
  const closed = once(socket, 'close')
  socket.write('POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}')
  while (!text.includes('first')) await withDeadline(once(socket, 'data'), 5_000, 'the answer begins')
  return { text: () => text, closed: withDeadline(closed, 5_000, 'the connection ends') }
}

test('listener: both loopback addresses answer on one port', async (context) => {
  const { port } = await startServer(context)
  for (const host of HAS_IPV6 ? ['127.0.0.1', '[::1]'] : ['127.0.0.1']) {
    const answer = await fetch(`http://${host}:${port}/health`)
    strictEqual(answer.status, 200)
  }
})

test('listener: a connection over IPv6 counts as this machine', async (context) => {
  const { port, seen } = await startServer(context)
  const host = HAS_IPV6 ? '[::1]' : '127.0.0.1'
  await (await fetch(`http://${host}:${port}/v1/files`)).text()
  strictEqual(seen[0]?.loopback, true)
})

for (const host of ['0.0.0.0', '::', '192.168.0.7', 'box.lan', '127.evil']) {
  test(`Z4: the address ${host} is refused without an access key, with the way to make one`, async () => {
    const { listener } = makeServer({ host })
    await rejects(listener.listen(), (error) => error instanceof DarioError && error.code === 'config_invalid'
      && /dario key add/.test(error.message))
  })
}

test('Z4: an open address is served with an access key', async (context) => {
  const guard = { accessKeys: [{ name: 'a', hash: '0'.repeat(64) }], boundToLoopback: false }
  const { port } = await startServer(context, { host: '0.0.0.0', guard })
  strictEqual((await fetch(`http://127.0.0.1:${port}/v1/files`)).status, 401)
})

test('W3: a dario on the port is named with its version and the next port', async (context) => {
  const { port } = await startServer(context)
  const { listener } = makeServer({ port })
  await rejects(listener.listen(), (error) => {
    ok(error instanceof DarioError)
    strictEqual(error.code, 'conflict')
    match(error.message, /dario 1\.2\.3 already runs/)
    match(error.message, new RegExp(`--port ${port + 1}`))
    return true
  })
})

const OTHERS: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {
  'answers something else': (_request, response) => void response.end('<html>'),
  'answers other JSON': (_request, response) => void response.end('{"name":"else"}'),
  'never answers': () => {},
  'answers without end': (_request, response) => void response.write('x'.repeat(1_000_000)),
}
for (const [title, answer] of Object.entries(OTHERS)) {
  test(`W3: a program on the port that ${title} is another program`, async (context) => {
    const port = await occupy(context, answer)
    const { listener } = makeServer({ port })
    await rejects(withDeadline(listener.listen(), 5_000, 'listen gives up'), /taken by another program.*--port/)
  })
}

/** Another program on a port of `::1`; nobody is on that of `127.0.0.1`. */
async function occupyIpv6(context: TestContext): Promise<number> {
  const other = createNetServer((socket) => socket.destroy())
  other.listen(0, '::1')
  await once(other, 'listening')
  context.after(() => other.close())
  return (other.address() as AddressInfo).port
}

test('W3: a port that is taken on IPv6 only is taken, and the other address is free again', async (context) => {
  if (!HAS_IPV6) return
  const port = await occupyIpv6(context)
  await rejects(makeServer({ port }).listener.listen(), /taken by another program/)
  const again = createNetServer()
  again.listen(port, '127.0.0.1')
  await once(again, 'listening')
  again.close()
})

test('listener: any free port is one that is free on both addresses', async (context) => {
  if (!HAS_IPV6) return
  const taken = await occupyIpv6(context)
  const { listen } = NetServer.prototype
  const chance = function (this: NetServer, given: ListenOptions): NetServer {
    return listen.call(this, { ...given, port: taken })
  }
  context.mock.method(NetServer.prototype, 'listen', chance as typeof listen, { times: 1 })
  const { port } = await startServer(context)
  notStrictEqual(port, taken)
})

test('listener: close lets a running answer finish, then ends its connection', async (context) => {
  let finish = (): void => {}
  const { port, listener, ended } = await startServer(context, {
    answer: (_incoming, response) => {
      response.write('first')
      finish = () => response.end('last')
    },
  })
  const answer = await openAnswer(port)
  const closed = listener.close(5_000)
  finish()
  await withDeadline(closed, 2_000, 'close')
  await answer.closed
  match(answer.text(), /first[^]*last[^]*0\r\n\r\n$/)
  strictEqual(ended.length, 1)
  await rejects(fetch(`http://127.0.0.1:${port}/health`))
})

test('listener: after the grace answers are ended in-protocol', async (context) => {
  let running: ServerResponse | undefined
  const { port, listener, ended } = await startServer(context, {
    answer: (_incoming, response) => {
      running = response
      response.write('first')
    },
    endAll: (error) => running?.end(`event: error ${error.code}`),
  })
  const answer = await openAnswer(port)
  await withDeadline(listener.close(50), 2_000, 'close')
  await answer.closed
  match(answer.text(), /event: error overloaded/)
  deepStrictEqual(ended.map((error) => error.status), [529])
})

test('listener: an answer that ignores even that is cut', async (context) => {
  const { port, listener } = await startServer(context, { answer: (_incoming, response) => void response.write('first') })
  const answer = await openAnswer(port)
  await withDeadline(listener.close(10), 3_000, 'close')
  await answer.closed
  strictEqual(answer.text().endsWith('0\r\n\r\n'), false)
})

test('listener: idle connections and open pages do not delay close', async (context) => {
  const { port, listener } = await startServer(context, {
    handler: { pages: { '/events': { serve: (_request, response) => void response.write('first') } } },
  })
  const idle = connect(port, '127.0.0.1')
  await once(idle, 'connect')
  idle.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(idle, 'data')
  const page = get({ port, host: '127.0.0.1', path: '/events' })
  page.on('error', () => {})
  const [response] = await once(page, 'response') as [IncomingMessage]
  response.on('error', () => {})
  await withDeadline(listener.close(10_000), 2_000, 'close')
})

test('listener: closed while it was being opened, its port is free again', async () => {
  const { listener } = makeServer()
  const opening = listener.listen()
  await listener.close(0)
  const { port } = await opening
  const socket = connect(port, '127.0.0.1')
  const [error] = await withDeadline(once(socket, 'error'), 5_000, 'the refusal') as [NodeJS.ErrnoException]
  strictEqual(error.code, 'ECONNREFUSED')
})

test('listener: closing twice and closing what never listened are fine', async () => {
  const { listener } = makeServer()
  await withDeadline(Promise.all([listener.close(), listener.close(0)]), 1_000, 'close')
})
