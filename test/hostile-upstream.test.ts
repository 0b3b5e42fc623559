import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { encodeSse } from '../src/sse.ts'
import { DIALECTS, END_MARKS, PAIRS, STREAMS, WHOLES, ask, wholeStream } from './helpers/answers.ts'
import { createHome, startDario } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

/** An upstream that writes what the test wants, valid or not, as soon as a request has begun. */
async function startRaw(context: TestContext, answer: (socket: Socket) => void): Promise<{ url: string; closed: Promise<unknown> }> {
  let onClosed: (value?: unknown) => void
  const closed = new Promise((resolve) => { onClosed = resolve })
  const server = createServer((socket) => {
    socket.on('error', () => {}).once('close', () => onClosed())
    socket.once('data', () => answer(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, closed }
}

/** Writes the piece again and again for as long as somebody takes it. */
function pour(socket: Socket, piece: string): void {
  while (!socket.destroyed && socket.write(piece));
  if (!socket.destroyed) socket.once('drain', () => pour(socket, piece))
}

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n'

test('hostile upstream: headers that never end are refused and the connection is closed', async (context) => {
  const { url, closed } = await startRaw(context, (socket) => {
    socket.write(HEAD)
    pour(socket, `x-${'a'.repeat(50)}: ${'b'.repeat(1000)}\r\n`)
  })
  const { url: proxy } = await startProxy(context, { backends: backendsAt(url) })
  strictEqual((await ask(proxy, 'anthropic', 'anthropic:m')).status, 502)
  await withDeadline(closed, 5_000, 'the upstream connection')
})

for (const [client, backend] of PAIRS) {
  test(`hostile upstream: an answer without an end is cut off for a client that waits for a whole one (${client} from ${backend})`, async (context) => {
    const { preamble, content } = STREAMS[backend]
    const next = content[1] ?? ''
    const { url, closed } = await startRaw(context, (socket) => {
      socket.write(`${HEAD}\r\n${preamble}${content[0]}`)
      pour(socket, next.replace(' world', 'x'.repeat(1_000_000)))
    })
    const { url: proxy } = await startProxy(context, { backends: backendsAt(url), attempts: 1 })
    const before = process.memoryUsage().rss
    const response = await withDeadline(ask(proxy, client, `${backend}:m`), 60_000, 'an answer')
    const body = await response.text()
    // A relayed JSON body is whatever the upstream says; one that we fold has a limit.
    if (client === backend) strictEqual(response.status, 502, body.slice(0, 300))
    else ok(response.status >= 500 && body.length < 10_000, body.slice(0, 300))
    await withDeadline(closed, 5_000, 'the upstream connection')
    ok(process.memoryUsage().rss - before < 1_000_000_000)
  })

  test(`hostile upstream: a megabyte in one line is an answer like any other (${client} from ${backend})`, async (context) => {
    const upstream = await startUpstream(context, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(wholeStream(backend).replaceAll('Hello', 'x'.repeat(1_000_000)))
    })
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
    const text = await (await ask(url, client, `${backend}:m`, { stream: true })).text()
    match(text, END_MARKS[client])
    ok(text.includes('x'.repeat(1_000_000)))
  })
}

for (const dialect of DIALECTS) {
  for (const status of [301, 302, 303, 307, 308]) {
    test(`hostile upstream: Z10: a ${status} to another host is no answer and is not followed (${dialect})`, async (context) => {
      const other = await startUpstream(context, (_request, response) => sendJson(response, 200, WHOLES[dialect]))
      const upstream = await startUpstream(context, (_request, response) => void response.writeHead(status, { location: other.url, 'content-type': 'text/html' }).end('<a href="x">moved</a>'))
      const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
      const response = await ask(url, dialect, `${dialect}:m`, {}, { redirect: 'manual' })
      ok(response.status >= 400, `${response.status}`)
      strictEqual(response.headers.get('location'), null)
      deepStrictEqual(other.received, [])
      ok(!(await response.text()).includes(other.url))
    })
  }

  test(`hostile upstream: H1: its cookies and its authentication headers never come back (${dialect})`, async (context) => {
    const upstream = await startUpstream(context, (request, response) => {
      const headers = { 'set-cookie': 'a=b', 'www-authenticate': 'Basic', 'proxy-authenticate': 'Basic', 'access-control-allow-origin': '*', 'clear-site-data': '"*"', 'strict-transport-security': 'max-age=1', link: '</x>; rel=preload' }
      if (request.body.includes('fail')) return sendJson(response, 401, { error: { message: 'no' } }, headers)
      sendJson(response, 200, WHOLES[dialect], headers)
    })
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
    for (const client of DIALECTS) {
      for (const user of ['ok', 'fail']) {
        const { headers } = await ask(url, client, `${dialect}:m`, { metadata: { user_id: user }, user })
        for (const name of ['set-cookie', 'www-authenticate', 'proxy-authenticate', 'access-control-allow-origin', 'clear-site-data', 'strict-transport-security']) strictEqual(headers.get(name), null, name)
      }
    }
  })

  for (const [what, value] of [['null', null], ['a list', []], ['a number', 1e999], ['a text', '\u001b[2J'], ['levels without end', '[[']] as const) {
    test(`hostile upstream: ${what} in place of an answer of ${dialect} is a 502 in every dialect`, async (context) => {
      const text = value === '[[' ? `{"content":${'['.repeat(200_000)}${']'.repeat(200_000)},"output":${'['.repeat(200_000)}${']'.repeat(200_000)}}` : JSON.stringify(value)
      const upstream = await startUpstream(context, (_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(text))
      const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
      for (const client of DIALECTS.filter((name) => name !== dialect)) {
        const response = await ask(url, client, `${dialect}:m`)
        const body = await response.text()
        ok(value === '[[' ? response.status < 600 : response.status === 502, `${response.status} ${body}`)
        ok(!/dario failed on this request/.test(body), body)
      }
    })
  }
}

for (const [client, stream] of [['anthropic', true], ['anthropic', false], ['responses', true], ['responses', false]] as const) {
  test(`hostile upstream: arguments of levels without end are a fault of the upstream (${client}, stream: ${stream})`, async (context) => {
    const deep = '{"a":'.repeat(200_000) + '1' + '}'.repeat(200_000) // as an object, which some vendors send
    const upstream = await startUpstream(context, (_request, response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(
      'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function",' +
      `"function":{"name":"f","arguments":${deep}}}]},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n`))
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
    const text = await (await ask(url, client, 'chat:m', { stream })).text()
    ok(!/dario failed on this request/.test(text), text.slice(-300))
  })
}

for (const code of [200, 99, 1e21, -1, 600, '200']) {
  test(`hostile upstream: the code ${code} in an error of a stream is never a status of ours`, async (context) => {
    const upstream = await startUpstream(context, (_request, response) =>
      void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`data: ${JSON.stringify({ error: { message: 'no', code } })}\n\n`))
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
    for (const client of ['anthropic', 'responses'] as const) strictEqual((await ask(url, client, 'chat:m', { stream: true })).status, 502)
  })
}

test('hostile upstream: blocks that all have the number 0 are blocks of their own', async (context) => {
  const block = (text: string): string => encodeSse('content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
    + encodeSse('content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
  const stop = encodeSse('content_block_stop', { type: 'content_block_stop', index: 0 })
  const { preamble, end } = STREAMS.anthropic
  const upstream = await startUpstream(context, (_request, response) =>
    void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(preamble + block('one ') + stop + block('two ') + block('three') + end))
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  const { choices } = await (await ask(url, 'chat', 'anthropic:m')).json() as { choices: [{ message: { content: string } }] }
  strictEqual(choices[0].message.content, 'one two three')
})

for (const word of ['constructor', '__proto__', 'toString', 'x\r\ny']) {
  test(`hostile upstream: an error of type ${JSON.stringify(word)} is an error like any other`, async (context) => {
    const upstream = await startUpstream(context, (request, response) => {
      const error = { type: word, code: word, message: 'no' }
      if (!request.body.includes('200')) return sendJson(response, 400, { type: 'error', error })
      return void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`event: error\ndata: ${JSON.stringify({ ...error, type: 'error', error })}\n\n`)
    })
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url), attempts: 1 })
    for (const [client, backend] of PAIRS) {
      for (const [model, stream] of [['m', false], ['m200', true]] as const) {
        const response = await ask(url, client, `${backend}:${model}`, { stream })
        const body = await response.text()
        ok((response.status >= 400 || stream && /error|failed/.test(body)) && response.status < 600 && !END_MARKS[client].test(body) && !body.includes('dario failed on this'), `${client} from ${backend}: ${response.status} ${body}`)
      }
    }
  })
}

test('hostile upstream: terminal escapes in its errors, models and names reach neither terminal nor log raw', async (context) => {
  const evil = '\u001b]0;owned\u0007\u001b[2J\u009b31m\r\nforged line\u202e'
  const upstream = await startUpstream(context, (request, response) => {
    if (request.method === 'GET') return sendJson(response, 200, { object: 'list', data: [{ id: `m${evil}`, object: 'model' }], [evil]: 1 })
    if (request.body.includes('fine')) return sendJson(response, 200, { ...WHOLES.chat, model: evil })
    sendJson(response, 400, { error: { message: evil, type: evil, code: evil, param: evil } }, { 'x-request-id': 'a' })
  })
  const home = createHome(context)
  mkdirSync(join(home, '.dario'), { mode: 0o700 })
  writeFileSync(join(home, '.dario', 'config.json'), JSON.stringify({ backends: { up: { type: 'openai', baseUrl: upstream.url, speaks: ['chat'], keys: ['sk-test-SECRETSECRET'] } } }), { mode: 0o600 })
  const dario = startDario(context, home, ['--port', '0', '--log-level', 'debug', '--log-file', join(home, 'log')])
  const [, url = ''] = await dario.says(/(http:\/\/localhost:\d+)\n/)
  for (const dialect of DIALECTS) {
    for (const model of ['fine', 'x', `x${evil}`]) await (await ask(url, dialect, `up:${model}`, {}, { headers: { 'user-agent': 'tool/1' } })).text()
  }
  await (await fetch(`${url}/v1/models`)).text()
  dario.child.kill('SIGTERM')
  const served = await dario.finished
  const outputs = [served, await startDario(context, home, ['backend', 'test', 'up']).finished, await startDario(context, home, ['doctor']).finished, await startDario(context, home, ['route', 'explain', `up:${evil}`]).finished]
  for (const { stdout, stderr } of outputs) {
    for (const line of (stdout + stderr).split('\n')) {
      ok(!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/.test(line), JSON.stringify(line))
      ok(!line.startsWith('forged line'), line)
    }
    ok(!(stdout + stderr).includes('SECRETSECRET'))
  }
  ok(served.stderr.includes('400'), served.stderr)
})
