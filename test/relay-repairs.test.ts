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
