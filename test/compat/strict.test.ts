import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { startStandIn } from './strict/server.ts'
import type { Api } from './strict/server.ts'

const PATHS: Record<Api, string> = { anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses' }
const say = (content: unknown, role = 'user'): object => ({ role, content })
const TOOL = { name: 'look', input_schema: { type: 'object', properties: {} } }
const CHAT_TOOL = { type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } }
const CALL = say([{ type: 'tool_use', id: 'toolu_1', name: 'look', input: {} }], 'assistant')
const RESULT = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'seen' }
const CHAT_CALL = { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{}' } }] }
const ASK = { model: 'claude-sonnet-4-5', max_tokens: 2000, messages: [say('hello')] }
const CHAT = { model: 'gpt-4.1', messages: [say('hello')] }
const RESPONSES = { model: 'gpt-5', input: 'hello' }
const THINKS = { thinking: { type: 'enabled', budget_tokens: 1024 } }
const FUNCTION_CALL = { type: 'function_call', call_id: 'call_1', name: 'look', arguments: '{}' }
const mark = { type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }

const REFUSED: [Api, string, object, RegExp][] = [
  ['anthropic', 'an unknown field', { ...ASK, frequency_penalty: 1 }, /frequency_penalty: Extra inputs/],
  ['anthropic', 'no max_tokens', { model: 'm', messages: ASK.messages }, /max_tokens: Field required/],
  ['anthropic', 'an empty text block', { ...ASK, messages: [say([{ type: 'text', text: '' }])] }, /non-empty/],
  ['anthropic', 'a blank text block', { ...ASK, messages: [say([{ type: 'text', text: ' \n' }])] }, /non-whitespace/],
  ['anthropic', 'an empty message', { ...ASK, messages: [say('')] }, /non-empty content/],
  ['anthropic', 'a first turn of the assistant', { ...ASK, messages: [say('x', 'assistant'), say('y')] }, /first message/],
  ['anthropic', 'a call without its result', { ...ASK, messages: [say('x'), CALL, say('y')] }, /without `tool_result`/],
  ['anthropic', 'a result without its call', { ...ASK, messages: [say('x'), say('y', 'assistant'), say([RESULT])] }, /unexpected `tool_use_id`/],
  ['anthropic', 'a text in front of a result', { ...ASK, messages: [say('x'), CALL, say([{ type: 'text', text: 'so' }, RESULT])] }, /without `tool_result`/],
  ['anthropic', 'two results for one call', { ...ASK, messages: [say('x'), CALL, say([RESULT, RESULT])] }, /single result/],
  ['anthropic', 'a choice without tools', { ...ASK, tool_choice: { type: 'auto' } }, /while providing tools/],
  ['anthropic', 'a name over 128 characters', { ...ASK, tools: [{ ...TOOL, name: 'x'.repeat(129) }] }, /pattern/],
  ['anthropic', 'a schema that is not an object', { ...ASK, tools: [{ ...TOOL, input_schema: {} }] }, /input_schema.type/],
  ['anthropic', 'a schema with anyOf at its root', { ...ASK, tools: [{ ...TOOL, input_schema: { type: 'object', anyOf: [] } }] }, /top level/],
  ['anthropic', 'five cache marks', { ...ASK, messages: [say([mark, mark, mark, mark, mark])] }, /maximum of 4/],
  ['anthropic', 'a beta field without its header', { ...ASK, context_management: {} }, /Extra inputs/],
  ['anthropic', 'temperature over 1', { ...ASK, temperature: 1.5 }, /above the maximum/],
  ['anthropic', 'temperature with top_p', { ...ASK, temperature: 1, top_p: 1 }, /cannot both/],
  ['anthropic', 'a budget over max_tokens', { ...ASK, ...THINKS, max_tokens: 1024 }, /must be greater/],
  ['anthropic', 'thinking with a forced tool', { ...ASK, ...THINKS, tools: [TOOL], tool_choice: { type: 'any' } }, /forces tool use/],
  ['anthropic', 'a tool turn without its thought', { ...ASK, ...THINKS, tools: [TOOL], messages: [say('x'), CALL, say([RESULT])] }, /Expected `thinking`/],
  ['anthropic', 'a forged signature', { ...ASK, messages: [say('x'), say([{ type: 'thinking', thinking: 'a', signature: 'b' }, { type: 'text', text: 'y' }], 'assistant'), say('z')] }, /Invalid `signature`/],
  ['anthropic', 'a prefill for a newer model', { ...ASK, model: 'claude-opus-4-6', messages: [say('x'), say('y', 'assistant')] }, /prefill/],
  ['chat', 'an unknown field', { ...CHAT, thinking: {} }, /Unknown parameter: 'thinking'/],
  ['chat', 'an unknown member of a message', { ...CHAT, messages: [{ ...say('x', 'assistant'), reasoning_content: 'y' }] }, /Unknown parameter: 'messages\[0\].reasoning_content'/],
  ['chat', 'empty tools', { ...CHAT, tools: [] }, /empty array/],
  ['chat', 'a choice without tools', { ...CHAT, tool_choice: 'auto' }, /only allowed when 'tools'/],
  ['chat', 'parallel_tool_calls without tools', { ...CHAT, parallel_tool_calls: true }, /only allowed when 'tools'/],
  ['chat', 'a schema without properties', { ...CHAT, tools: [{ type: 'function', function: { name: 'a', parameters: { type: 'object' } } }] }, /missing properties/],
  ['chat', 'a strict schema that is open', { ...CHAT, tools: [{ type: 'function', function: { name: 'a', strict: true, parameters: { type: 'object', properties: {} } } }] }, /additionalProperties/],
  ['chat', 'a name over 64 characters', { ...CHAT, tools: [{ type: 'function', function: { name: 'a'.repeat(65) } }] }, /string too long/],
  ['chat', 'a call without its result', { ...CHAT, messages: [CHAT_CALL, say('x')] }, /must be followed by tool messages/],
  ['chat', 'a result without its call', { ...CHAT, messages: [{ role: 'tool', tool_call_id: 'call_1', content: 'x' }] }, /preceeding message/],
  ['chat', 'a result with a picture', { ...CHAT, tools: [CHAT_TOOL], messages: [CHAT_CALL, { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'image_url', image_url: { url: 'https://x' } }] }] }, /expected one of 'text'/],
  ['chat', 'max_tokens of a newer model', { ...CHAT, model: 'gpt-5', max_tokens: 5 }, /max_completion_tokens/],
  ['chat', 'a temperature of a newer model', { ...CHAT, model: 'gpt-5', temperature: 0 }, /does not support 0/],
  ['chat', 'effort of a model that does not reason', { ...CHAT, reasoning_effort: 'low' }, /reasoning_effort/],
  ['chat', 'metadata without store', { ...CHAT, metadata: {} }, /'store' is enabled/],
  ['chat', 'stream_options without a stream', { ...CHAT, stream_options: { include_usage: true } }, /'stream' is enabled/],
  ['chat', 'a long user', { ...CHAT, user: 'x'.repeat(65) }, /string too long/],
  ['responses', 'an unknown field', { ...RESPONSES, max_tokens: 5 }, /Unknown parameter: 'max_tokens'/],
  ['responses', 'an input part in an assistant turn', { ...RESPONSES, input: [say([{ type: 'input_text', text: 'x' }], 'assistant')] }, /'output_text', 'refusal'/],
  ['responses', 'a foreign item id', { ...RESPONSES, input: [{ type: 'message', id: 'x_1', role: 'assistant', content: [] }] }, /begins with 'msg'/],
  ['responses', 'a call without its output', { ...RESPONSES, input: [FUNCTION_CALL] }, /No tool output found/],
  ['responses', 'an output without its call', { ...RESPONSES, input: [{ type: 'function_call_output', call_id: 'call_1', output: '' }] }, /No tool call found/],
  ['responses', 'reasoning without its content', { ...RESPONSES, input: [{ type: 'reasoning', id: 'rs_1', summary: [] }, say('x', 'assistant')] }, /not found/],
  ['responses', 'reasoning that it did not seal', { ...RESPONSES, input: [{ type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'x' }, say('x', 'assistant')] }, /could not be verified/],
  ['responses', 'max_output_tokens under 16', { ...RESPONSES, max_output_tokens: 5 }, /below the minimum/],
  ['responses', 'effort of a model that does not reason', { ...RESPONSES, model: 'gpt-4.1', reasoning: { effort: 'low' } }, /reasoning.effort/],
  ['responses', 'a temperature of a newer model', { ...RESPONSES, temperature: 0 }, /temperature/],
]

test('stand-in: each API refuses what its vendor refuses, in the vendor\'s words', async (t) => {
  const { url, recorded } = await startStandIn(t)
  for (const [api, why, body, words] of REFUSED) await t.test(`${api}: ${why}`, async () => {
    const response = await fetch(url + PATHS[api], { method: 'POST', headers: { 'anthropic-version': '2023-06-01' }, body: JSON.stringify(body) })
    const { error } = await response.json() as { error?: { message: string } }
    strictEqual(response.status, 400)
    ok(words.test(error!.message), error!.message)
    strictEqual(recorded.at(-1)?.refusal, error!.message)
  })
})

test('stand-in: what is right is answered', async (t) => {
  const { url, refusals } = await startStandIn(t)
  const bodies: [Api, object][] = [
    ['anthropic', { ...ASK, tools: [TOOL], messages: [say('x'), CALL, say([RESULT, { type: 'text', text: 'so' }])] }],
    ['chat', { ...CHAT, tools: [CHAT_TOOL], messages: [CHAT_CALL, { role: 'tool', tool_call_id: 'call_1', content: 'x' }, say('y')] }],
    ['responses', { ...RESPONSES, input: [FUNCTION_CALL, { type: 'function_call_output', call_id: 'call_1', output: 'x' }] }],
  ]
  for (const [api, body] of bodies) {
    const response = await fetch(url + PATHS[api], { method: 'POST', headers: { 'anthropic-version': '2023-06-01' }, body: JSON.stringify(body) })
    strictEqual(response.status, 200, await response.text())
  }
  deepStrictEqual(refusals(), [])
})
