/**
 * `dario-dropped`: what the target cannot say is listed by the client's own JSON paths, and nothing else is.
 * @module
 */
import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { DialectName, JsonObject } from '../src/hub/types.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

const PATHS: Record<DialectName, string> = { anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses' }
const hi = [{ role: 'user', content: 'hi' }]

async function dropped(context: TestContext, client: DialectName, target: string, body: JsonObject): Promise<string[]> {
  const upstream = await startUpstream(context, ({ url }, response) => {
    if (url.endsWith('/messages')) return sendJson(response, 200, { type: 'message', id: 'msg_1', content: [{ type: 'text', text: 'ok' }], stop_reason: 'end_turn', usage: {} })
    if (url.endsWith('/completions')) return sendJson(response, 200, { choices: [{ message: { content: 'ok' }, finish_reason: 'stop' }] })
    sendJson(response, 200, { status: 'completed', output: [{ type: 'message', content: [{ type: 'output_text', text: 'ok' }] }] })
  })
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  const response = await fetch(url + PATHS[client], {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: `${target}:m`, ...body }),
  })
  equal(response.status, 200, await response.text())
  return response.headers.get('dario-dropped')?.split(', ') ?? []
}

const PLAIN: Record<DialectName, JsonObject> = {
  anthropic: { max_tokens: 100, messages: hi, stream: false, system: 'Be brief.', metadata: { user_id: 'u' } },
  chat: { messages: hi, stream: false, n: 1, service_tier: 'auto', logprobs: false, store: false, user: 'u', max_completion_tokens: 100, temperature: 1, response_format: { type: 'text' } },
  responses: { input: 'hi', stream: false, store: false, include: ['reasoning.encrypted_content'], instructions: 'Be brief.', parallel_tool_calls: true, tool_choice: 'auto', tools: [], truncation: 'disabled', service_tier: 'auto', client_metadata: { a: 'b' } },
}

for (const [client, body] of Object.entries(PLAIN) as [DialectName, JsonObject][]) {
  for (const target of Object.keys(PATHS)) {
    test(`dropped: nothing of a plain ${client} request is, on a ${target} backend`, async (context) => {
      deepEqual(await dropped(context, client, target, body), [])
    })
  }
}

const LOST: [client: DialectName, target: string, body: JsonObject, paths: string[]][] = [
  ['chat', 'anthropic', { messages: hi, seed: 1, logit_bias: { 5: 1 } }, ['seed', 'logit_bias']],
  ['chat', 'responses', { messages: hi, seed: 1, stop: ['x'] }, ['stop', 'seed']],
  ['chat', 'anthropic', { messages: hi, constructor: 1, toString: 'x' }, ['constructor', 'toString']],
  ['chat', 'anthropic', { messages: hi, service_tier: 'flex' }, ['service_tier']],
  ['responses', 'anthropic', { input: 'hi', service_tier: 'priority' }, ['service_tier']],
  ['anthropic', 'chat', { max_tokens: 9, messages: hi, cache_control: { type: 'ephemeral' }, output_config: { effort: 'novel', task_budget: { type: 'tokens', total: 9 } } }, ['output_config.effort', 'output_config.task_budget']],
  ['chat', 'anthropic', { messages: [{ role: 'user', name: 'ann', content: 'hi' }] }, ['messages[0].name']],
  ['chat', 'anthropic', { messages: [{ role: 'system', name: 'bob', content: 'hi' }, { role: 'assistant', name: 'eve', content: 'hi' }, ...hi] }, ['messages[0].name', 'messages[1].name']],
  ['chat', 'responses', { messages: [...hi, { role: 'assistant', audio: { id: 'audio_1' } }, ...hi] }, ['messages[1].audio']],
  ['chat', 'anthropic', { messages: hi, response_format: { type: 'grammar', grammar: 'x' } }, ['response_format']],
  ['anthropic', 'responses', { max_tokens: 9, messages: hi, stop_sequences: ['x'], top_k: 5 }, ['top_k', 'stop_sequences']],
  ['anthropic', 'chat', { max_tokens: 9, messages: hi, tools: [{ type: 'code_execution_20250825', name: 'code_execution' }] }, ['tools[0]']],
  ['anthropic', 'chat', { max_tokens: 9, messages: [...hi, { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: 's' }, { type: 'text', text: 'yes' }] }, ...hi] }, ['messages[1]']],
  ['responses', 'anthropic', { input: 'hi', text: { verbosity: 'low' }, max_tool_calls: 3 }, ['max_tool_calls', 'text.verbosity']],
  ['responses', 'chat', { input: 'hi', service_tier: 'flex' }, ['service_tier']],
  ['responses', 'chat', { input: 'hi', tools: [{ type: 'file_search', vector_store_ids: [] }] }, ['tools[0]']],
  ['responses', 'anthropic', { input: [...hi, { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'e' }, { role: 'assistant', content: 'yes' }, ...hi] }, ['input[1]']],
]

for (const [client, target, body, paths] of LOST) {
  test(`dropped: ${paths.join(' and ')} of a ${client} request on a ${target} backend`, async (context) => {
    deepEqual(await dropped(context, client, target, body), paths)
  })
}
