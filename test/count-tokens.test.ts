import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { makeRequest } from './helpers/answers.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { JsonObject } from '../src/hub/types.ts'

const PATH = '/v1/messages/count_tokens'

function count(url: string, model: string, more: JsonObject = {}, query = ''): Promise<Response> {
  return fetch(url + PATH + query, { method: 'POST', headers: { 'anthropic-beta': 'x-1' }, body: JSON.stringify(makeRequest('anthropic', model, more)) })
}

test('count_tokens: N2, N5: an Anthropic backend counts, asked with the query string and without the prefix', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 200, { input_tokens: 42, future: 1 }))
  const { url, records } = await startProxy(context, { backends: backendsAt(up.url) })
  const response = await count(url, 'anthropic/claude-x', {}, '?beta=true')
  deepStrictEqual(await response.json(), { input_tokens: 42, future: 1 })
  deepStrictEqual([response.headers.get('dario-backend'), response.headers.get('dario-estimated')], ['anthropic', null])
  const [asked] = up.received
  deepStrictEqual([asked?.url, (JSON.parse(String(asked?.body)) as JsonObject)['model'], asked?.headers['anthropic-beta']], [`${PATH}?beta=true`, 'claude-x', 'x-1'])
  strictEqual(records[0]?.end, 'complete')
})

test('count_tokens: N1: for a backend of another dialect the count is estimated, and says so', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 500, {}))
  const { url } = await startProxy(context, { backends: backendsAt(up.url) })
  for (const model of ['chat/gpt-x', 'responses/gpt-x', 'echo']) {
    const response = await count(url, model, { system: 'word '.repeat(1000) })
    const { input_tokens: tokens } = await response.json() as { input_tokens: number }
    deepStrictEqual([response.status, response.headers.get('dario-estimated')], [200, 'true'])
    ok(tokens > 700 && tokens < 1400, `${tokens}`)
  }
  strictEqual(up.received.length, 0)
})

test('count_tokens: N3: a server without the endpoint is asked once', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 404, { error: 'no such path' }))
  const { url, records } = await startProxy(context, { backends: backendsAt(up.url) })
  for (let turn = 0; turn < 3; turn++) {
    const response = await count(url, 'anthropic/m')
    deepStrictEqual([response.status, response.headers.get('dario-estimated')], [200, 'true'])
    ok((await response.json() as { input_tokens: number }).input_tokens > 0)
  }
  strictEqual(up.received.length, 1)
  ok(records.every(({ end, status }) => end === 'complete' && status === 200))
})

test('count_tokens: N3: a model that a server does not know says nothing of its endpoint', async (context) => {
  const up = await startUpstream(context, ({ body }, response) => body.includes('mistyped')
    ? sendJson(response, 404, { type: 'error', error: { type: 'not_found_error', message: 'model: mistyped' } })
    : sendJson(response, 200, { input_tokens: 7 }))
  const { url } = await startProxy(context, { backends: backendsAt(up.url) })
  await count(url, 'anthropic/mistyped')
  strictEqual((await (await count(url, 'anthropic/m')).json() as { input_tokens: number }).input_tokens, 7)
})

test('count_tokens: a backend that cannot answer now is estimated for, and asked again', async (context) => {
  let status = 529
  const up = await startUpstream(context, (_, response) => sendJson(response, status, { input_tokens: 7, error: { type: 'overloaded_error', message: 'busy' } }))
  const { url } = await startProxy(context, { backends: backendsAt(up.url) })
  strictEqual((await count(url, 'anthropic/m')).headers.get('dario-estimated'), 'true')
  status = 200
  strictEqual((await (await count(url, 'anthropic/m')).json() as { input_tokens: number }).input_tokens, 7)
})

test('count_tokens: the client\'s own mistake is told, not estimated away', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 400, { type: 'error', error: { type: 'invalid_request_error', message: 'messages: wrong' } }))
  const { url } = await startProxy(context, { backends: backendsAt(up.url) })
  const response = await count(url, 'anthropic/m')
  strictEqual(response.status, 400)
  match(await response.text(), /messages: wrong/)
})

test('count_tokens: images are not counted as their base64', async (context) => {
  const { url } = await startProxy(context, {})
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'A'.repeat(400_000) } }
  const response = await count(url, 'echo', { messages: [{ role: 'user', content: [image] }] as unknown as JsonObject[] })
  ok((await response.json() as { input_tokens: number }).input_tokens < 5_000)
})
