/**
 * What a relayed request is changed in after its backend refused it: the least that lets it pass.
 * @module
 */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { JsonObject } from '../src/hub/types.ts'

const REFUSED = [
  ['Q10: the older name of the token limit', { max_tokens: 7 }, /"max_tokens"/, { max_completion_tokens: 7 },
    'Unsupported parameter: \'max_tokens\' is not supported with this model. Use \'max_completion_tokens\' instead.'],
  ['Q10: the newer name of the token limit', { max_completion_tokens: 7 }, /"max_completion_tokens"/, { max_tokens: 7 },
    'Unrecognized request argument supplied: max_completion_tokens'],
  ['Q10: reasoning of earlier turns', { messages: [{ role: 'assistant', content: 'a', reasoning_content: 'b' }] }, /reasoning_content/,
    { messages: [{ role: 'assistant', content: 'a' }] }, 'Unknown parameter: \'messages[0].reasoning_content\'.'],
] as const

for (const [what, sent, refused, expected, message] of REFUSED) test(`${what} is changed after a refusal, and from then on at once`, async (t) => {
  const { url, received } = await startUpstream(t, ({ body }, response) => {
    if (refused.test(body.toString())) return sendJson(response, 400, { error: { message, type: 'invalid_request_error', param: null, code: 'unsupported_parameter' } })
    return sendJson(response, 200, { id: 'chatcmpl-1', object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }] })
  })
  const { url: proxy } = await startProxy(t, { backends: backendsAt(url), routes: [{ model: '*', to: ['chat'] }] })
  for (const requests of [2, 3]) {
    const response = await fetch(`${proxy}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'm', seed: 1, ...sent }) })
    strictEqual(response.status, 200)
    deepStrictEqual([received.length, JSON.parse(received.at(-1)!.body.toString()) as JsonObject], [requests, { model: 'm', seed: 1, ...expected }])
  }
})

test('R17: reasoning that another backend answered with is left out when this one does not know it', async (t) => {
  const unknown = { message: 'Item with id \'rs_1\' not found. Items are not persisted when `store` is set to false.', type: 'invalid_request_error', param: 'input', code: null }
  const { url, received } = await startUpstream(t, ({ body }, response) => {
    if (body.includes('rs_1')) return sendJson(response, 404, { error: unknown })
    return sendJson(response, 200, { id: 'resp_1', object: 'response', status: 'completed', output: [] })
  })
  const { url: proxy } = await startProxy(t, { backends: backendsAt(url), routes: [{ model: '*', to: ['responses'] }] })
  const input = [{ role: 'user', content: 'a' }, { type: 'reasoning', id: 'rs_1', summary: [] }, { role: 'assistant', content: 'b' }, { role: 'user', content: 'c' }]
  const { status } = await fetch(`${proxy}/v1/responses`, { method: 'POST', body: JSON.stringify({ model: 'm', input }) })
  const sent = JSON.parse(received.at(-1)!.body.toString()) as JsonObject
  deepStrictEqual([status, received.length, sent['input']], [200, 2, input.filter(({ type }) => type === undefined)])
})
