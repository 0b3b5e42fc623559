import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { createProxy, parseConfig } from '../src/index.ts'
import { DIALECTS, END_MARKS, PAIRS, PATHS, WHOLES, ask, makeRequest, wholeStream } from './helpers/answers.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, sendSse, startUpstream } from './helpers/upstream.ts'
import type { AddressInfo } from 'node:net'
import type { RequestRecord } from '../src/index.ts'

for (const dialect of DIALECTS) {
  test(`createProxy: fetch answers ${dialect} without a socket, streamed and whole`, async (context) => {
    const proxy = createProxy({ environment: {} })
    context.after(() => proxy.close(0))
    for (const stream of [true, false]) {
      const response = await proxy.fetch(new Request(`http://anything${PATHS[dialect]}`, { method: 'POST', body: JSON.stringify(makeRequest(dialect, 'echo', { stream })) }))
      deepStrictEqual([response.status, response.headers.get('dario-backend')], [200, 'echo'])
      const text = await response.text()
      match(text, /Hi/)
      strictEqual(END_MARKS[dialect].test(text), stream || dialect === 'chat') // a whole Chat answer has the same word
    }
  })
}

test('createProxy: handle serves inside a server of the caller', async (context) => {
  const proxy = createProxy({ environment: {} })
  const server = createServer(proxy.handle).listen(0, '127.0.0.1')
  context.after(() => { server.close(); return proxy.close(0) })
  await once(server, 'listening')
  const response = await ask(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'chat', 'echo')
  strictEqual(response.status, 200)
})

test('createProxy: listen, then close frees the port; a port in use is told', async () => {
  const first = createProxy({ environment: {}, port: 0 })
  const { url, port } = await first.listen()
  strictEqual((await fetch(`${url}/health`)).status, 200)
  const second = createProxy({ environment: {}, port })
  await rejects(second.listen(), /already runs on port/)
  await first.close(0)
  await first.close(0) // twice is fine
  await rejects(fetch(`${url}/health`))
  await second.close(0)
  const third = createProxy({ environment: {}, port })
  strictEqual((await third.listen()).port, port)
  await third.close(0)
})

test('createProxy: a wrong option is named with its JSON path', () => {
  throws(() => createProxy({ environment: {}, backends: { x: { type: 'openai', baseUrl: 'nonsense' } } }), /backends\.x/)
})

test('createProxy: two proxies in one process share no state', async (context) => {
  let status = 429
  const up = await startUpstream(context, (_, response) => sendJson(response, status, status === 200 ? WHOLES.chat : { error: { message: 'slow' } }, { 'retry-after': '60' }))
  const one = await startProxy(context, { backends: backendsAt(up.url) })
  const two = await startProxy(context, { backends: backendsAt(up.url) })
  await ask(one.url, 'chat', 'chat/m')
  const stateOf = async ({ proxy }: typeof one): Promise<string | undefined> =>
    (await proxy.status()).backends.find(({ id }) => id === 'chat')?.keys[0]?.state
  deepStrictEqual([await stateOf(one), await stateOf(two)], ['resting', 'ready'])
  deepStrictEqual([one.records.length, two.records.length], [1, 0])
  status = 200
  const body = await (await ask(one.url, 'responses', 'chat/m')).json() as { id: string }
  strictEqual((await ask(two.url, 'responses', 'chat/m', { previous_response_id: body.id })).status, 400)
  strictEqual((await ask(one.url, 'responses', 'chat/m', { previous_response_id: body.id })).status, 200)
})

test('createProxy: update takes new backends and routes at once, and running requests finish with the old ones', async (context) => {
  let finish = (): void => {}
  const old = await startUpstream(context, (_, response) => { finish = () => sendJson(response, 200, WHOLES.chat) })
  const fresh = await startUpstream(context, (_, response) => sendJson(response, 200, WHOLES.chat))
  const { url, proxy } = await startProxy(context, { backends: { a: backendsAt(old.url)['chat']! } })
  const running = ask(url, 'chat', 'any')
  await once(old.server, 'request')
  proxy.update(parseConfig({ backends: { b: backendsAt(fresh.url)['chat'] }, routes: [{ model: 'new', to: ['b:m2'] }], accessKeys: ['k'] }).config)
  const refused = await ask(url, 'chat', 'new')
  strictEqual(refused.status, 401)
  const after = await ask(url, 'chat', 'new', {}, { headers: { 'x-api-key': 'k' } })
  deepStrictEqual([after.status, after.headers.get('dario-backend'), after.headers.get('dario-model')], [200, 'b', 'm2'])
  await new Promise(setImmediate)
  finish()
  deepStrictEqual([(await running).status, (await running).headers.get('dario-backend')], [200, 'a'])
  deepStrictEqual(proxy.explain('new').chain, [{ backend: 'b', model: 'm2' }])
})

test('createProxy: update keeps what an unchanged backend learned', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 429, { error: { message: 'slow' } }, { 'retry-after': '60' }))
  const { url, proxy } = await startProxy(context, { backends: backendsAt(up.url) })
  await ask(url, 'chat', 'chat/m')
  proxy.update(parseConfig({ backends: backendsAt(up.url), aliases: { x: 'chat/m' } }).config)
  strictEqual((await proxy.status()).backends.find(({ id }) => id === 'chat')?.keys[0]?.state, 'resting')
})

test('createProxy: explain says why and where to, with what rests', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 429, { error: { message: 'slow' } }, { 'retry-after': '60' }))
  const { url, proxy } = await startProxy(context, { backends: backendsAt(up.url), routes: [{ model: 'fast', to: ['chat:m', 'anthropic'] }] })
  await ask(url, 'chat', 'chat/m')
  const { lines, chain, reason } = proxy.explain('fast')
  deepStrictEqual(chain, [{ backend: 'chat', model: 'm' }, { backend: 'anthropic', model: 'fast' }])
  strictEqual(reason, 'the route "fast" matches')
  match(lines.join('\n'), /asks chat for m \(.* resting until .*\)\nthen anthropic for fast/)
  throws(() => proxy.explain('nobody'), /no backend serves/)
})

for (const [client, backend] of PAIRS) {
  test(`answers: every one says where it came from (${client} from ${backend})`, async (context) => {
    const up = await startUpstream(context, ({ body }, response) =>
      body.includes('"stream":true') ? sendSse(response, [wholeStream(backend)]) : sendJson(response, 200, WHOLES[backend]))
    const { url, records } = await startProxy(context, { backends: backendsAt(up.url), routes: [{ model: 'mine', to: [`${backend}:real/näme`] }] })
    for (const stream of [true, false]) {
      const response = await ask(url, client, 'mine', { stream, ...(client === backend ? {} : { logit_bias: { 1: 2 }, top_k: 3, max_tool_calls: 2 }) })
      const text = await response.text()
      const { headers } = response
      deepStrictEqual([response.status, headers.get('dario-backend'), headers.get('dario-model'), headers.get('dario-attempts')], [200, backend, 'real/n%c3%a4me', '1'])
      strictEqual(headers.get('dario-request-id'), records.at(-1)?.id)
      strictEqual(headers.get('dario-dropped') === null, client === backend)
      // M5: a translated answer bears the name that the client asked for.
      if (client !== backend) ok(text.includes('"model":"mine"') && !text.includes('"model":"m"'))
      match(headers.get('content-type') ?? '', stream ? /^text\/event-stream/ : /^application\/json/)
      if (stream) deepStrictEqual([headers.get('cache-control'), headers.get('x-accel-buffering')], ['no-cache', 'no'])
    }
    for (const record of records) checkRecord(record, backend)
  })
}

function checkRecord({ model, backend, servedModel, key, status, end, usage, attempts, firstByteMs, responseBytes }: RequestRecord, expected: string): void {
  deepStrictEqual([model, backend, servedModel, status, end], ['mine', expected, 'real/näme', 200, 'complete'])
  deepStrictEqual(attempts.map(({ outcome }) => outcome), ['ok'])
  match(key ?? '', new RegExp(`^${expected}#1$`))
  ok(firstByteMs !== undefined && responseBytes > 50)
  if (expected !== 'chat') deepStrictEqual([usage?.input, usage?.output], [3, 2])
}

test('createProxy: options may say all that the file may: names of models, budgets of everything', async (context) => {
  const proxy = createProxy({
    environment: {}, backends: { mine: { type: 'openai', models: ['a', { id: 'b', maxInputTokens: 5 }] } }, budgets: [{ per: 'day', tokens: 5 }],
  })
  context.after(() => proxy.close(0))
  strictEqual(proxy.explain('mine:a').chain[0]?.backend, 'mine')
})
