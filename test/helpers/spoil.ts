/**
 * Rich requests of each dialect, and what breaks them.
 * @module
 */
import type { DialectName, Json, JsonObject } from '../../src/hub/types.ts'
import type { Random } from './property.ts'

const PNG = 'iVBORw0KGgo='
/** One request of each dialect with a bit of everything in it, to be spoilt. */
export const RICH: Record<DialectName, JsonObject> = {
  anthropic: {
    max_tokens: 4000, temperature: 1, stop_sequences: ['END'], metadata: { user_id: 'u' }, thinking: { type: 'enabled', budget_tokens: 1024 },
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral', ttl: '1h' } }],
    tools: [{ name: 'read', description: 'reads', input_schema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] } }],
    tool_choice: { type: 'auto', disable_parallel_tool_use: true }, output_config: { effort: 'high', format: { type: 'json_schema', schema: { type: 'object' } } },
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'look' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } }] },
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: 's' }, { type: 'tool_use', id: 't1', name: 'read', input: { path: 'a' } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', is_error: false, content: [{ type: 'text', text: 'out' }, { type: 'image', source: { type: 'url', url: 'https://x.test/a.png' } }] }, { type: 'document', title: 'd', source: { type: 'text', media_type: 'text/plain', data: 'doc' } }] },
    ],
  },
  chat: {
    max_tokens: 4000, temperature: 1, stop: ['END'], user: 'u', reasoning_effort: 'high', parallel_tool_calls: false, metadata: { a: 'b' }, seed: 1,
    tools: [{ type: 'function', function: { name: 'read', description: 'reads', parameters: { type: 'object', properties: { path: { type: 'string' } } }, strict: true } }],
    tool_choice: { type: 'function', function: { name: 'read' } }, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' } } },
    messages: [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', name: 'ann', content: [{ type: 'text', text: 'look' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}`, detail: 'low' } }, { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERg==' } }] },
      { role: 'assistant', content: null, reasoning_content: 'hm', reasoning_details: [{ type: 'reasoning.text', text: 'hm' }], tool_calls: [{ id: 't1', type: 'function', function: { name: 'read', arguments: '{"path":"a"}' } }] },
      { role: 'tool', tool_call_id: 't1', content: [{ type: 'text', text: 'out' }] },
      { role: 'user', content: 'go on' },
    ],
  },
  responses: {
    max_output_tokens: 4000, temperature: 1, instructions: 'Be brief.', store: false, include: ['reasoning.encrypted_content'], reasoning: { effort: 'high', summary: 'auto' },
    tools: [{ type: 'function', name: 'read', parameters: { type: 'object', properties: { path: { type: 'string' } } } }, { type: 'custom', name: 'patch', format: { type: 'grammar', syntax: 'lark', definition: 'x' } }, { type: 'namespace', name: 'n', tools: [{ type: 'function', name: 'read', parameters: {} }] }],
    tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'read' }] }, text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object' } }, verbosity: 'low' },
    input: [
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'look' }, { type: 'input_image', image_url: `data:image/png;base64,${PNG}` }, { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERg==' }] },
      { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'e' },
      { type: 'function_call', id: 'fc_1', call_id: 't1', name: 'read', arguments: '{"path":"a"}' },
      { type: 'custom_tool_call', id: 'ctc_1', call_id: 't2', name: 'patch', input: '*** Begin' },
      { type: 'function_call_output', call_id: 't1', output: [{ type: 'input_text', text: 'out' }] },
      { type: 'custom_tool_call_output', call_id: 't2', output: 'done' },
      { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search', query: 'q' } },
    ],
  },
}

const JUNK: readonly (() => Json)[] = [
  () => null, () => 7, () => -1.5, () => '', () => 'x', () => true, () => [], () => ({}), () => [null], () => [[]], () => ({ type: 'novel' }),
  () => ({ type: 'tool_result' }), () => '{"not json', () => '\ud800', () => 'y'.repeat(300), () => ({ type: 'text', text: { text: 1 } }), () => ({ toString: 1, constructor: 1 }),
]

/** Replaces, removes or doubles one node somewhere in the value. */
function spoil(value: Json, random: Random): Json {
  if (typeof value !== 'object' || value === null || random(6) === 0) return JUNK[random(JUNK.length)]!()
  if (Array.isArray(value)) {
    if (value.length === 0) return [JUNK[random(JUNK.length)]!()]
    const at = random(value.length), how = random(8)
    if (how === 0) return value.toSpliced(at, 1)
    if (how === 1) return [...value, value[at]!]
    return value.with(at, spoil(value[at]!, random))
  }
  const keys = Object.keys(value), key = keys[random(keys.length)]
  if (key === undefined) return JUNK[random(JUNK.length)]!()
  if (random(8) === 0) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key))
  return { ...value, [key]: spoil(value[key]!, random) }
}

/** A rich request with one to three random faults. */
export function spoilRequest(client: DialectName, random: Random): JsonObject {
  let body = RICH[client]
  for (let times = 0; times <= random(3); times++) {
    const spoilt = spoil(body, random)
    if (typeof spoilt === 'object' && spoilt !== null && !Array.isArray(spoilt)) body = spoilt
  }
  return body
}
