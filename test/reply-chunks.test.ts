import { deepEqual, equal } from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { text } from 'node:stream/consumers'
import { anthropicDialect } from '../src/dialects/anthropic/dialect.ts'
import { createReply } from '../src/exchange/reply.ts'
import type { Reply } from '../src/exchange/reply.ts'

/** What a client reads off its socket when `answer` writes. */
async function read(version: string, answer: (reply: Reply, response: ServerResponse) => void): Promise<string> {
  const server = createServer((_request, response) => {
    const reply = createReply(response, { dialect: anthropicDialect, record: { id: 'req_1', stream: true, responseBytes: 0 }, keepAlive: 60_000, stalledReader: 60_000 })
    answer(reply, response)
    reply.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.write(`GET / HTTP/${version}\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
    const all = await text(socket)
    return all.slice(all.indexOf('\r\n\r\n') + 4)
  } finally {
    server.close()
  }
}

test('reply: bytes, text of several bytes a character and long pieces come framed by their length in bytes', async () => {
  const long = 'x'.repeat(20_000)
  const raw = await read('1.1', (reply) => {
    reply.head(200, {})
    reply.write(Buffer.from('abc'))
    reply.write('naïve ✓')
    reply.write(long)
    reply.end('end')
  })
  equal(raw, `3\r\nabc\r\na\r\nnaïve ✓\r\n4e20\r\n${long}\r\n3\r\nend\r\n0\r\n\r\n`)
})

test('reply: an empty piece does not end the answer', async () => {
  const raw = await read('1.1', (reply) => {
    reply.head(200, {})
    reply.write('')
    reply.write(Buffer.alloc(0))
    reply.end('all')
  })
  equal(raw, '3\r\nall\r\n0\r\n\r\n')
})

test('reply: an HTTP/1.0 client, and an answer of known length, get the bytes without frames', async () => {
  equal(await read('1.0', (reply) => {
    reply.head(200, {})
    reply.write('abc')
    reply.end()
  }), 'abc')
  equal(await read('1.1', (reply) => {
    reply.head(200, { 'content-length': 3 })
    reply.write('abc')
    reply.end()
  }), 'abc')
})

test('reply: what stands in the place of response.write sees the bytes as they were meant', async () => {
  const seen: string[] = []
  const raw = await read('1.1', (reply, response) => {
    const write = response.write.bind(response) as (chunk: unknown) => boolean
    response.write = ((chunk: unknown) => {
      seen.push(String(chunk))
      return write(chunk)
    }) as typeof response.write
    reply.head(200, {})
    reply.write(Buffer.from('abc'))
    reply.end()
  })
  deepEqual(seen, ['abc'])
  equal(raw, '3\r\nabc\r\n0\r\n\r\n')
})
