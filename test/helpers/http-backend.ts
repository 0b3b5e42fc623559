/**
 * An HTTP backend with short settings, a call for it, and a raw TCP server for what no HTTP library would send.
 * @module
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { Backend, Call, Key } from '../../src/backends/backend.ts'
import { createHttpBackend } from '../../src/backends/http.ts'
import type { HttpBackendOptions } from '../../src/backends/outgoing.ts'
import { withDeadline } from './deadline.ts'

export const KEY: Key = { label: 'up#1', value: 'sk-test-upstream-key', weight: 1 }

export function startBackend(context: TestContext, baseUrl: string, options: Partial<HttpBackendOptions> = {}): Backend {
  const backend = createHttpBackend({
    id: 'up',
    type: 'openai',
    baseUrl,
    speaks: ['chat'],
    keys: [KEY],
    timeouts: { connect: 2_000, firstByte: 5_000, silence: 5_000 },
    headers: {},
    dropBetas: [],
    version: '1.2.3',
    environment: {},
    ...options,
  })
  context.after(() => withDeadline(backend.close(), 20_000, 'the backend\'s close'))
  return backend
}

export function makeCall(call: Partial<Call> = {}): Call {
  return {
    method: 'POST',
    path: '/v1/chat/completions',
    dialect: 'chat',
    model: 'm',
    stream: false,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from('{"model":"m"}'),
    session: undefined,
    loopback: true,
    ...call,
  }
}

export function never(): AbortSignal {
  return new AbortController().signal
}

/** `answer` runs per connection, once its first bytes are there. */
export async function startRaw(
  context: TestContext, answer: (socket: Socket, connection: number) => void,
): Promise<{ url: string; port: number; sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    const connection = sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => answer(socket, connection))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, sockets }
}
