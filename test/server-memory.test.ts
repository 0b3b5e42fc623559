/**
 * HTTP in memory: nothing listens, everything else is as over a socket.
 * @module
 */
import { deepStrictEqual, rejects, strictEqual } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createFetch, createMemoryConnection } from '../src/server/memory.ts'
import { withDeadline } from './helpers/deadline.ts'
import { makeServer } from './helpers/server.ts'
import type { TestServer, TestServerOptions } from './helpers/server.ts'

type MemoryServer = Pick<TestServer, 'listener' | 'seen'> & { fetch: (request: Request) => Promise<Response> }

function inMemory(context: TestContext, options: TestServerOptions = {}): MemoryServer {
  const { listener, seen } = makeServer(options)
  context.after(() => listener.close(0))
  return { listener, seen, fetch: createFetch(listener.server) }
}

function post(body: NonNullable<RequestInit['body']>, init: RequestInit = {}): Request {
  return new Request('https://api.example/v1/messages?beta=true', { method: 'POST', body, duplex: 'half', ...init })
}

test('memory: fetch passes method, path, headers and body, and counts as this machine', async (context) => {
  const { fetch, seen, listener } = inMemory(context)
  const answer = await fetch(post('{"a":1}', { headers: { 'x-api-key': 'dario-test-key', 'content-type': 'application/json' } }))
  strictEqual(answer.status, 200)
  strictEqual(answer.headers.get('content-type'), 'application/json')
  strictEqual((await answer.json() as { path: string }).path, '/v1/messages?beta=true')
  strictEqual(seen[0]?.body.toString(), '{"a":1}')
  strictEqual(seen[0]?.headers['content-type'], 'application/json')
  strictEqual(seen[0]?.loopback, true)
  strictEqual(listener.server.listening, false)
})

test('memory: an error status and a bodyless answer are answers', async (context) => {
  const { fetch } = inMemory(context)
  strictEqual((await fetch(new Request('http://x/v1/nothing'))).status, 404)
  const head = await fetch(new Request('http://x/health', { method: 'HEAD' }))
  strictEqual(head.status, 200)
  strictEqual(head.body, null)
})

test('memory: 3 MB go there and back unchanged', async (context) => {
  const { fetch } = inMemory(context, { maxBodyBytes: 10_000_000, answer: (incoming, response) => void response.end(incoming.body) })
  const bytes = randomBytes(3_000_000)
  const answer = await withDeadline(fetch(post(bytes)), 5_000, 'the answer')
  deepStrictEqual(Buffer.compare(Buffer.from(await answer.arrayBuffer()), bytes), 0)
})

test('memory: a streamed request body is streamed', async (context) => {
  const { fetch, seen } = inMemory(context)
  const body = new ReadableStream({
    async start(controller) {
      for (const word of ['one ', 'two ', 'three']) {
        controller.enqueue(new TextEncoder().encode(word))
        await new Promise((resolve) => setImmediate(resolve))
      }
      controller.close()
    },
  })
  await (await fetch(post(body))).text()
  strictEqual(seen[0]?.body.toString(), 'one two three')
})

test('memory: an answer arrives as it is written', async (context) => {
  let running: ServerResponse | undefined
  const { fetch } = inMemory(context, {
    answer: (_incoming, response) => {
      running = response
      response.write('first')
    },
  })
  const reader = (await fetch(post('{}'))).body?.getReader()
  strictEqual(Buffer.from((await reader?.read())?.value ?? []).toString(), 'first')
  running?.end('second')
  strictEqual(Buffer.from((await reader?.read())?.value ?? []).toString(), 'second')
  strictEqual((await reader?.read())?.done, true)
})

test('memory: a reader that stops makes the writer wait', async (context) => {
  let drained = false
  let blocked = (): void => {}
  const full = new Promise<void>((resolve) => (blocked = resolve))
  const { fetch } = inMemory(context, {
    answer: (_incoming, response) => {
      response.on('drain', () => (drained = true))
      let written = 0
      while (response.write(Buffer.alloc(65_536)) || written < 4) written++
      blocked()
    },
  })
  const reader = (await fetch(post('{}'))).body?.getReader()
  await full
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  strictEqual(drained, false)
  for (let size = 0; size < 6 * 65_536 && !drained;) size += (await withDeadline(reader?.read() ?? fail(), 5_000, 'a chunk')).value?.length ?? 0
  for (let turn = 0; turn < 50 && !drained; turn++) await new Promise((resolve) => setImmediate(resolve))
  strictEqual(drained, true)
  await reader?.cancel()
})

function fail(): never {
  throw new Error('no body')
}

test('memory: an abort before the answer rejects with its reason and reaches the server', async (context) => {
  const controller = new AbortController()
  let left = (): void => {}
  const gone = new Promise<void>((resolve) => (left = resolve))
  const { fetch } = inMemory(context, {
    answer: (_incoming, response) => {
      response.on('close', left)
      controller.abort(new Error('changed my mind'))
    },
  })
  await rejects(withDeadline(fetch(post('{}', { signal: controller.signal })), 5_000, 'the abort'), /changed my mind/)
  await withDeadline(gone, 5_000, 'the server sees it')
})

test('memory: a request that is aborted already never reaches the server', async (context) => {
  const { fetch, seen } = inMemory(context)
  await rejects(fetch(post('{}', { signal: AbortSignal.abort(new Error('too late')) })), /too late/)
  strictEqual(seen.length, 0)
})

for (const way of ['abort', 'cancel'] as const) {
  test(`memory: ${way} within the answer reaches the server`, async (context) => {
    const controller = new AbortController()
    let left = (): void => {}
    const gone = new Promise<void>((resolve) => (left = resolve))
    const { fetch } = inMemory(context, {
      answer: (_incoming, response) => {
        response.on('close', left)
        response.write('first')
      },
    })
    const reader = (await fetch(post('{}', { signal: controller.signal }))).body?.getReader()
    await reader?.read()
    if (way === 'cancel') await reader?.cancel()
    else {
      controller.abort(new Error('enough'))
      await rejects(withDeadline(reader?.read() ?? fail(), 5_000, 'the abort'), /enough/)
    }
    await withDeadline(gone, 5_000, 'the server sees it')
  })
}

test('memory: an answer that is cut is an error, not an end', async (context) => {
  const { fetch } = inMemory(context, {
    answer: (_incoming, response) => void response.write('first', () => setImmediate(() => response.destroy())),
  })
  const answer = await fetch(post('{}'))
  await rejects(withDeadline(answer.text(), 5_000, 'the cut'))
})

test('memory: a request body that fails rejects', async (context) => {
  const { fetch, seen } = inMemory(context)
  const body = new ReadableStream({
    pull(controller) {
      controller.error(new Error('no more'))
    },
  })
  await rejects(withDeadline(fetch(post(body)), 5_000, 'the failure'), /no more/)
  strictEqual(seen.length, 0)
})

test('memory: http.request runs over a connection without an agent', async (context) => {
  const { listener } = inMemory(context)
  const call = request({ createConnection: () => createMemoryConnection(listener.server), path: '/health', host: 'localhost' })
  call.end()
  const [message] = await withDeadline(once(call, 'response'), 5_000, 'the answer') as [IncomingMessage]
  strictEqual(message.statusCode, 200)
  message.resume()
  await withDeadline(once(message, 'close'), 5_000, 'the end')
})

test('memory: 200 requests at once are kept apart', async (context) => {
  const { fetch } = inMemory(context)
  const texts = await Promise.all(Array.from({ length: 200 }, async (_, index) => {
    const answer = await fetch(post(`{"n":${index}}`))
    return (await answer.json() as { body: string }).body
  }))
  deepStrictEqual(texts, Array.from({ length: 200 }, (_, index) => `{"n":${index}}`))
})

test('memory: close ends connections in memory too', async (context) => {
  const { fetch, listener } = inMemory(context, { answer: (_incoming, response) => void response.write('first') })
  const answer = await fetch(post('{}'))
  const cut = rejects(answer.text())
  await withDeadline(listener.close(10), 3_000, 'close')
  await cut
})
