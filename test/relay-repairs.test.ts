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

test('T2: a request whose thinking is switched off loses the edits of its thoughts too', async (t) => {
  const { url, received } = await startUpstream(t, ({ body }, response) => {
    const { thinking, context_management: edits } = JSON.parse(body.toString()) as JsonObject
    const refuse = (message: string): void => sendJson(response, 400, { type: 'error', error: { type: 'invalid_request_error', message } })
    if (body.includes('"signature"')) return refuse('messages.1.content.0: Invalid `signature` in `thinking` block')
    if ((thinking as JsonObject)['type'] === 'disabled' && JSON.stringify(edits).includes('clear_thinking'))
      return refuse('`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive')
    sendJson(response, 200, { type: 'message', id: 'msg_1', content: [{ type: 'text', text: 'ok' }], stop_reason: 'end_turn', usage: {} })
  })
  const { url: proxy } = await startProxy(t, { backends: backendsAt(url), routes: [{ model: '*', to: ['anthropic'] }] })
  const keep = { type: 'clear_tool_uses_20250919' }
  const response = await fetch(`${proxy}/v1/messages`, {
    method: 'POST', body: JSON.stringify({
      model: 'm', max_tokens: 4096, thinking: { type: 'enabled', budget_tokens: 1024 },
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }, keep] },
      messages: [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: [{ type: 'thinking', thinking: 'a', signature: '' }, { type: 'tool_use', id: 'x', name: 'f', input: {} }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x', content: 'b' }] },
      ],
    }),
  })
  strictEqual(response.status, 200, await response.text())
  deepStrictEqual((JSON.parse(received.at(-1)!.body.toString()) as JsonObject)['context_management'], { edits: [keep] })
})

test('T1: a tool turn that another vendor answered without thinking goes on without it, the next turn thinks again', async (t) => {
  const { url, received } = await startUpstream(t, ({ body }, response) => {
    const { thinking, messages } = JSON.parse(body.toString()) as { thinking: JsonObject; messages: { content: JsonObject[] }[] }
    const answers = messages.at(-1)!.content.some(({ type }) => type === 'tool_result')
    if (answers && thinking['type'] === 'enabled' && messages.at(-2)!.content[0]!['type'] !== 'thinking') return sendJson(response, 400, { type: 'error', error: {
      type: 'invalid_request_error', message: 'messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block',
    } })
    sendJson(response, 200, { type: 'message', id: 'msg_1', content: [{ type: 'text', text: 'ok' }], stop_reason: 'end_turn', usage: {} })
  })
  const { url: proxy } = await startProxy(t, { backends: backendsAt(url), routes: [{ model: '*', to: ['anthropic'] }] })
  const ask = async (...more: JsonObject[]): Promise<unknown> => {
    const messages = [
      { role: 'user', content: [{ type: 'text', text: 'hi' }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'x', name: 'f', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x', content: 'b' }] }, ...more,
    ]
    const body = { model: 'm', max_tokens: 4096, thinking: { type: 'enabled', budget_tokens: 1024 }, messages }
    const response = await fetch(`${proxy}/v1/messages`, { method: 'POST', body: JSON.stringify(body) })
    strictEqual(response.status, 200, await response.text())
    return (JSON.parse(received.at(-1)!.body.toString()) as JsonObject)['thinking']
  }
  deepStrictEqual(await ask(), { type: 'disabled' })
  const next = await ask({ role: 'assistant', content: [{ type: 'text', text: 'ok' }] }, { role: 'user', content: [{ type: 'text', text: 'more' }] })
  deepStrictEqual(next, { type: 'enabled', budget_tokens: 1024 })
})
