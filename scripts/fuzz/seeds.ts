/**
 * What the fuzzers of the dialects start from: a request of each dialect that uses most of it, and the recorded answers.
 * @module
 */
import type { DialectName, JsonObject } from '../../src/hub/types.ts'
import { listFixtures, readEvents, readWhole } from '../../test/helpers/fixtures.ts'

const schema = { type: 'object', properties: { city: { type: 'string', enum: ['a', 'b'] }, deep: { $ref: '#/$defs/d' } }, required: ['city'], $defs: { d: { anyOf: [{ type: 'null' }, { type: 'array', items: {} }] } } }
const PNG = 'iVBORw0KGgo='

export const REQUESTS: Readonly<Record<DialectName, readonly JsonObject[]>> = {
  anthropic: [{
    model: 'claude-sonnet-4-5', max_tokens: 4096, stream: true, temperature: 0.5, top_p: 0.9, top_k: 5, stop_sequences: ['STOP'],
    system: [{ type: 'text', text: 'be brief', cache_control: { type: 'ephemeral', ttl: '1h' } }],
    thinking: { type: 'enabled', budget_tokens: 2048 }, metadata: { user_id: 'user_1' }, service_tier: 'auto', output_config: { effort: 'high' },
    tools: [{ name: 'get', description: 'gets', input_schema: schema, strict: true }, { type: 'web_search_20250305', name: 'web_search', max_uses: 3 }, { type: 'bash_20250124', name: 'bash' }],
    tool_choice: { type: 'tool', name: 'get', disable_parallel_tool_use: true },
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'look' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } }, { type: 'document', title: 'd', source: { type: 'text', media_type: 'text/plain', data: 'hi' } }, { type: 'image', source: { type: 'url', url: 'https://a/b.png' } }] },
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: 'c2ln' }, { type: 'redacted_thinking', data: 'eA==' }, { type: 'text', text: 'calling' }, { type: 'tool_use', id: 'toolu_1', name: 'get', input: { city: 'a' } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', is_error: false, content: [{ type: 'text', text: 'sunny' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } }] }, { type: 'text', text: 'and?' }] },
      { role: 'system', content: 'mid' }, { role: 'assistant', content: 'prefill' },
    ],
  }],
  chat: [{
    model: 'gpt-5', stream: true, stream_options: { include_usage: true }, max_tokens: 10, max_completion_tokens: 100, temperature: 1, top_p: 1, presence_penalty: 0, n: 1, stop: 'STOP', seed: 1,
    reasoning_effort: 'high', parallel_tool_calls: false, user: 'u', prompt_cache_key: 'k', service_tier: 'auto', logprobs: false, verbosity: 'low',
    response_format: { type: 'json_schema', json_schema: { name: 'f', schema, strict: true } },
    tools: [{ type: 'function', function: { name: 'get', description: 'gets', parameters: schema, strict: true } }, { type: 'custom', custom: { name: 'raw', format: { type: 'text' } } }],
    tool_choice: { type: 'function', function: { name: 'get' } },
    messages: [
      { role: 'system', content: 'be brief' }, { role: 'developer', content: [{ type: 'text', text: 'dev' }] },
      { role: 'user', name: 'ann', content: [{ type: 'text', text: 'look' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}`, detail: 'low' } }, { type: 'file', file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${PNG}` } }, { type: 'input_audio', input_audio: { data: PNG, format: 'wav' } }] },
      { role: 'assistant', content: null, reasoning_content: 'hm', reasoning_details: [{ type: 'reasoning.text', text: 'hm', signature: 's' }], refusal: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get', arguments: '{"city":"a"}' } }, { id: 'call_2', type: 'custom', custom: { name: 'raw', input: 'x' } }] },
      { role: 'tool', tool_call_id: 'call_1', content: 'sunny' }, { role: 'tool', tool_call_id: 'call_2', content: [{ type: 'text', text: 'ok' }] }, { role: 'user', content: 'and?' },
    ],
  }, { model: 'm', messages: [{ role: 'user', content: 'Hi' }], functions: [{ name: 'f', parameters: {} }], function_call: { name: 'f' } }],
  responses: [{
    model: 'gpt-5', stream: true, instructions: 'be brief', max_output_tokens: 100, temperature: 1, top_p: 1, store: false, truncation: 'disabled', parallel_tool_calls: true, user: 'u', prompt_cache_key: 'k', safety_identifier: 's', metadata: { a: 'b' }, include: ['reasoning.encrypted_content'],
    reasoning: { effort: 'high', summary: 'auto' }, text: { format: { type: 'json_schema', name: 'f', schema, strict: true }, verbosity: 'low' },
    tools: [{ type: 'function', name: 'get', description: 'gets', parameters: schema, strict: true }, { type: 'custom', name: 'raw', format: { type: 'grammar', syntax: 'lark', definition: 'x' } }, { type: 'web_search' }, { type: 'namespace', name: 'ns', tools: [{ type: 'function', name: 'inner', parameters: {} }] }, { type: 'mcp', server_label: 's', server_url: 'https://a' }],
    tool_choice: { type: 'function', name: 'get' },
    input: [
      { type: 'message', role: 'developer', content: 'dev' }, { role: 'user', content: [{ type: 'input_text', text: 'look' }, { type: 'input_image', image_url: `data:image/png;base64,${PNG}`, detail: 'low' }, { type: 'input_file', filename: 'a.pdf', file_data: `data:application/pdf;base64,${PNG}` }, { type: 'input_image', file_id: 'file_1' }] },
      { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'enc' },
      { type: 'message', role: 'assistant', id: 'msg_1', status: 'completed', content: [{ type: 'output_text', text: 'calling', annotations: [] }, { type: 'refusal', refusal: 'no' }] },
      { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'get', arguments: '{"city":"a"}', status: 'completed' }, { type: 'function_call_output', call_id: 'call_1', output: [{ type: 'input_text', text: 'sunny' }] },
      { type: 'custom_tool_call', call_id: 'call_2', name: 'raw', input: 'x' }, { type: 'custom_tool_call_output', call_id: 'call_2', output: 'ok' }, { type: 'compaction', encrypted_content: 'e' },
      { role: 'user', content: 'and?' },
    ],
  }, { model: 'm', input: 'Hi', previous_response_id: null }],
}

export const DIALECT_NAMES: readonly DialectName[] = ['anthropic', 'chat', 'responses']

/** Not the largest: they cost a hundred executions each and hold nothing that is not elsewhere. */
function read<Value>(kind: 'stream' | 'whole', reader: (dialect: DialectName, name: string) => Value): Record<DialectName, Value[]> {
  const of = (dialect: DialectName): Value[] => listFixtures(dialect, kind).map((name) => reader(dialect, name)).filter((value) => JSON.stringify(value).length < 12_000)
  return { anthropic: of('anthropic'), chat: of('chat'), responses: of('responses') }
}

/** At most 40 events of each: the middle of a long answer repeats itself. */
export const STREAMS: Readonly<Record<DialectName, JsonObject[][]>> = read('stream', (dialect, name) => {
  const events = readEvents(dialect, name)
  return events.length <= 40 ? events : [...events.slice(0, 25), ...events.slice(-15)]
})
export const WHOLES: Readonly<Record<DialectName, JsonObject[]>> = read('whole', readWhole)
