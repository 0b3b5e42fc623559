/**
 * Chat Completions requests into the hub, as real clients send them.
 * @module
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { chatDialect } from '../src/dialects/chat/dialect.ts'
import { repairToolTurns } from '../src/hub/repair.ts'
import { packSeal } from '../src/hub/seal.ts'
import type { Block, HubRequest, JsonObject, Turn } from '../src/hub/types.ts'

const decode = (body: JsonObject): HubRequest => chatDialect.decodeRequest({ model: 'm', messages: [], ...body }).request
const turnsOf = (...messages: JsonObject[]): Turn[] => decode({ messages }).turns
const userBlocks = (...content: JsonObject[]): Block[] => turnsOf({ role: 'user', content })[0]?.blocks ?? []
const PNG = 'data:image/png;base64,aGk='

test('B4: system and developer messages keep their place', () => {
  const turns = turnsOf({ role: 'system', content: 'a' }, { role: 'user', content: 'b' }, { role: 'developer', content: [{ type: 'text', text: 'c' }] })
  deepStrictEqual(turns, [
    { role: 'system', path: 'messages[0]', blocks: [{ type: 'text', text: 'a' }] },
    { role: 'user', path: 'messages[1]', blocks: [{ type: 'text', text: 'b' }] },
    { role: 'system', path: 'messages[2]', blocks: [{ type: 'text', text: 'c' }] },
  ])
})

test('I1, I5: pictures by data URL and by URL, with their detail', () => {
  deepStrictEqual(userBlocks({ type: 'image_url', image_url: { url: PNG, detail: 'low' } }, { type: 'image_url', image_url: 'https://x/y.png' }), [
    { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'aGk=' }, detail: 'low' },
    { type: 'media', kind: 'image', source: { type: 'url', url: 'https://x/y.png' } },
  ])
})

test('I2, I3: documents in a file part, by id, and inside image_url', () => {
  const pdf = { type: 'base64', mediaType: 'application/pdf', data: 'aGk=' } as const
  deepStrictEqual(userBlocks(
    { type: 'image_url', image_url: { url: 'data:application/pdf;base64,aGk=' } },
    { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,aGk=' } },
    { type: 'file', file: { file_data: 'aGk=' } },
    { type: 'file', file: { file_id: 'file-1' } },
  ), [
    { type: 'media', kind: 'document', source: pdf },
    { type: 'media', kind: 'document', source: pdf, name: 'a.pdf' },
    { type: 'media', kind: 'document', source: pdf },
    { type: 'media', kind: 'document', source: { type: 'file', origin: 'chat', id: 'file-1' } },
  ])
})

test('I4: a text document in a data URL is text', () => {
  deepStrictEqual(userBlocks({ type: 'file', file: { file_data: 'data:text/plain,a%20b' } }),
    [{ type: 'media', kind: 'document', source: { type: 'text', mediaType: 'text/plain', text: 'a b' } }])
})

test('sound is read with its format', () => {
  deepStrictEqual(userBlocks({ type: 'input_audio', input_audio: { data: 'aGk=', format: 'mp3' } }),
    [{ type: 'media', kind: 'audio', source: { type: 'base64', mediaType: 'audio/mpeg', data: 'aGk=' } }])
})

test('B2, Q7: the results of parallel calls are one user turn, whatever form their content has', () => {
  const [assistant, results] = turnsOf(
    { role: 'assistant', content: null, tool_calls: ['a', 'b', 'c', 'd'].map((id) => ({ id, type: 'function', function: { name: 'x', arguments: '{}' } })) },
    { role: 'tool', tool_call_id: 'a', name: 'x', content: 'one' },
    { role: 'tool', tool_call_id: 'b', content: [{ type: 'text', text: 'two' }, { type: 'image_url', image_url: { url: PNG } }] },
    { role: 'tool', tool_call_id: 'c', content: null },
    { role: 'tool', tool_call_id: 'd', content: { rows: 3 } },
  )
  strictEqual(assistant?.blocks.length, 4)
  deepStrictEqual(results?.blocks.map((block) => block.type === 'tool_result' && [block.toolUseId, block.content]), [
    ['a', [{ type: 'text', text: 'one' }]],
    ['b', [{ type: 'text', text: 'two' }, { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'aGk=' } }]],
    ['c', []],
    ['d', [{ type: 'text', text: '{"rows":3}' }]],
  ])
})

test('K11: unknown parts of a tool result become text', () => {
  const [turn] = turnsOf({ role: 'tool', tool_call_id: 'a', content: [{ type: 'mystery', x: 1 }] })
  deepStrictEqual(turn?.blocks, [{ type: 'tool_result', toolUseId: 'a', isError: false, content: [{ type: 'text', text: '{"type":"mystery","x":1}' }] }])
})

test('R7: a result without a call id is plain text', () => {
  deepStrictEqual(turnsOf({ role: 'tool', content: 'lost' })[0]?.blocks, [{ type: 'text', text: 'lost' }])
})

test('O9, K8: arguments may be an object, invalid JSON, or missing', () => {
  const [turn] = turnsOf({ role: 'assistant', tool_calls: [{ a: 1 }, '{broken', undefined].map((value) => ({ id: 'i', function: { name: 'x', arguments: value } })) })
  deepStrictEqual(turn?.blocks.map((block) => block.type === 'tool_use' && block.input), ['{"a":1}', '{broken', ''])
})

test('B14: a call without a name goes, and its result with it, in both forms', () => {
  const turns = turnsOf({ role: 'user', content: 'q' }, { role: 'assistant', tool_calls: [{ id: 'i', function: { name: '', arguments: '{}' } }] },
    { role: 'tool', tool_call_id: 'i', content: 'r' }, { role: 'assistant', function_call: { arguments: '{}' } }, { role: 'function', content: 'r' })
  deepStrictEqual(repairToolTurns(turns).turns.map(({ blocks }) => blocks), [[{ type: 'text', text: 'q' }]])
})

test('custom tool calls keep their raw text', () => {
  deepStrictEqual(turnsOf({ role: 'assistant', tool_calls: [{ id: 'i', type: 'custom', custom: { name: 'x', input: 'raw' } }] })[0]?.blocks,
    [{ type: 'tool_use', id: 'i', name: 'x', input: 'raw', kind: 'custom' }])
})

test('the old functions find their results', () => {
  const { turns, tools } = decode({
    functions: [{ name: 'x', parameters: { type: 'object' } }],
    messages: [{ role: 'assistant', content: null, function_call: { name: 'x', arguments: '{}' } }, { role: 'function', name: 'x', content: 'r' }],
  })
  deepStrictEqual(turns.map((turn) => turn.blocks[0]), [
    { type: 'tool_use', id: 'call_0', name: 'x', input: '{}' },
    { type: 'tool_result', toolUseId: 'call_0', content: [{ type: 'text', text: 'r' }], isError: false },
  ])
  deepStrictEqual(tools, [{ type: 'function', name: 'x', inputSchema: { type: 'object' }, path: 'functions[0]' }])
})

test('B5: empty text makes no block and no assistant turn', () => {
  deepStrictEqual(turnsOf({ role: 'assistant', content: '' }, { role: 'user', content: [{ type: 'text', text: '' }] }),
    [{ role: 'user', path: 'messages[1]', blocks: [] }])
})

test('Q10: replayed reasoning comes before the answer', () => {
  deepStrictEqual(turnsOf({ role: 'assistant', content: 'a', reasoning_content: 'hm', refusal: null })[0]?.blocks,
    [{ type: 'thinking', text: 'hm' }, { type: 'text', text: 'a' }])
})

const SEAL = { origin: 'anthropic', value: 'sig' } as const

test('O6: reasoning is read from the field that has it', () => {
  for (const fields of [{ reasoning_content: '', reasoning: 'hm' }, { reasoning_content: '', reasoning_details: [{ text: 'hm' }] }]) {
    deepStrictEqual(turnsOf({ role: 'assistant', content: 'a', ...fields })[0]?.blocks[0], { type: 'thinking', text: 'hm' })
  }
})

test('T3: each seal comes back with exactly its own thought', () => {
  const details = [
    { type: 'reasoning.encrypted', id: 'dario:0:2', data: packSeal(SEAL) },
    { type: 'reasoning.encrypted', id: 'dario:4:0', data: packSeal({ ...SEAL, value: 'r' }) },
    { type: 'reasoning.encrypted', id: 'dario:4:3', data: packSeal({ ...SEAL, value: 't' }) },
  ]
  deepStrictEqual(turnsOf({ role: 'assistant', content: 'x', reasoning_content: 'aabbccc', reasoning_details: details })[0]?.blocks, [
    { type: 'thinking', text: 'aa', seal: SEAL },
    { type: 'thinking', text: 'bb' },
    { type: 'thinking', text: '', redacted: true, seal: { ...SEAL, value: 'r' } },
    { type: 'thinking', text: 'ccc', seal: { ...SEAL, value: 't' } },
    { type: 'text', text: 'x' },
  ])
})

test('T3: a seal over reasoning that the client shortened is left out, a vendor\'s own is never taken for ours', () => {
  const of = (entry: JsonObject): Block | undefined => turnsOf({ role: 'assistant', reasoning_content: 'a', reasoning_details: [entry] })[0]?.blocks[0]
  deepStrictEqual(of({ type: 'reasoning.encrypted', id: 'dario:0:9', data: packSeal(SEAL) }), { type: 'thinking', text: 'a' })
  deepStrictEqual(of({ type: 'reasoning.encrypted', data: 'gAAAA' }), { type: 'thinking', text: 'a' })
})

test('C1: cache marks on parts, messages and tools', () => {
  const cache_control = { type: 'ephemeral', ttl: '1h' }
  const { turns, tools } = decode({
    messages: [
      { role: 'system', content: 'a', cache_control },
      { role: 'user', content: [{ type: 'text', text: 'b', cache_control: { type: 'ephemeral' } }] },
      { role: 'tool', tool_call_id: 'i', content: 'c', cache_control },
    ],
    tools: [{ type: 'function', function: { name: 'x' }, cache_control }],
  })
  deepStrictEqual(turns.map((turn) => turn.blocks[0] && 'cache' in turn.blocks[0] && turn.blocks[0].cache), [{ ttl: '1h' }, { ttl: undefined }, { ttl: '1h' }])
  deepStrictEqual(tools, [{ type: 'function', name: 'x', inputSchema: { type: 'object', properties: {} }, cache: { ttl: '1h' }, path: 'tools[0].function' }])
})

test('tools: functions, custom tools, web search, and what only Chat knows', () => {
  const { tools } = decode({
    tools: [
      { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' }, strict: true } },
      { type: 'function', name: 'flat', parameters: {} },
      { type: 'custom', custom: { name: 'c', format: { type: 'text' } } },
      { type: 'mystery' },
    ],
    web_search_options: { search_context_size: 'low' },
  })
  deepStrictEqual(tools, [
    { type: 'function', name: 'f', description: 'd', inputSchema: { type: 'object' }, strict: true, path: 'tools[0].function' },
    { type: 'function', name: 'flat', inputSchema: {}, path: 'tools[1]' },
    { type: 'custom', name: 'c', format: { type: 'text' }, path: 'tools[2].custom' },
    { type: 'opaque', origin: 'chat', value: { type: 'mystery' }, path: 'tools[3]' },
    { type: 'web_search', origin: 'chat', value: { search_context_size: 'low' }, path: 'web_search_options' },
  ])
})

test('tools: the grammar of a custom tool has the form that a Responses backend takes', () => {
  const grammar = { syntax: 'lark', definition: 'start: "a"' }
  const { tools } = decode({ tools: [{ type: 'custom', custom: { name: 'c', format: { type: 'grammar', grammar } } }] })
  deepStrictEqual(tools, [{ type: 'custom', name: 'c', format: { type: 'grammar', ...grammar }, path: 'tools[0].custom' }])
})

for (const [tool_choice, expected] of [
  ['auto', { type: 'auto' }], ['none', { type: 'none' }], ['required', { type: 'required' }], ['any', { type: 'required' }],
  [{ type: 'function', function: { name: 'x' } }, { type: 'tool', name: 'x' }],
  [{ type: 'custom', custom: { name: 'x' } }, { type: 'tool', name: 'x' }],
  ['nonsense', undefined], [null, undefined],
] as const) {
  test(`B8: tool_choice ${JSON.stringify(tool_choice)}`, () => deepStrictEqual(decode({ tool_choice }).toolChoice, expected))
}

test('B8: allowed_tools leaves only these', () => {
  const named = (name: string): JsonObject => ({ type: 'function', function: { name } })
  const { tools, toolChoice } = decode({
    tools: [named('x'), named('y')],
    tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [named('y')] } },
  })
  deepStrictEqual([tools.map((tool) => 'name' in tool && tool.name), toolChoice], [['y'], { type: 'required' }])
})

test('very many results and allowed tools take linear time', () => {
  const ids = Array.from({ length: 100_000 }, (_, index) => `call_${index}`)
  const tools = ids.map((name) => ({ type: 'function', function: { name } }))
  const messages = ids.map((tool_call_id) => ({ role: 'tool', tool_call_id, content: 'r' }))
  const began = process.cpuUsage()
  const request = decode({ messages, tools, tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools } } })
  const { user } = process.cpuUsage(began)
  deepStrictEqual([request.tools.length, request.turns.length], [ids.length, 1])
  ok(user < 4_000_000, `${user / 1000} ms`)
})

for (const [fields, expected] of [
  [{}, undefined],
  [{ reasoning_effort: 'xhigh' }, { mode: 'on', effort: 'xhigh' }],
  [{ reasoning_effort: 'none' }, { mode: 'off' }],
  [{ reasoning: { max_tokens: 2000, exclude: true } }, { mode: 'on', budget: 2000, visible: false }],
  [{ thinking: { type: 'disabled' } }, { mode: 'off' }],
  [{ thinking: { type: 'enabled', budget_tokens: 1024 } }, { mode: 'on', budget: 1024 }],
] as [JsonObject, object | undefined][]) {
  test(`T10: ${JSON.stringify(fields)} asks for ${JSON.stringify(expected)}`, () => deepStrictEqual(decode(fields).thinking, expected))
}

test('B10: response formats', () => {
  strictEqual(decode({ response_format: { type: 'text' } }).format, undefined)
  deepStrictEqual(decode({ response_format: { type: 'json_object' } }).format, { type: 'json_object' })
  deepStrictEqual(decode({ response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'array' }, strict: true } } }).format,
    { type: 'json_schema', name: 'n', description: undefined, schema: { type: 'array' }, strict: true })
})

test('B7, B13: limits, stop words and stream flags', () => {
  const { maxTokens, stop, stream, streamUsage } = decode({ max_tokens: 5, max_completion_tokens: 7, stop: 'x' })
  deepStrictEqual([maxTokens, stop, stream, streamUsage], [7, ['x'], false, false])
  deepStrictEqual(decode({ max_tokens: 5, stop: ['a', 'b'] }).stop, ['a', 'b'])
  strictEqual(decode({ stream: true, stream_options: { include_usage: true } }).streamUsage, true)
})

test('fields without a word in the hub travel as extra, explicit nulls do not', () => {
  deepStrictEqual(decode({ seed: 1, verbosity: 'low', store: false, logit_bias: null, temperature: null }).extra, { chat: { seed: 1, verbosity: 'low' } })
  deepStrictEqual(decode({}).extra, {})
})

test('n over 1 is refused by name, n of 1 is nothing', () => {
  throws(() => decode({ n: 2 }), { code: 'unsupported_across_dialects', path: 'n' })
  deepStrictEqual(decode({ n: 1 }).extra, {})
})

for (const [body, path] of [
  [{ messages: 'x' }, 'messages'], [{ messages: [1] }, 'messages[0]'], [{ messages: [{}] }, 'messages[0].role'], [{ model: 1 }, 'model'],
] as [JsonObject, string][]) {
  test(`X9: ${JSON.stringify(body)} is refused at ${path}`, () => throws(() => decode(body), { code: 'invalid_request', path }))
}

test('E9: a role that no API has is named in the refusal, but no more than the head of it', () => {
  const role = `bot${'x'.repeat(100)}`
  throws(() => chatDialect.decodeRequest({ model: 'm', messages: [{ role, content: 'a' }] }), /messages\[0\]\.role: must be one of .*, it is string \("botx{17}"\)$/)
})

test('B7: a limit of -1, by which clients of local servers mean none, is no limit', () => {
  for (const field of ['max_tokens', 'max_completion_tokens']) strictEqual(decode({ [field]: -1 }).maxTokens, undefined)
  strictEqual(decode({ max_tokens: 5 }).maxTokens, 5)
})

test('B1: Anthropic\'s own tool blocks, which Cursor sends for models called like Claude, are calls and results', () => {
  const tool = { name: 'read', description: 'd', input_schema: { type: 'object', properties: { p: { type: 'string' } } } }
  const { turns, tools, toolChoice } = decode({
    tools: [tool], tool_choice: { type: 'tool', name: 'read' },
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'go' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } }] },
      { role: 'assistant', content: [{ type: 'text', text: 'ok' }, { type: 'tool_use', id: 'toolu_1', name: 'read', input: { p: 'a' } }] },
      { role: 'user', content: [
        { type: 'tool_result', tool_use_id: 'toolu_1', is_error: true, content: [{ type: 'text', text: 'no' }], cache_control: { type: 'ephemeral' } },
        { type: 'text', text: 'so?' },
      ] },
    ],
  })
  deepStrictEqual(turns.map(({ role, blocks }) => ({ role, blocks })), [
    { role: 'user', blocks: [{ type: 'text', text: 'go' }, { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'aGk=' } }] },
    { role: 'assistant', blocks: [{ type: 'text', text: 'ok' }, { type: 'tool_use', id: 'toolu_1', name: 'read', input: '{"p":"a"}' }] },
    { role: 'user', blocks: [
      { type: 'tool_result', toolUseId: 'toolu_1', content: [{ type: 'text', text: 'no' }], isError: true, cache: { ttl: undefined } },
      { type: 'text', text: 'so?' },
    ] },
  ])
  deepStrictEqual(tools.map((one) => one.type === 'function' && one.inputSchema), [tool.input_schema])
  deepStrictEqual(toolChoice, { type: 'tool', name: 'read' })
  for (const [type, word] of [['any', 'required'], ['auto', 'auto'], ['none', 'none']] as const) {
    deepStrictEqual(decode({ tools: [tool], tool_choice: { type } }).toolChoice, { type: word })
  }
})

test('K9: a picture as MCP writes it, in a tool\'s result, is a picture, and what is none stays to be read', () => {
  const resultOf = (content: JsonObject[]): Block[] => decode({ messages: [{ role: 'tool', tool_call_id: 'a', content }] }).turns
    .flatMap(({ blocks }) => blocks.flatMap((block) => block.type === 'tool_result' ? block.content : []))
  deepStrictEqual(resultOf([{ type: 'image', data: 'aGk=', mimeType: 'image/jpeg' }]),
    [{ type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/jpeg', data: 'aGk=' } }])
  deepStrictEqual(resultOf([{ type: 'image', image: 'x' }]), [{ type: 'text', text: '{"type":"image","image":"x"}' }])
})
