import { deepStrictEqual, doesNotMatch, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { DIALECTS, END_MARKS, PAIRS, PATHS, STREAMS, STREAM_ERRORS, WHOLES, ask, wholeStream } from './helpers/answers.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, sendSse, startUpstream } from './helpers/upstream.ts'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { DialectName, ProxyOptions } from '../src/index.ts'
import type { TestProxy } from './helpers/proxy.ts'

const SSE = { 'content-type': 'text/event-stream' }

/** Ways in which a stream ends before its answer does. */
const CUTS: Record<string, (response: ServerResponse) => void> = {
  'closed cleanly': (response) => void response.end(),
  'reset': (response) => void setTimeout(() => response.destroy(), 20),
  'cut inside an event': (response) => void response.end('event: x\ndata: {"stump'),
}

async function start(context: TestContext, answer: (response: ServerResponse, count: number) => unknown, options: ProxyOptions = {}): Promise<TestProxy> {
  let count = 0
  const { url } = await startUpstream(context, (_, response) => void answer(response, count++))
  return startProxy(context, { backends: backendsAt(url), ...options })
}

for (const [client, backend] of PAIRS) {
  const { preamble, content, end } = STREAMS[backend]
  const way = `${client} client, ${backend} backend`

  for (const [how, cut] of Object.entries(CUTS)) {
    test(`broken: S15, S17: a stream ${how} in the middle ends with the error of the dialect and no clean end (${way})`, async (context) => {
      const { url, records } = await start(context, (response) => {
        response.writeHead(200, SSE)
        response.write(preamble + content.join(''))
        cut(response)
      })
      const text = await (await ask(url, client, `${backend}/m`, { stream: true })).text()
      match(text, /Hello/)
      match(text, / world/)
      doesNotMatch(text, END_MARKS[client])
      doesNotMatch(text, /stump/)
      match(text, STREAM_ERRORS[client])
      strictEqual(text.slice(text.search(STREAM_ERRORS[client])).trimEnd().split('\n\n').length, 1, 'nothing follows the error')
      if (client === backend) ok(text.startsWith(preamble + content.join('')))
      deepStrictEqual(records.map((record) => [record.end, record.status]), [['broken', 200]])
    })
  }

  test(`broken: F1: a stream that is cut before content is the next candidate's turn (${way})`, async (context) => {
    const { url, records } = await start(context, (response, count) => {
      response.writeHead(200, SSE)
      response.end(count === 0 ? preamble : wholeStream(backend))
    }, {})
    const alone = await ask(url, client, `${backend}/m`, { stream: true })
    strictEqual(alone.status, 502) // nobody else: the real status, nothing was sent yet
    await alone.text()
    strictEqual(records[0]?.end, 'failed')
    const { url: up } = await startUpstream(context, (request, response) =>
      sendSse(response, [request.headers['x-first'] === '1' ? preamble : wholeStream(backend)]))
    const both = backendsAt(up)
    const proxy = await startProxy(context, {
      backends: { one: { ...both[backend]!, headers: { 'x-first': '1' } }, two: both[backend]! }, routes: [{ model: '*', to: ['one', 'two'] }],
    })
    const response = await ask(proxy.url, client, 'm', { stream: true })
    const text = await response.text()
    deepStrictEqual([response.status, response.headers.get('dario-backend'), response.headers.get('dario-attempts')], [200, 'two', '2'])
    match(text, END_MARKS[client])
  })

  test(`broken: S33: a whole answer although a stream was asked becomes a stream (${way})`, async (context) => {
    const { url, records } = await start(context, (response) => sendJson(response, 200, WHOLES[backend]))
    const response = await ask(url, client, `${backend}/m`, { stream: true })
    const text = await response.text()
    match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
    match(text, /Hello world/)
    match(text, END_MARKS[client])
    strictEqual(records[0]?.end, 'complete')
  })

  test(`broken: S33: a stream although a whole answer was asked becomes one (${way})`, async (context) => {
    const { url } = await start(context, (response) => sendSse(response, [wholeStream(backend)]))
    const response = await ask(url, client, `${backend}/m`)
    match(response.headers.get('content-type') ?? '', /^application\/json/)
    const body = await response.text()
    match(body, /Hello world/)
    ok(JSON.parse(body))
  })

  test(`broken: a cut answer is an error status, never half a body, for clients that want JSON (${way})`, async (context) => {
    const { url } = await start(context, (response) => {
      response.writeHead(200, SSE)
      response.end(preamble + content.join(''))
    })
    const response = await ask(url, client, `${backend}/m`)
    strictEqual(response.status, 502)
    doesNotMatch(await response.text(), /Hello/)
  })

  test(`broken: S24: malformed and unknown events do not end a good answer (${way})`, async (context) => {
    const noise = 'data: {not json\n\nevent: future_event\ndata: {"type":"future_event","x":1}\n\n: comment\n\n'
    const { url, records } = await start(context, (response) => sendSse(response, [preamble + noise + content.join(noise) + noise + end]))
    const text = await (await ask(url, client, `${backend}/m`, { stream: true })).text()
    match(text, /Hello/)
    match(text, / world/)
    match(text, END_MARKS[client])
    strictEqual(records[0]?.end, 'complete')
  })

  test(`broken: S16: an answer without its last blank line is whole (${way})`, async (context) => {
    const { url, records } = await start(context, (response) => sendSse(response, [wholeStream(backend).trimEnd()]))
    const text = await (await ask(url, client, `${backend}/m`, { stream: true })).text()
    match(text, END_MARKS[client])
    doesNotMatch(text, STREAM_ERRORS[client])
    strictEqual(records[0]?.end, 'complete')
  })
}

for (const [client, backend] of PAIRS.filter(([client, backend]) => client !== backend)) {
  test(`broken: a translated answer whose end comes late leaves its connection for the next request (${client} client, ${backend} backend)`, async (context) => {
    let last: ServerResponse | undefined
    const { url: up, server } = await startUpstream(context, (_, response) => {
      last = response.writeHead(200, SSE)
      last.write(wholeStream(backend))
    })
    let connections = 0
    server.on('connection', () => connections++)
    const { url } = await startProxy(context, { backends: backendsAt(up) })
    for (let request = 0; request < 3; request++) {
      match(await (await ask(url, client, `${backend}/m`, { stream: true })).text(), END_MARKS[client])
      last?.end()
    }
    strictEqual(connections, 1)
  })
}

test('broken: S23: a translated answer that is over does not keep a connection that never ends', async (context) => {
  const { url: up, server } = await startUpstream(context, (_, response) => void response.writeHead(200, SSE).write(wholeStream('chat')))
  const closed = once(server, 'connection').then(([socket]) => once(socket as Socket, 'close'))
  const { url } = await startProxy(context, { backends: backendsAt(up) })
  match(await (await ask(url, 'anthropic', 'chat/m', { stream: true })).text(), END_MARKS.anthropic)
  await withDeadline(closed, 5_000, 'the connection was not closed')
})

for (const client of DIALECTS) {
  test(`broken: S16: ${client} clients get a whole answer from a chat server that sends no [DONE] or breaks after its end`, async (context) => {
    for (const cut of [CUTS['closed cleanly']!, CUTS['reset']!]) {
      const { url, records } = await start(context, (response) => {
        response.writeHead(200, SSE)
        response.write(wholeStream('chat').replace('data: [DONE]\n\n', ''))
        cut(response)
      })
      const text = await (await ask(url, client, 'chat/m', { stream: true })).text()
      match(text, END_MARKS[client])
      doesNotMatch(text, STREAM_ERRORS[client])
      strictEqual(records[0]?.end, 'complete')
    }
  })

  test(`broken: X1: a stream that ${client} servers compress although asked not to reaches the client plain`, async (context) => {
    for (const [encoding, pack] of [['gzip', gzipSync], ['br', brotliCompressSync]] as const) {
      const { url } = await start(context, (response) => {
        response.writeHead(200, { ...SSE, 'content-encoding': encoding })
        response.end(pack(wholeStream(client)))
      })
      const response = await ask(url, client, `${client}/m`, { stream: true })
      strictEqual(response.headers.get('content-encoding'), null)
      strictEqual(await response.text(), wholeStream(client))
    }
  })

  test(`broken: a relayed JSON body of ${client} that is cut does not look whole`, async (context) => {
    for (const headers of [{ 'content-length': '5000' }, {}] as Record<string, string>[]) {
      const { url, nextRecord } = await start(context, (response) => {
        response.writeHead(200, { 'content-type': 'application/json', ...headers })
        response.write('{"half":')
        setTimeout(() => response.destroy(), 20)
      })
      const record = nextRecord()
      await rejects((await ask(url, client, `${client}/m`)).text())
      strictEqual((await record).end, 'broken')
    }
  })
}

test('broken: an event of over 16 MiB is refused, not buffered', async (context) => {
  for (const client of ['chat', 'anthropic'] as const) {
    const { url } = await start(context, async (response) => {
      await sendSse(response, [STREAMS.chat.preamble, `data: {"x":"`, ...Array.from({ length: 20 }, () => 'x'.repeat(1_048_576))])
    })
    const response = await ask(url, client, 'chat/m', { stream: true })
    strictEqual(response.status, 502)
    match(await response.text(), /one event of over/)
  }
})

test('broken: F1: an error event after the preamble is the next candidate\'s turn, after content it is the client\'s', async (context) => {
  const error = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
  const { preamble, content } = STREAMS.anthropic
  for (const client of DIALECTS) {
    let early = true
    const { url: up } = await startUpstream(context, (request, response) => sendSse(response, [
      request.headers['x-first'] !== '1' ? wholeStream('anthropic') : preamble + (early ? '' : content[0]) + error]))
    const backend = backendsAt(up)['anthropic']!
    const { url } = await startProxy(context, {
      backends: { one: { ...backend, headers: { 'x-first': '1' } }, two: backend }, routes: [{ model: '*', to: ['one', 'two'] }],
    })
    const over = await ask(url, client, 'm', { stream: true })
    deepStrictEqual([over.status, over.headers.get('dario-backend')], [200, 'two'])
    match(await over.text(), END_MARKS[client])
    early = false
    const alone = await startProxy(context, { backends: { one: { ...backend, headers: { 'x-first': '1' } }, two: backend }, routes: [{ model: '*', to: ['one', 'two'] }] })
    const stay = await ask(alone.url, client, 'm', { stream: true })
    const text = await stay.text()
    strictEqual(stay.headers.get('dario-backend'), 'one')
    match(text, /Hello/) // F2: never replayed
    match(text, STREAM_ERRORS[client])
    doesNotMatch(text, END_MARKS[client])
  }
})

test('broken: an error event before content of the only candidate has its real status', async (context) => {
  const error = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
  for (const [client, status] of [['chat', 503], ['responses', 503]] satisfies [DialectName, number][]) {
    const { url } = await start(context, (response) => sendSse(response, [STREAMS.anthropic.preamble, error]))
    strictEqual((await fetch(url + PATHS[client], { method: 'POST', body: JSON.stringify({ model: 'anthropic/m', stream: true, messages: [{ role: 'user', content: 'x' }], input: 'x' }) })).status, status)
  }
})

/** What is no answer, though its status says so, and the status that it gets alone. */
const NO_ANSWERS: Record<string, [status: number, type: string, body: string, told: number]> = {
  'nothing': [200, 'application/json', '', 502],
  'no content': [204, 'application/json', '', 502],
  'plain words': [200, 'text/plain', 'backend is busy', 502],
  'null': [200, 'application/json', 'null', 502],
  'an error of the OpenAI kind': [200, 'application/json', '{\n "error": {"message": "Rate limit reached", "code": 429}}', 429],
  'an error of Anthropic\'s kind': [200, 'application/json', '{"type":"error","error":{"type":"rate_limit_error","message":"Rate limit reached"}}', 429],
}
for (const dialect of DIALECTS) {
  test(`broken: O7: what is no answer is the next candidate's turn, and alone an error, for ${dialect} clients that want JSON`, async (context) => {
    for (const [what, [status, type, body, told]] of Object.entries(NO_ANSWERS)) {
      const { url } = await start(context, (response, count) => {
        if (count >= 2) return sendJson(response, 200, WHOLES[dialect])
        response.writeHead(status, { 'content-type': type })
        response.end(body)
      }, { routes: [{ model: 'both', to: [`${dialect}:a`, `${dialect}:b`] }] })
      const alone = await ask(url, dialect, `${dialect}/m`)
      strictEqual(alone.status, told, what)
      match(await alone.text(), body === '' ? /answered 20\d with nothing in it/ : /backend is busy|Rate limit|null/, what)
      const response = await ask(url, dialect, 'both')
      deepStrictEqual([response.status, response.headers.get('dario-attempts'), await response.json()], [200, '2', WHOLES[dialect]], what)
    }
  })

  test(`broken: O11: blanks before a whole answer of ${dialect} reach the client at once`, async (context) => {
    let finish = (): void => undefined
    const { url } = await start(context, (response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('\n')
      finish = () => void response.end(JSON.stringify(WHOLES[dialect]))
    })
    const response = await withDeadline(ask(url, dialect, `${dialect}/m`), 5000, 'the head of the answer')
    finish()
    strictEqual(await response.text(), `\n${JSON.stringify(WHOLES[dialect])}`)
  })
}

for (const [client, backend] of PAIRS) {
  test(`broken: a stream under another name is one (${client} client, ${backend} backend)`, async (context) => {
    for (const type of ['Text/Event-Stream', 'text/plain', undefined]) {
      const { url } = await start(context, (response) => {
        response.writeHead(200, type === undefined ? {} : { 'content-type': type })
        response.end(wholeStream(backend))
      })
      const text = await (await ask(url, client, `${backend}/m`, { stream: true })).text()
      match(text, /^(?:event|data):.*Hello.* world/s)
      match(text, END_MARKS[client])
    }
  })
}

test('broken: an answer in the wrong form to a request that cannot be parsed is not left open upstream', async (context) => {
  let isClosed = (): void => {}
  const closed = new Promise<void>((resolve) => { isClosed = resolve })
  const { url } = await start(context, (response) => {
    response.on('close', isClosed)
    response.writeHead(200, SSE)
    response.write(STREAMS.chat.preamble)
  })
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":"chat/m","messages":"\\x"}' })
  strictEqual(answer.status, 400)
  await withDeadline(closed, 5_000, 'the upstream is let go')
})

test('broken: S23: a long last piece of an answer ends it too, though its upstream stays open', async (context) => {
  const { preamble, content, end } = STREAMS.chat
  const { url } = await start(context, (response) => {
    response.writeHead(200, SSE)
    response.write(preamble + content.join('').replace('Hello', 'Hello'.repeat(9_000)) + end)
  })
  const answer = await ask(url, 'anthropic', 'chat/m', { stream: true })
  match(await withDeadline(answer.text(), 5_000, 'the end of the answer'), END_MARKS.anthropic)
})

for (const dialect of DIALECTS) {
  test(`broken: a stream with a length has room for the error behind it (${dialect})`, async (context) => {
    const cut = STREAMS[dialect].preamble + STREAMS[dialect].content.join('')
    const { url } = await start(context, (response) => response.writeHead(200, { ...SSE, 'content-length': cut.length }).end(cut))
    const response = await ask(url, dialect, `${dialect}/m`, { stream: true })
    match(await response.text(), STREAM_ERRORS[dialect])
    strictEqual(response.headers.get('content-length'), null)
  })
}

test('broken: an error whose words never come is the next candidate\'s turn within seconds', async (context) => {
  const { url: up } = await startUpstream(context, (request, response) => {
    if (request.headers['x-first'] === undefined) return sendJson(response, 200, WHOLES.chat)
    response.writeHead(503, { 'content-type': 'application/json', 'content-length': 100 }).write('{"error":')
  })
  const chat = backendsAt(up)['chat']!
  const { url, records } = await startProxy(context, {
    backends: { one: { ...chat, headers: { 'x-first': '1' } }, two: chat }, routes: [{ model: '*', to: ['one', 'two'] }],
  })
  const response = await withDeadline(ask(url, 'chat', 'm', {}), 8_000, 'answer') // it was five minutes: the limit for silence
  deepStrictEqual([response.status, response.headers.get('dario-backend')], [200, 'two'])
  await response.text()
  deepStrictEqual(records[0]?.attempts.map(({ outcome, status }) => [outcome, status]), [['overloaded', 503], ['ok', 200]])
})
