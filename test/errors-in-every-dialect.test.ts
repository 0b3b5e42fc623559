import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { DIALECTS, PAIRS, PATHS, ask, makeError } from './helpers/answers.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { DialectName, ProxyOptions } from '../src/index.ts'

interface Told { status: number; type: string; message: string; headers: Headers }

/** Reads an error and fails unless it has the dialect's own envelope (pitfall E3). */
async function readError(dialect: DialectName, response: Response): Promise<Told> {
  const text = await response.text()
  const body = JSON.parse(text) as { type?: string; error: { type: string; message: string; code?: unknown; param?: unknown } }
  match(response.headers.get('content-type') ?? '', /application\/json/)
  ok(response.headers.get('dario-request-id')?.startsWith('req_'))
  if (dialect === 'anthropic') strictEqual(body.type, 'error', text)
  else ok('code' in body.error && 'param' in body.error && body.type === undefined, text)
  return { status: response.status, type: body.error.type, message: body.error.message, headers: response.headers }
}

const refused = (context: TestContext, status: number, body: unknown, headers: Record<string, string> = {}): Promise<string> =>
  startUpstream(context, (_, response) => sendJson(response, status, body, headers)).then(({ url }) => url)

for (const dialect of DIALECTS) {
  test(`errors: E3: a wrong path is a 404 in the words of ${dialect} that lists what there is`, async (context) => {
    const { url } = await startProxy(context, {})
    const headers: Record<string, string> = dialect === 'anthropic' ? { 'anthropic-version': '2023-06-01' } : {}
    const told = await readError(dialect, await fetch(`${url}/v1/nowhere`, { method: 'POST', headers, body: '{}' }))
    strictEqual(told.status, 404)
    match(told.message, /\/v1\/messages.*\/v1\/chat\/completions.*base URL/)
  })

  test(`errors: a wrong method on ${PATHS[dialect]} is a 405 that names the right one`, async (context) => {
    const { url } = await startProxy(context, {})
    const told = await readError(dialect, await fetch(url + PATHS[dialect], { method: 'PUT', body: '{}' }))
    deepStrictEqual([told.status, told.headers.get('allow')], [405, 'POST'])
    match(told.message, /takes POST/)
  })

  test(`errors: an unknown model is a 404 for ${dialect} clients that lists backends and routes`, async (context) => {
    const { url, records } = await startProxy(context, {
      backends: backendsAt('http://127.0.0.1:9'), routes: [{ model: 'fast', to: ['chat'] }],
    })
    const told = await readError(dialect, await ask(url, dialect, 'nobody-has-this'))
    strictEqual(told.status, 404)
    match(told.message, /"nobody-has-this".*anthropic, chat, responses, echo.*fast.*dario route add/)
    deepStrictEqual(records.map(({ status, end, error }) => [status, end, error?.code]), [[404, 'failed', 'model_not_found']])
  })

  test(`errors: X9: broken JSON is a 400 for ${dialect} clients that names the byte`, async (context) => {
    const { url } = await startProxy(context, {})
    const told = await readError(dialect, await fetch(url + PATHS[dialect], { method: 'POST', body: '{"model":"echo",}' }))
    strictEqual(told.status, 400)
    match(told.message, /not valid JSON.*byte 16/)
  })

  test(`errors: a missing model is a 400 for ${dialect} clients that says what to write`, async (context) => {
    const { url } = await startProxy(context, {})
    const told = await readError(dialect, await ask(url, dialect, ''))
    strictEqual(told.status, 400)
    match(told.message, /name a model/)
  })

  test(`errors: X8: a body over the limit is a 413 for ${dialect} clients that names the setting`, async (context) => {
    const { url } = await startProxy(context, { maxBodyBytes: 2048 })
    const told = await readError(dialect, await ask(url, dialect, 'echo', { user: 'x'.repeat(4000) }))
    strictEqual(told.status, 413)
    match(told.message, /2048 bytes.*maxBodyBytes/)
  })

  test(`errors: a missing or wrong access key is a 401 for ${dialect} clients that says where it goes`, async (context) => {
    const { url } = await startProxy(context, { accessKeys: ['the-right-one'] })
    for (const headers of [{}, { authorization: 'Bearer wrong' }]) {
      const told = await readError(dialect, await ask(url, dialect, 'echo', {}, { headers }))
      strictEqual(told.status, 401)
      match(told.message, /access key/i)
    }
    for (const headers of [{ authorization: 'Bearer the-right-one' }, { 'x-api-key': 'the-right-one' }]) {
      strictEqual((await ask(url, dialect, 'echo', {}, { headers })).status, 200)
    }
  })

  test(`errors: an access key limited to routes is refused elsewhere with a 403 for ${dialect} clients`, async (context) => {
    const accessKeys = [{ name: 'guest', hash: createHash('sha256').update('guest-key').digest('hex'), routes: ['fast'] }]
    const { url } = await startProxy(context, { accessKeys, routes: [{ model: 'fast', to: ['echo'] }] })
    const headers = { authorization: 'Bearer guest-key' }
    strictEqual((await ask(url, dialect, 'fast', {}, { headers })).status, 200)
    for (const model of ['echo', 'echo/fast']) {
      const told = await readError(dialect, await ask(url, dialect, model, {}, { headers }))
      strictEqual(told.status, 403)
      match(told.message, /guest may only use the routes fast/)
    }
  })
}

for (const [client, backend] of PAIRS) {
  test(`errors: E2: ${client} clients get the status that ${backend} gave, and its message`, async (context) => {
    for (const status of [400, 401, 403, 404, 413, 429]) {
      const url = await refused(context, status, makeError(backend, 'some_error', `upstream says ${status}`))
      const proxy = await startProxy(context, { backends: backendsAt(url) })
      const told = await readError(client, await ask(proxy.url, client, `${backend}/m`))
      deepStrictEqual([told.status, told.message.includes(`upstream says ${status}`)], [status, true])
      strictEqual(told.headers.get('dario-backend'), backend)
    }
  })

  test(`errors: E4: an overloaded ${backend} backend is overloaded for ${client} clients`, async (context) => {
    const [sent, type] = backend === 'anthropic' ? [529, 'overloaded_error'] as const : [503, 'server_error'] as const
    const url = await refused(context, sent, makeError(backend, type, 'Overloaded'))
    const proxy = await startProxy(context, { backends: backendsAt(url) })
    const told = await readError(client, await ask(proxy.url, client, `${backend}/m`))
    strictEqual(told.status, client === backend ? sent : client === 'anthropic' ? 529 : 503)
  })

  test(`errors: E8: ${client} clients get one sentence for a page of HTML from ${backend}`, async (context) => {
    const { url } = await startUpstream(context, (_, response) => {
      response.writeHead(502, { 'content-type': 'text/html' })
      response.end('<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad</h1></body></html>')
    })
    const proxy = await startProxy(context, { backends: backendsAt(url) })
    const told = await readError(client, await ask(proxy.url, client, `${backend}/m`))
    strictEqual(told.status, 502)
    match(told.message, /page of HTML.*Bad gateway/)
    ok(!told.message.includes('<'))
  })

  test(`errors: E7: retry-after of ${backend} reaches ${client} clients`, async (context) => {
    const url = await refused(context, 429, makeError(backend, 'rate_limit_error', 'slow down'), { 'retry-after': '7' })
    const proxy = await startProxy(context, { backends: backendsAt(url) })
    const told = await readError(client, await ask(proxy.url, client, `${backend}/m`))
    deepStrictEqual([told.status, told.headers.get('retry-after')], [429, '7'])
  })

  test(`errors: an unreachable ${backend} backend is a 502 for ${client} clients that names it`, async (context) => {
    const closed = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => closed.once('listening', resolve))
    const { port } = closed.address() as { port: number }
    await new Promise((resolve) => closed.close(resolve))
    const proxy = await startProxy(context, { backends: backendsAt(`http://127.0.0.1:${port}`) })
    const told = await readError(client, await ask(proxy.url, client, `${backend}/m`))
    strictEqual(told.status, 502)
    match(told.message, new RegExp(`127\\.0\\.0\\.1:${port}`))
    ok(!/\n\s*at /.test(told.message), 'E10: no stack trace')
  })

  test(`errors: E1: context overflow at ${backend} is told to ${client} clients in the words they compact on`, async (context) => {
    const words = backend === 'anthropic' ? 'prompt is too long: 210000 tokens > 200000 maximum'
      : "This model's maximum context length is 200000 tokens. However, your messages resulted in 210000 tokens."
    const body = makeError(backend, 'invalid_request_error', words)
    if (backend !== 'anthropic') Object.assign(body['error'] as object, { code: 'context_length_exceeded' })
    const url = await refused(context, 400, body)
    const proxy = await startProxy(context, { backends: backendsAt(url) })
    const response = await ask(proxy.url, client, `${backend}/m`)
    const text = await response.text()
    strictEqual(response.status, 400)
    match(text, client === 'anthropic' ? /"prompt is too long: 210000 tokens > 200000 maximum"/ : /"code":"context_length_exceeded"/)
  })
}

test('errors: E7: when all fail, the smallest wait of all is told', async (context) => {
  const waits = ['30', '5']
  const { url } = await startUpstream(context, (_, response) =>
    sendJson(response, 429, makeError('chat', 'x', 'slow down'), { 'retry-after': waits.shift() ?? '99' }))
  const backends: ProxyOptions['backends'] = { two: { type: 'openai', baseUrl: url, speaks: ['chat'], keys: ['sk-test-one-SECRET', 'sk-test-two-SECRET'] } }
  for (const client of ['chat', 'anthropic'] as const) {
    waits.splice(0, 9, '30', '5')
    const proxy = await startProxy(context, { backends })
    const told = await readError(client, await ask(proxy.url, client, 'two/m'))
    deepStrictEqual([told.status, told.headers.get('retry-after'), told.headers.get('dario-attempts')], [429, '5', '2'])
  }
})

test('errors: F11: an answer of an upstream beats a network error, and the record has every attempt', async (context) => {
  const up = await refused(context, 529, makeError('anthropic', 'overloaded_error', 'busy now'))
  const proxy = await startProxy(context, {
    backends: {
      first: { type: 'anthropic', baseUrl: up, keys: ['sk-test-SECRETSECRET'] },
      second: { type: 'anthropic', baseUrl: 'http://127.0.0.1:9', keys: ['sk-test-SECRETSECRET'] },
    },
    routes: [{ model: '*', to: ['first', 'second'] }],
  })
  const told = await readError('anthropic', await ask(proxy.url, 'anthropic', 'any'))
  deepStrictEqual([told.status, told.message, told.headers.get('dario-backend')], [529, 'busy now', 'first'])
  deepStrictEqual(proxy.records[0]?.attempts.map(({ backend, outcome }) => [backend, outcome]), [['first', 'overloaded'], ['second', 'unreachable']])
})

test('errors: X9: a string that JSON.parse refuses deep inside is a 400 on every operation', async (context) => {
  const { url, records } = await startProxy(context, {})
  const bad = '{"model":"echo","max_tokens":5,"metadata":{"user_id":"\\x"},"messages":[{"role":"user","content":"\\x"}]}'
  for (const path of ['/v1/messages', '/v1/messages/count_tokens', '/v1/chat/completions']) {
    const response = await fetch(url + path, { method: 'POST', body: bad })
    strictEqual(response.status, 400, path)
    match(await response.text(), /not valid JSON/)
  }
  strictEqual(records.length, 3)
})

test('errors: E9: a long or odd model name is cut and quoted', async (context) => {
  const { url } = await startProxy(context, { backends: backendsAt('http://127.0.0.1:9') })
  const told = await readError('chat', await ask(url, 'chat', `<script>\n${'x'.repeat(5000)}`))
  ok(told.message.length < 500)
  ok(!told.message.includes('\n'))
})

test('errors: a backend that cannot take the request leaves it to the next one', async (context) => {
  const { url } = await startUpstream(context, (_, response) => sendJson(response, 200, { id: 'x', object: 'chat.completion', choices: [] }))
  const proxy = await startProxy(context, {
    backends: { ...backendsAt(url) }, routes: [{ model: '*', to: ['anthropic', 'chat'] }],
  })
  const response = await ask(proxy.url, 'chat', 'any', { n: 2 }) // two choices cannot be said in another dialect
  strictEqual(response.status, 200)
  strictEqual(response.headers.get('dario-backend'), 'chat')
})
