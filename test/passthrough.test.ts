import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { DIALECTS, PATHS, WHOLES, ask } from './helpers/answers.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { IncomingMessage } from 'node:http'
import type { TestContext } from 'node:test'
import type { TestProxy } from './helpers/proxy.ts'
import type { TestUpstream } from './helpers/upstream.ts'

/** An upstream that says what it was asked. */
async function start(context: TestContext): Promise<TestProxy & { up: TestUpstream }> {
  const up = await startUpstream(context, ({ method, url }, response) => sendJson(response, 200, { method, url }, { 'x-request-id': 'up-1' }))
  return { ...await startProxy(context, { backends: backendsAt(up.url) }), up }
}

test('passthrough: embeddings go where the model says, with its prefix taken off and every other byte kept', async (context) => {
  const { url, up } = await start(context)
  const response = await fetch(`${url}/v1/embeddings?x=1&y=%20`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"model": "chat/embed-3",  "input":[1.0, 12345678901234567890]}',
  })
  deepStrictEqual(await response.json(), { method: 'POST', url: '/v1/embeddings?x=1&y=%20' })
  strictEqual(up.received[0]?.body.toString(), '{"model": "embed-3",  "input":[1.0, 12345678901234567890]}')
  deepStrictEqual([response.headers.get('dario-backend'), response.headers.get('dario-model'), response.headers.get('x-request-id')], ['chat', 'embed-3', 'up-1'])
})

test('passthrough: a JSON body under another content type is still read for its model', async (context) => {
  const { url, up } = await start(context)
  const response = await fetch(`${url}/v1/moderations`, {
    method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: '{"model":"chat/mod","input":"x"}',
  })
  strictEqual(response.status, 200)
  strictEqual(up.received[0]?.body.toString(), '{"model":"mod","input":"x"}')
})

test('passthrough: M3: audio takes the model from its form, and only the prefix of that field changes', async (context) => {
  const { url, up } = await start(context)
  const sound = Buffer.from([0, 255, 128, 13, 10, 45, 45])
  const form = new FormData()
  form.append('file', new Blob([sound]), 'model.wav')
  form.append('model', 'chat/whisper-1')
  form.append('language', 'de')
  const asked = new Request(`${url}/v1/audio/transcriptions`, { method: 'POST', body: form })
  const sent = Buffer.from(await asked.clone().arrayBuffer())
  const response = await fetch(asked)
  deepStrictEqual([response.status, response.headers.get('dario-model')], [200, 'whisper-1'])
  strictEqual(up.received[0]?.body.toString('latin1'), sent.toString('latin1').replace('chat/whisper-1', 'whisper-1'))
  strictEqual(up.received[0].headers['content-type'], asked.headers.get('content-type'))
})

test('passthrough: files, batches and stored responses go to the first server of the dialect, whatever the method', async (context) => {
  const { url, up, records } = await start(context)
  const cases = [
    ['GET', '/v1/files?limit=2', 'chat', {}], ['DELETE', '/v1/files/f_1', 'anthropic', { 'anthropic-version': '2023-06-01' }],
    ['GET', '/v1/messages/batches/b_1', 'anthropic', {}], ['POST', '/v1/batches', 'chat', {}],
    ['GET', '/v1/responses/resp_1?include=x', 'responses', {}], ['DELETE', '/v1/responses/resp_1', 'responses', {}],
    ['GET', '/v1/responses/resp_1/input_items', 'responses', {}], ['POST', '/v1/responses/resp_1/cancel', 'responses', {}],
  ] as const
  for (const [method, path, backend, headers] of cases) {
    const response = await fetch(url + path, { method, headers })
    deepStrictEqual(await response.json(), { method, url: path })
    strictEqual(response.headers.get('dario-backend'), backend)
  }
  ok(up.received.every(({ method, body, headers }) => body.length === 0 && (method === 'POST' || headers['content-length'] === undefined)))
  ok(records.every(({ status, end }) => status === 200 && end === 'complete'))
})

test('passthrough: binary and compressed bodies reach the client as they are', async (context) => {
  const bytes = gzipSync('speech')
  const { url: up } = await startUpstream(context, (_, response) => {
    response.writeHead(200, { 'content-type': 'audio/mpeg', 'content-encoding': 'gzip', 'content-length': bytes.length })
    response.end(bytes)
  })
  const { url } = await startProxy(context, { backends: backendsAt(up) })
  const response = await fetch(`${url}/v1/audio/speech`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"model":"chat/tts","input":"x"}' })
  strictEqual(await response.text(), 'speech')
  strictEqual(response.headers.get('content-length'), String(bytes.length))
})

test('passthrough: X1: a client that did not ask for compression gets none', async (context) => {
  const { url: up } = await startUpstream(context, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
    response.end(gzipSync(JSON.stringify(WHOLES.chat)))
  })
  const { url } = await startProxy(context, { backends: backendsAt(up) })
  const asked = request(`${url}/v1/chat/completions`, { method: 'POST' }).end('{"model":"chat/m","messages":[]}')
  const [response] = await once(asked, 'response') as [IncomingMessage]
  strictEqual(response.headers['content-encoding'], undefined)
  deepStrictEqual(JSON.parse(Buffer.concat(await response.toArray()).toString()), WHOLES.chat)
})

test('passthrough: an answer without a body is an answer, and its connection and its backend stay good', async (context) => {
  const up = await startUpstream(context, ({ method }, response) => {
    if (method === 'DELETE') response.writeHead(204).end()
    else if (method === 'HEAD') response.writeHead(200, { 'content-length': 5 }).end()
    else response.writeHead(304, { etag: '"v1"' }).end()
  })
  let sockets = 0
  up.server.on('connection', () => sockets++)
  const { url, records } = await startProxy(context, { backends: { chat: backendsAt(up.url)['chat']! } })
  for (const [method, status] of [['GET', 304], ['HEAD', 200], ['DELETE', 204], ['GET', 304]] as const) {
    const response = await fetch(`${url}/v1/files/f_1`, { method, headers: { 'if-none-match': '"v1"' } })
    deepStrictEqual([response.status, await response.text(), response.headers.get('dario-attempts')], [status, '', '1'])
  }
  deepStrictEqual(records.map(({ end, attempts }) => [end, attempts[0]?.outcome]), records.map(() => ['complete', 'ok']))
  strictEqual(sockets, 1)
})

test('passthrough: a refusal of the upstream is passed on as it is', async (context) => {
  const { url: up } = await startUpstream(context, (_, response) => sendJson(response, 404, { error: { message: 'no such file', odd: 1 } }))
  const { url } = await startProxy(context, { backends: backendsAt(up) })
  const response = await fetch(`${url}/v1/files/f_1`)
  deepStrictEqual([response.status, await response.json()], [404, { error: { message: 'no such file', odd: 1 } }])
})

test('passthrough: without a backend of the dialect it is a 404 with the remedy', async (context) => {
  const { url: up } = await startUpstream(context, (_, response) => sendJson(response, 200, {}))
  const { anthropic, chat } = backendsAt(up)
  const onlyAnthropic = await startProxy(context, { backends: { anthropic: anthropic! } })
  const cases = [['/v1/embeddings', '{"model":"anthropic/x"}'], ['/v1/files', ''], ['/v1/responses/r_1', '']] as const
  for (const [path, body] of cases) {
    const response = await fetch(onlyAnthropic.url + path, { method: 'POST', body })
    strictEqual(response.status, 404)
    match(await response.text(), /no configured backend has .* dario backend add/)
  }
  const onlyChat = await startProxy(context, { backends: { chat: chat! } })
  const response = await fetch(`${onlyChat.url}/v1/messages/batches`, { method: 'POST', body: '{"requests":[]}' })
  strictEqual(response.status, 404) // echo speaks the dialect, but has no batches
  match(await response.text(), /"type":"error".*dario backend add/)
})

test('passthrough: an access key limited to routes reaches no files and no batches', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 200, {}))
  const { url } = await startProxy(context, {
    backends: backendsAt(up.url), routes: [{ model: 'fast', to: ['chat'] }],
    accessKeys: [{ name: 'guest', hash: createHash('sha256').update('guest-key').digest('hex'), routes: ['fast'] }],
  })
  for (const path of ['/v1/files', '/v1/messages/batches', '/v1/responses/resp_1']) {
    strictEqual((await fetch(url + path, { headers: { 'x-api-key': 'guest-key' } })).status, 403)
  }
  strictEqual(up.received.length, 0)
})

const CREDENTIALS: Record<string, string> = {
  'authorization': 'Bearer client-SECRET', 'x-api-key': 'client-SECRET', 'api-key': 'client-SECRET', 'x-goog-api-key': 'client-SECRET',
  'cookie': 'session=client-SECRET', 'openai-organization': 'org-client-SECRET', 'proxy-authorization': 'Basic client-SECRET',
}

for (const backend of DIALECTS) {
  test(`headers: H1: no credential of a client reaches a ${backend} backend; its own key does`, async (context) => {
    const up = await startUpstream(context, (_, response) => sendJson(response, 200, WHOLES[backend]))
    const { url } = await startProxy(context, { backends: backendsAt(up.url) })
    for (const client of DIALECTS) strictEqual((await ask(url, client, `${backend}/m`, {}, { headers: CREDENTIALS })).status, 200)
    await fetch(`${url}/v1/files`, { headers: backend === 'anthropic' ? { ...CREDENTIALS, 'anthropic-version': '1' } : CREDENTIALS })
    for (const { headers, body } of up.received) {
      ok(!JSON.stringify(headers).includes('client-SECRET'))
      ok(!body.includes('client-SECRET'))
      match(headers['x-api-key'] as string | undefined ?? headers.authorization ?? '', /sk-test-\w+-SECRETSECRET/)
    }
  })

  test(`headers: H8: request ids and rate limits of a ${backend} backend reach every client, its cookies and CORS do not`, async (context) => {
    const given = {
      'request-id': 'up-1', 'x-request-id': 'up-2', 'anthropic-ratelimit-requests-remaining': '5', 'x-ratelimit-remaining-tokens': '6',
      'set-cookie': 'a=b', 'access-control-allow-origin': '*', 'dario-backend': 'forged', 'keep-alive': 'timeout=1',
    }
    const up = await startUpstream(context, (_, response) => sendJson(response, 200, WHOLES[backend], given))
    const { url } = await startProxy(context, { backends: backendsAt(up.url) })
    for (const client of DIALECTS) {
      const { headers } = await ask(url, client, `${backend}/m`)
      deepStrictEqual(['request-id', 'x-request-id', 'anthropic-ratelimit-requests-remaining', 'x-ratelimit-remaining-tokens'].map((name) => headers.get(name)), ['up-1', 'up-2', '5', '6'])
      deepStrictEqual([headers.get('set-cookie'), headers.get('access-control-allow-origin'), headers.get('dario-backend')], [null, null, backend])
    }
  })
}

test('headers: H4: anthropic-beta goes to Anthropic-dialect backends only, each token once', async (context) => {
  const up = await startUpstream(context, ({ url }, response) => sendJson(response, 200, WHOLES[DIALECTS.find((name) => url.startsWith(PATHS[name]))!]))
  const { url } = await startProxy(context, { backends: backendsAt(up.url) })
  for (const backend of DIALECTS) await ask(url, 'anthropic', `${backend}/m`, {}, { headers: { 'anthropic-beta': 'a-1, b-2,a-1' } })
  deepStrictEqual(up.received.map(({ headers }) => headers['anthropic-beta']), ['a-1,b-2', undefined, undefined])
})

test('headers: M1: [1m] is taken off the name and becomes the long-context beta for Anthropic', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 200, WHOLES.anthropic))
  const { url, records } = await startProxy(context, { backends: backendsAt(up.url), aliases: { big: 'anthropic/claude-x[1M]' } })
  await ask(url, 'anthropic', 'anthropic/claude-x[1m]', {}, { headers: { 'anthropic-beta': 'a-1' } })
  await ask(url, 'anthropic', 'anthropic/claude-x[1M]', {}, { headers: { 'anthropic-beta': 'context-1m-2025-08-07' } })
  await ask(url, 'anthropic', 'big')
  await ask(url, 'anthropic', 'anthropic/claude-x')
  deepStrictEqual(up.received.map(({ body, headers }) => [(JSON.parse(body.toString()) as { model: string }).model, headers['anthropic-beta']]), [
    ['claude-x', 'a-1,context-1m-2025-08-07'], ['claude-x', 'context-1m-2025-08-07'], ['claude-x', 'context-1m-2025-08-07'], ['claude-x', undefined],
  ])
  strictEqual(records[0]?.model, 'anthropic/claude-x[1m]')
})

test('headers: H4: a beta that the backend refuses is left out at once, and from then on', async (context) => {
  const up = await startUpstream(context, ({ headers }, response) => {
    const refused = String(headers['anthropic-beta']).includes('bad-2')
    const message = 'Unexpected value(s) `bad-2` for the `anthropic-beta` header.'
    sendJson(response, refused ? 400 : 200, refused ? { type: 'error', error: { type: 'invalid_request_error', message } } : WHOLES.anthropic)
  })
  const { url } = await startProxy(context, { backends: backendsAt(up.url) })
  for (const turn of [1, 2]) {
    const response = await ask(url, 'anthropic', 'anthropic/m', {}, { headers: { 'anthropic-beta': 'good-1,bad-2' } })
    deepStrictEqual([response.status, response.headers.get('dario-attempts')], [200, turn === 1 ? '2' : '1'])
  }
  deepStrictEqual(up.received.map(({ headers }) => headers['anthropic-beta']), ['good-1,bad-2', 'good-1', 'good-1'])
})
