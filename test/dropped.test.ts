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

/** @param refusal finds, and may name in its group, what the upstream does not take. */
async function dropped(context: TestContext, client: DialectName, target: string, body: JsonObject, refusal?: RegExp): Promise<string[]> {
  const upstream = await startUpstream(context, ({ url, body: sent }, response) => {
    const [found, refused = 'response_format'] = refusal?.exec(sent.toString()) ?? []
    if (found !== undefined) return sendJson(response, 400, { error: { type: 'invalid_request_error', message: `${refused}: Extra inputs are not permitted, unsupported` } })
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
  ['chat', 'anthropic', { messages: hi, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } } }, ['response_format']],
  ['responses', 'anthropic', { input: 'hi', text: { format: { type: 'json_schema', name: 'x', schema: {} } } }, ['text.format']],
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

const schema = { type: 'object', properties: {} }
const named = (name: string): JsonObject => ({ type: 'function', name, parameters: schema })
const inChat = (name: string, more: JsonObject = {}): JsonObject => ({ type: 'function', function: { name, parameters: schema, ...more } })
const search: JsonObject = { type: 'file_search', vector_store_ids: [] }

const MOVED: typeof LOST = [
  ['anthropic', 'chat', { max_tokens: 9, messages: hi, tools: [{ name: 'f', input_schema: schema }, { name: 'f', input_schema: schema }, { type: 'bash_20250124', name: 'bash' }] }, ['tools[2]']],
  ['chat', 'anthropic', { messages: hi, tools: [inChat('f'), inChat('g'), search], tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [inChat('g')] } }, ['tools[2]']],
  ['chat', 'responses', { messages: hi, functions: [{ name: 'f', parameters: schema }], web_search_options: {} }, ['web_search_options']],
  ['responses', 'anthropic', { input: 'hi', tools: [named('f'), named('f'), search] }, ['tools[2]']],
  ['responses', 'chat', { input: 'hi', tools: [named('f'), named('g'), search], tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [search] } }, ['tools[2]']],
  ['responses', 'chat', { input: 'hi', tools: [{ type: 'namespace', name: 'n', tools: [named('f'), named('g'), { ...search, vector_store_ids: ['v'] }] }, search] }, ['tools[0].tools[2]', 'tools[1]']],
  ['responses', 'anthropic', { input: [...hi, { type: 'additional_tools', role: 'developer', tools: [named('f'), search] }], tools: [named('g')] }, ['input[1].tools[1]']],
]

for (const [client, target, body, paths] of MOVED) {
  test(`dropped: tools are counted as the ${client} client wrote them: ${paths.join(' and ')} on a ${target} backend`, async (context) => {
    deepEqual(await dropped(context, client, target, body), paths)
  })
}

/** What only the server can hold a model to, in each client's words and by its own path. */
const WISHES: Record<'strict' | 'parallel' | 'schema', Record<DialectName, [body: JsonObject, path: string]>> = {
  strict: {
    anthropic: [{ tools: [{ name: 'f', input_schema: schema, strict: true }] }, 'tools[0].strict'],
    chat: [{ tools: [inChat('f', { strict: true })] }, 'tools[0].function.strict'],
    responses: [{ tools: [{ ...named('f'), strict: true }] }, 'tools[0].strict'],
  },
  parallel: {
    anthropic: [{ tools: [{ name: 'f', input_schema: schema }], tool_choice: { type: 'auto', disable_parallel_tool_use: true } }, 'tool_choice.disable_parallel_tool_use'],
    chat: [{ tools: [inChat('f')], parallel_tool_calls: false }, 'parallel_tool_calls'],
    responses: [{ tools: [named('f')], parallel_tool_calls: false }, 'parallel_tool_calls'],
  },
  schema: {
    anthropic: [{ output_config: { format: { type: 'json_schema', schema } } }, 'output_config.format'],
    chat: [{ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }, 'response_format'],
    responses: [{ text: { format: { type: 'json_schema', name: 'x', schema } } }, 'text.format'],
  },
}
const REFUSALS: Record<keyof typeof WISHES, RegExp> = {
  strict: /"(strict)":true/, parallel: /"(disable_parallel_tool_use|parallel_tool_calls)"/, schema: /"(response_format|json_schema)"/,
}

for (const [wish, clients] of Object.entries(WISHES) as [keyof typeof WISHES, (typeof WISHES)['strict']][]) {
  for (const [client, [body, path]] of Object.entries(clients) as [DialectName, [JsonObject, string]][]) {
    for (const target of Object.keys(PATHS).filter((name) => name !== client)) {
      test(`dropped: ${path} of a ${client} client, where a ${target} backend refused it`, async (context) => {
        deepEqual(await dropped(context, client, target, { ...PLAIN[client], ...body }, REFUSALS[wish]), [path])
      })
    }
  }
}

const HELD: [...(typeof LOST)[number], refusal: RegExp][] = [
  ['chat', 'responses', { messages: hi, response_format: { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } } }, ['response_format.json_schema.strict'], REFUSALS.strict],
  ['responses', 'chat', { input: 'hi', text: { format: { type: 'json_schema', name: 'x', schema, strict: true } } }, ['text.format.strict'], REFUSALS.strict],
  ['chat', 'anthropic', { messages: hi, response_format: { type: 'json_object' } }, ['response_format'], /never/],
  ['chat', 'responses', { messages: hi, response_format: { type: 'json_object' } }, ['response_format'], /"json_object"/],
  ['responses', 'chat', { input: 'hi', text: { format: { type: 'json_object' } } }, ['text.format'], /"(response_format)"/],
  ['responses', 'chat', { input: 'hi', tools: [{ type: 'custom', name: 'c', format: { type: 'grammar', syntax: 'regex', definition: 'a' } }] }, ['tools[0].format'], /never/],
  ['responses', 'anthropic', { input: 'hi', tools: [{ type: 'custom', name: 'c', format: { type: 'grammar', syntax: 'regex', definition: 'a' } }] }, ['tools[0].format'], /never/],
  ['anthropic', 'responses', { max_tokens: 2000, messages: hi, thinking: { type: 'enabled', budget_tokens: 1024 } }, ['thinking'], /"(reasoning)"/],
  ['chat', 'responses', { messages: hi, service_tier: 'scale' }, ['service_tier'], /never/],
]

for (const [client, target, body, paths, refusal] of HELD) {
  test(`dropped: ${paths.join(' and ')} of a ${client} request that a ${target} backend cannot be held to`, async (context) => {
    deepEqual(await dropped(context, client, target, body, refusal), paths)
  })
}
