/**
 * Requests of Responses clients into the hub, and hub requests for Responses backends.
 * @module
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expandInput } from '../src/dialects/responses/items.ts'
import { responsesDialect } from '../src/dialects/responses/dialect.ts'
import type { Repair, Target } from '../src/dialects/dialect.ts'
import { DarioError } from '../src/errors.ts'
import { createIds } from '../src/hub/ids.ts'
import { packSeal } from '../src/hub/seal.ts'
import type { Block, HubRequest, JsonObject, Tool, Turn } from '../src/hub/types.ts'

const decode = (body: JsonObject): HubRequest => responsesDialect.decodeRequest({ model: 'm', input: 'hi', ...body }).request
const turns = (input: JsonObject[]): Turn[] => decode({ input }).turns
const blocks = (...input: JsonObject[]): Block[] => turns(input).flatMap((turn) => turn.blocks)
const fails = (body: JsonObject, code: string, path: string): void => {
  assert.throws(() => decode(body), (error) => error instanceof DarioError && error.code === code && error.path === path && error.message.includes(path))
}

const EMPTY: HubRequest = { model: 'm', turns: [], tools: [], stop: [], stream: true, streamUsage: true, extra: {} }
const target = (more: Partial<Target> = {}): Target => ({ model: 'gpt-5.1', host: 'api.openai.com', repairs: new Set(), ...more })
const encode = (request: Partial<HubRequest>, more: Partial<Target> = {}) => responsesDialect.encodeRequest({ ...EMPTY, ...request }, target(more))
const body = (request: Partial<HubRequest>, more: Partial<Target> = {}): JsonObject => encode(request, more).body
const input = (...sent: Turn[]): JsonObject[] => body({ turns: sent })['input'] as JsonObject[]
const user = (...sent: Block[]): Turn => ({ role: 'user', blocks: sent, path: 'messages[0]' })
const assistant = (...sent: Block[]): Turn => ({ role: 'assistant', blocks: sent, path: 'messages[1]' })
const text = (value: string): Block => ({ type: 'text', text: value })
const call = (id: string, name = 'f'): Block => ({ type: 'tool_use', id, name, input: '{"a":1.0}' })
const result = (toolUseId: string, content: Block[], isError = false): Block => ({ type: 'tool_result', toolUseId, content, isError })
const tool = (name: string, more: object = {}): Tool => ({ type: 'function', name, inputSchema: { type: 'object', properties: {} }, ...more })

const CODEX: JsonObject = { // as Codex 0.169 sends it, texts shortened
  model: 'gpt-5.2-codex', store: false, stream: true, include: ['reasoning.encrypted_content'], prompt_cache_key: 'thread-1',
  client_metadata: { 'x-codex-installation-id': 'i' }, reasoning: { summary: 'auto' }, tool_choice: 'auto', parallel_tool_calls: false,
  tools: [
    { type: 'function', name: 'shell', description: 'd', strict: false, parameters: { type: 'object', properties: { command: { type: 'array', items: { type: 'string' } } } } },
    { type: 'namespace', name: 'multi_agent_v1', description: 'agents', tools: [{ type: 'function', name: 'spawn', parameters: { type: 'object', properties: {} } }] },
    { type: 'custom', name: 'apply_patch', description: 'patch', format: { type: 'grammar', syntax: 'lark', definition: 'start: "x"' } },
    { type: 'web_search', external_web_access: false },
  ],
  input: [
    { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'one' }] },
    { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'two' }] },
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'fix it' }] },
    { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'E' },
    { type: 'function_call', id: 'fc_1', status: 'completed', call_id: 'c1', name: 'shell', arguments: '{"command":["ls"]}' },
    { type: 'custom_tool_call', id: 'ctc_1', status: 'completed', call_id: 'c2', name: 'apply_patch', input: '*** Begin' },
    { type: 'function_call_output', call_id: 'c1', output: 'a.txt' },
    { type: 'custom_tool_call_output', call_id: 'c2', output: 'done' },
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'go on' }] },
  ],
}

test('Q4: a Codex request decodes with its turns, tools and ids', () => {
  const request = responsesDialect.decodeRequest(CODEX).request
  assert.deepEqual(request.turns.map((turn) => turn.role), ['system', 'system', 'user', 'assistant', 'user'])
  assert.deepEqual(request.turns[3]?.blocks, [
    { type: 'thinking', text: 'hm', seal: { origin: 'responses', value: 'E', id: 'rs_1' } },
    { type: 'tool_use', id: 'c1', name: 'shell', input: '{"command":["ls"]}', kind: 'function' },
    { type: 'tool_use', id: 'c2', name: 'apply_patch', input: '*** Begin', kind: 'custom' },
  ])
  assert.deepEqual(request.turns[4]?.blocks.map((block) => block.type), ['tool_result', 'tool_result', 'text'])
  assert.deepEqual(request.tools.map((item) => [item.type, 'name' in item ? item.name : '', 'namespace' in item ? item.namespace : undefined]),
    [['function', 'shell', undefined], ['function', 'spawn', 'multi_agent_v1'], ['custom', 'apply_patch', undefined], ['web_search', '', undefined]])
  assert.equal(request.thinking, undefined, 'a wish for summaries is none for reasoning')
  assert.equal(request.cacheKey, 'thread-1')
  assert.equal(request.parallelTools, false)
})

test('Q4: tools that come inside the conversation are tools, and the later of two with one name holds', () => {
  const exec = (description: string): JsonObject => ({ type: 'namespace', name: 'functions', description: '', tools: [{ type: 'custom', name: 'exec', description }] })
  const { tools, turns } = decode({
    tools: [exec('top'), { type: 'web_search' }],
    input: [
      { type: 'additional_tools', role: 'developer', tools: [exec('first'), { type: 'function', name: 'exec', parameters: {} }] },
      { type: 'message', role: 'user', content: 'hi' },
      { type: 'additional_tools', id: 'at_1', role: 'developer', tools: [exec('second'), { type: 'web_search' }] },
    ],
  })
  assert.deepEqual(tools.map((item) => [item.type, 'name' in item ? item.namespace : '', 'name' in item ? item.description : '']),
    [['custom', 'functions', 'second'], ['web_search', '', ''], ['function', undefined, undefined]])
  assert.deepEqual(turns.map(({ role }) => role), ['user'])
})

test('B13: stream is off unless asked for', () => {
  assert.equal(decode({}).stream, false)
  assert.equal(decode({ stream: true }).stream, true)
})

test('R7: an output without a call id is plain user text', () => {
  assert.deepEqual(turns([{ type: 'function_call_output', call_id: '', output: 'x' }]), [{ role: 'user', blocks: [text('x')], path: 'input[0]' }])
})

test('R8: neighbouring calls are one assistant turn, their outputs one user turn', () => {
  const calls = ['a', 'b'].map((id) => ({ type: 'function_call', call_id: id, name: 'f', arguments: '{}' }))
  const outputs = ['a', 'b'].map((id) => ({ type: 'function_call_output', call_id: id, output: id }))
  assert.deepEqual(turns([...calls, ...outputs]).map((turn) => [turn.role, turn.blocks.length]), [['assistant', 2], ['user', 2]])
})

test('K11: outputs may be text, parts with images, null or an object', () => {
  const contentOf = (output: JsonObject[string]): unknown => {
    const [block] = blocks({ type: 'function_call_output', call_id: 'a', output })
    return block?.type === 'tool_result' ? block.content : undefined
  }
  assert.deepEqual(contentOf('x'), [text('x')])
  assert.deepEqual(contentOf(null), [])
  assert.deepEqual(contentOf({ a: 1 }), [text('{"a":1}')])
  assert.deepEqual(contentOf([{ type: 'input_text', text: 'x' }, { type: 'input_image', image_url: 'data:image/png;base64,AA==' }]),
    [text('x'), { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'AA==' } }])
})

test('K10: our own mark on a failed output is read back as the flag, and only ours', () => {
  assert.deepEqual(blocks({ type: 'function_call_output', call_id: 'a', output: '[tool error] no' }), [result('a', [text('no')], true)])
  assert.deepEqual(blocks({ type: 'function_call_output', call_id: 'a', output: 'error: no' }), [result('a', [text('error: no')])])
})

test('R14: text.format is the output format', () => {
  const schema = { type: 'object', properties: {} }
  assert.deepEqual(decode({ text: { format: { type: 'json_schema', name: 'n', schema, strict: true } } }).format, { type: 'json_schema', schema, name: 'n', strict: true })
  assert.deepEqual(decode({ text: { format: { type: 'json_object' } } }).format, { type: 'json_object' })
  assert.equal(decode({ text: { format: { type: 'text' } } }).format, undefined)
})

test('R16: tool_choice in all its forms', () => {
  const tools = [{ type: 'function', name: 'a' }, { type: 'function', name: 'b' }]
  const chosen = (tool_choice: JsonObject | string) => decode({ tools, tool_choice })
  assert.deepEqual(chosen('required').toolChoice, { type: 'required' })
  assert.deepEqual(chosen({ type: 'function', name: 'b' }).toolChoice, { type: 'tool', name: 'b' })
  assert.deepEqual(chosen({ type: 'web_search_preview' }).toolChoice, { type: 'auto' })
  const allowed = chosen({ type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'b' }] })
  assert.deepEqual(allowed.toolChoice, { type: 'required' })
  assert.deepEqual(allowed.tools.map((item) => 'name' in item && item.name), ['b'])
})

test('B8: very many tools and allowed tools take linear time', () => {
  const tools = Array.from({ length: 50_000 }, (_, index) => ({ type: 'function', name: `f${index}` }))
  const began = process.cpuUsage()
  assert.equal(decode({ tools, tool_choice: { type: 'allowed_tools', mode: 'auto', tools } }).tools.length, tools.length)
  assert.ok(process.cpuUsage(began).user < 2_000_000)
})

test('R15: server tools stay what they are, for encoders to judge', () => {
  assert.deepEqual(decode({ tools: [{ type: 'web_search_preview' }, { type: 'code_interpreter' }] }).tools.map((item) => item.type), ['web_search', 'opaque'])
})

test('T10: effort is only what was asked for', () => {
  assert.deepEqual(decode({ reasoning: { effort: 'high', summary: 'auto' } }).thinking, { mode: 'on', effort: 'high', visible: true })
  assert.deepEqual(decode({ reasoning: { effort: 'low' } }).thinking, { mode: 'on', effort: 'low', visible: false })
  assert.deepEqual(decode({ reasoning: { effort: 'none' } }).thinking, { mode: 'off' })
  assert.equal(decode({}).thinking, undefined)
})

test('I1, I3, I4: images, PDFs and files decode by what they are', () => {
  const media = (part: JsonObject): unknown => {
    const [block] = blocks({ role: 'user', content: [part] })
    return block?.type === 'media' ? [block.kind, block.source] : block
  }
  assert.deepEqual(media({ type: 'input_image', image_url: 'https://x/y.png' }), ['image', { type: 'url', url: 'https://x/y.png' }])
  assert.deepEqual(media({ type: 'input_image', image_url: 'data:application/pdf;base64,AA' }), ['document', { type: 'base64', mediaType: 'application/pdf', data: 'AA' }])
  assert.deepEqual(media({ type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA' }), ['document', { type: 'base64', mediaType: 'application/pdf', data: 'AA' }])
  assert.deepEqual(media({ type: 'input_file', file_data: 'data:image/PNG;base64,AA' }), ['image', { type: 'base64', mediaType: 'image/png', data: 'AA' }])
  assert.deepEqual(media({ type: 'input_file', file_data: 'data:text/plain,a%20b' }), ['document', { type: 'text', mediaType: 'text/plain', text: 'a b' }])
  assert.deepEqual(media({ type: 'input_file', file_data: 'JVBE' }), ['document', { type: 'base64', mediaType: 'application/pdf', data: 'JVBE' }])
  assert.deepEqual(media({ type: 'input_file', file_url: 'https://x/a.pdf' }), ['document', { type: 'url', url: 'https://x/a.pdf' }])
  assert.deepEqual(media({ type: 'input_file', file_id: 'file-1' }), ['document', { type: 'file', origin: 'responses', id: 'file-1' }])
  assert.deepEqual(media({ type: 'input_audio', input_audio: { data: 'AA', format: 'mp3' } }), ['audio', { type: 'base64', mediaType: 'audio/mpeg', data: 'AA' }])
})

test('O23: items and parts without a hub word are opaque, in the turn that they belong to', () => {
  const call = { type: 'local_shell_call', call_id: 'a', action: {} }
  const output = { type: 'local_shell_call_output', call_id: 'a', output: '' }
  assert.deepEqual(turns([call, output, { type: 'compaction', encrypted_content: 'x' }]).map((turn) => [turn.role, turn.blocks[0]?.type]),
    [['assistant', 'opaque'], ['user', 'opaque'], ['assistant', 'opaque']])
})

test('T2: a packed seal comes back with its origin', () => {
  const seal = { origin: 'anthropic' as const, value: 'sig' }
  assert.deepEqual(blocks({ type: 'reasoning', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: packSeal(seal) }), [{ type: 'thinking', text: 'hm', seal }])
})

test('responses request: what only the vendor can hold is refused by name', () => {
  fails({ background: true }, 'unsupported_across_dialects', 'background')
  fails({ conversation: 'conv_1' }, 'unsupported_across_dialects', 'conversation')
  fails({ prompt: { id: 'p' } }, 'unsupported_across_dialects', 'prompt')
  fails({ input: [{ type: 'item_reference', id: 'x' }] }, 'unsupported_across_dialects', 'input[0]')
})

test('R18: an id that nobody resolved is refused, never ignored', () => {
  fails({ previous_response_id: 'resp_x' }, 'invalid_request', 'previous_response_id')
})

test('R18: a resolved id puts the history before the input and resolves references', () => {
  const stored = { input: [{ type: 'message', role: 'user', content: 'one' }], output: [{ type: 'message', id: 'msg_1', role: 'assistant', content: 'two' }] }
  const expanded = expandInput({ model: 'm', previous_response_id: 'r', input: 'three' }, stored)
  assert.deepEqual(decode(expanded).turns.map((turn) => turn.blocks), [[text('one')], [text('two')], [text('three')]])
  const referred = expandInput({ input: [{ type: 'item_reference', id: 'msg_1' }] }, stored)
  assert.deepEqual((referred['input'] as JsonObject[])[2], stored.output[0])
})

test('responses request: a wrong type is an error with its path', () => {
  fails({ input: [{ type: 'message', role: 'user', content: [{ type: 'input_text' }] }] }, 'invalid_request', 'input[0].content[0].text')
  fails({ input: 3 }, 'invalid_request', 'input')
  fails({ input: [{ type: 'function_call', name: 'f' }] }, 'invalid_request', 'input[0].call_id')
  fails({ tools: [{ type: 'function' }] }, 'invalid_request', 'tools[0].name')
})

test('responses encode: leading system turns are instructions, later ones developer messages', () => {
  const { body: encoded } = encode({ turns: [{ role: 'system', blocks: [text('a'), text('b')] }, user(text('hi')), { role: 'system', blocks: [text('c')] }] })
  assert.equal(encoded['instructions'], 'a\n\nb')
  assert.deepEqual((encoded['input'] as JsonObject[]).map((item) => item['role']), ['user', 'developer'])
})

test('responses encode: a request of system turns alone still has an input, as instructions alone are refused', () => {
  const { body: encoded } = encode({ turns: [{ role: 'system', blocks: [text('a')] }, { role: 'system', blocks: [text('b')] }] })
  assert.equal(encoded['instructions'], 'a')
  assert.deepEqual(encoded['input'], [{ type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'b' }] }])
})

test('C5: a line for Anthropic only is left out of the instructions', () => {
  const opaque: Block = { type: 'opaque', origin: 'anthropic', value: { type: 'text', text: 'x-anthropic-billing-header: 1' } }
  const { body: encoded, warnings } = encode({ turns: [{ role: 'system', blocks: [opaque, text('a')] }, user(text('hi'))] })
  assert.equal(encoded['instructions'], 'a')
  assert.deepEqual(warnings, [])
})

test('A3: outputs come directly after their calls, text after them', () => {
  assert.deepEqual(input(assistant(text('ok'), call('a'), call('b')), user(text('and'), result('a', [text('1')]), result('b', [text('2')]))).map((item) => item['type']),
    ['message', 'function_call', 'function_call', 'function_call_output', 'function_call_output', 'message'])
})

test('K8: arguments go out as the exact text that came in', () => {
  assert.equal(input(assistant(call('a')))[0]?.['arguments'], '{"a":1.0}')
  assert.equal(input(assistant({ ...call('a'), input: '' } as Block))[0]?.['arguments'], '{}')
})

test('K9, K10: an output keeps its images, and says when it failed', () => {
  const image: Block = { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'AA==' } }
  const [, plain, rich] = input(assistant(call('a')), user(result('a', [text('no')], true), result('b', [text('see'), image])))
  assert.equal(plain?.['output'], '[tool error] no')
  assert.deepEqual(rich?.['output'], [{ type: 'input_text', text: 'see' }, { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'auto' }])
})

test('R5: a custom call and its output stay custom', () => {
  const custom: Block = { type: 'tool_use', id: 'a', name: 'p', input: 'raw', kind: 'custom' }
  const items = input(assistant(custom), user(result('a', [text('ok')])))
  assert.deepEqual(items.map((item) => item['type']), ['custom_tool_call', 'custom_tool_call_output'])
  assert.equal(items[0]?.['input'], 'raw')
})

test('I2: documents become files, and one that another vendor keeps is refused aloud', () => {
  const document = (source: Extract<Block, { type: 'media' }>['source']): Turn => user({ type: 'media', kind: 'document', source, name: 'a.pdf' })
  const part = (turn: Turn): unknown => (input(turn)[0]?.['content'] as JsonObject[])[0]
  assert.deepEqual(part(document({ type: 'base64', mediaType: 'application/pdf', data: 'AA' })), { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA' })
  assert.deepEqual(part(document({ type: 'url', url: 'https://x' })), { type: 'input_file', file_url: 'https://x' })
  assert.deepEqual(part(document({ type: 'text', mediaType: 'text/plain', text: 'T' })), { type: 'input_text', text: 'a.pdf:\nT' })
  assert.throws(() => part(document({ type: 'file', origin: 'anthropic', id: 'f' })), (error) => error instanceof DarioError && error.code === 'unsupported_across_dialects')
})

test('R17, T2: own reasoning goes back sealed and without its id, foreign reasoning does not go', () => {
  const thought = (origin: 'responses' | 'anthropic'): Block => ({ type: 'thinking', text: 'hm', seal: { origin, value: 'E', id: 'rs' } })
  assert.deepEqual(input(assistant(thought('responses'), text('a')))[0], { type: 'reasoning', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'E' })
  const foreign = encode({ turns: [assistant(thought('anthropic'), { type: 'thinking', text: 'secret' }, text('a'))] })
  assert.doesNotMatch(JSON.stringify(foreign.body), /hm|secret|"E"/)
  assert.equal(foreign.warnings.length, 2)
})

test('R17: reasoning that nothing follows is left out', () => {
  assert.deepEqual(input(assistant({ type: 'thinking', text: 'hm', seal: { origin: 'responses', value: 'E' } })), [])
})

test('T4: reasoning is replayed as text where the backend was seen to want it', () => {
  const sent = body({ turns: [assistant({ type: 'thinking', text: 'hm' }, text('a'))] }, { repairs: new Set<Repair>(['replay_reasoning']) })
  assert.deepEqual((sent['input'] as JsonObject[])[0]?.['content'], [{ type: 'reasoning_text', text: 'hm' }])
})

test('R19: long call ids are cut alike in call and output', () => {
  const id = `call_${'x'.repeat(100)}`
  const [one, two] = input(assistant(call(id)), user(result(id, [text('1')])))
  assert.equal(one?.['call_id'], two?.['call_id'])
  assert.ok((one?.['call_id'] as string).length <= 64)
  assert.notEqual(one?.['call_id'], input(assistant(call(`${id}y`)))[0]?.['call_id'])
})

test('K1, K2, R6: names are made legal, unique and reversible, in tools, history and choice', () => {
  const long = `mcp__${'x'.repeat(100)}`
  const tools = [tool(long), tool('a.b'), tool('a/b'), tool('f', { namespace: 'ns' }), tool('f')]
  const encoded = encode({ tools, toolChoice: { type: 'tool', name: 'a.b' }, turns: [assistant(call('1', long), { ...call('2'), namespace: 'ns' } as Block)] })
  const names = (encoded.body['tools'] as JsonObject[]).map((item) => item['name'] as string)
  assert.equal(new Set(names).size, 5)
  for (const name of names) assert.match(name, /^[A-Za-z0-9_-]{1,64}$/)
  assert.deepEqual(names.map((name) => encoded.toolNames.get(name)?.name ?? name), [long, 'a.b', 'a/b', 'f', 'f'])
  assert.deepEqual(encoded.toolNames.get('ns__f'), { name: 'f', kind: 'function', namespace: 'ns' })
  assert.deepEqual((encoded.body['input'] as JsonObject[]).map((item) => item['name']), [names[0], 'ns__f'])
  assert.deepEqual(encoded.body['tool_choice'], { type: 'function', name: names[1] })
  assert.deepEqual(encode({ tools }).body['tools'], encoded.body['tools'], 'C6: always alike')
})

test('A10, Q11: without tools there is no word about tools', () => {
  const sent = body({ toolChoice: { type: 'required' }, parallelTools: false })
  for (const field of ['tools', 'tool_choice', 'parallel_tool_calls']) assert.equal(field in sent, false)
})

test('R15, R16, A12: a search tool goes to a vendor that has one, else it is dropped, and so is its choice', () => {
  const search: Tool = { type: 'web_search', origin: 'anthropic', value: { type: 'web_search_20250305', name: 'web_search', allowed_domains: ['a.b'], max_uses: 3 } }
  const toolChoice = { type: 'tool', name: 'web_search' } as const
  const sent = body({ tools: [search, tool('f')], toolChoice })
  assert.deepEqual((sent['tools'] as JsonObject[])[0], { type: 'web_search', filters: { allowed_domains: ['a.b'] } })
  assert.deepEqual(sent['tool_choice'], { type: 'web_search' })
  const local = encode({ tools: [search, tool('f')], toolChoice }, { host: 'localhost' })
  assert.deepEqual((local.body['tools'] as JsonObject[]).map((item) => item['type']), ['function'])
  assert.equal(local.body['tool_choice'], 'auto')
  assert.deepEqual(local.warnings.map((warning) => warning.path), ['tools[0]', 'tool_choice'])
})

test('K7, K5, K14: strict is off unless set, schemas are repaired, the last of two tools wins', () => {
  const [one, ...rest] = body({ tools: [tool('f'), { type: 'function', name: 'f', description: 'last', inputSchema: { required: null } }] })['tools'] as JsonObject[]
  assert.deepEqual(rest, [])
  assert.equal(one?.['strict'], false)
  assert.equal(one?.['description'], 'last')
  assert.deepEqual(one?.['parameters'], { type: 'object', properties: {} })
})

test('R5: the grammar of a custom tool goes out flat, whichever API it was written for', () => {
  const grammar = { syntax: 'lark', definition: 'start: "x"' }
  for (const format of [{ type: 'grammar', ...grammar }, { type: 'grammar', grammar }]) {
    assert.deepEqual(body({ tools: [{ type: 'custom', name: 'p', format }] })['tools'], [{ type: 'custom', name: 'p', format: { type: 'grammar', ...grammar } }])
  }
  assert.deepEqual(body({ tools: [{ type: 'custom', name: 'p' }] })['tools'], [{ type: 'custom', name: 'p' }])
})

test('A6: models that reason get no sampling, others do', () => {
  const request = { temperature: 0.2, topP: 0.9 }
  const reasoning = encode(request)
  assert.equal('temperature' in reasoning.body || 'top_p' in reasoning.body, false)
  assert.deepEqual(reasoning.warnings.map((warning) => warning.path), ['temperature', 'top_p'])
  assert.equal(body(request, { model: 'gpt-4.1' })['temperature'], 0.2)
  assert.equal('temperature' in body(request, { model: 'gpt-4.1', repairs: new Set<Repair>(['no_sampling']) }), false)
})

test('T8, T10: effort maps to a word that the model has, and is never invented', () => {
  const effort = (thinking: HubRequest['thinking'], model = 'gpt-5.1'): unknown => (body({ thinking }, { model })['reasoning'] as JsonObject | undefined)?.['effort']
  assert.equal(effort(undefined), undefined)
  assert.equal(effort({ mode: 'adaptive' }), undefined)
  assert.equal(effort({ mode: 'on', effort: 'max' }), 'high')
  assert.equal(effort({ mode: 'on', effort: 'max' }, 'gpt-5.2-codex'), 'xhigh')
  assert.equal(effort({ mode: 'on', budget: 1024 }), 'low')
  assert.equal(effort({ mode: 'on', budget: 31_999 }), 'high')
  assert.equal(effort({ mode: 'off' }), 'none')
  assert.equal(effort({ mode: 'off' }, 'gpt-5-mini'), 'minimal')
  assert.equal(effort({ mode: 'on', effort: 'high' }, 'gpt-4o'), undefined)
})

test('Q11: models without reasoning get no word about it', () => {
  const sent = body({ thinking: { mode: 'on', effort: 'high' } }, { model: 'openai/gpt-4o' })
  assert.equal('reasoning' in sent || 'include' in sent, false)
  assert.deepEqual(body({})['include'], ['reasoning.encrypted_content'])
  const learned = body({ thinking: { mode: 'on' } }, { repairs: new Set<Repair>(['no_thinking']) })
  assert.equal('reasoning' in learned || 'include' in learned, false)
})

test('R14: a format goes out under text, with a legal name', () => {
  const schema = { type: 'object', properties: {} }
  assert.deepEqual(body({ format: { type: 'json_schema', name: 'my name', schema } })['text'], { format: { type: 'json_schema', name: 'my_name', schema } })
  assert.deepEqual(body({ format: { type: 'json_object' }, extra: { chat: { verbosity: 'low' } } })['text'], { format: { type: 'json_object' }, verbosity: 'low' })
})

test('R14: a format that the backend refused is asked for in words', () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } } }
  const told = body({ format: { type: 'json_schema', schema }, turns: [{ role: 'system', blocks: [text('s')] }, user(text('a'))] }, { repairs: new Set<Repair>(['no_format']) })
  assert.equal('text' in told, false)
  assert.equal(told['instructions'], `s\n\nAnswer with one JSON value and nothing else. It must match this JSON schema: ${JSON.stringify(schema)}`)
})

test('C7: the session is the cache key when there is none, and long ones are cut', () => {
  assert.equal(body({}, { session: 's' })['prompt_cache_key'], 's')
  assert.equal(body({ cacheKey: 'k' }, { session: 's' })['prompt_cache_key'], 'k')
  assert.equal((body({ cacheKey: 'k'.repeat(90) })['prompt_cache_key'] as string).length, 64)
  assert.ok((body({ user: 'u'.repeat(200) })['safety_identifier'] as string).length <= 64)
})

test('responses encode: what Chat and Responses share is passed on, the rest is named', () => {
  const { body: sent, warnings } = encode({ stop: ['x'], extra: { chat: { metadata: { a: 'b' }, prompt_cache_retention: '24h', seed: 1, logprobs: true } } })
  assert.deepEqual([sent['metadata'], sent['prompt_cache_retention'], 'seed' in sent], [{ a: 'b' }, '24h', false])
  assert.deepEqual(warnings.map((warning) => warning.path), ['stop', 'seed', 'logprobs'])
})

test('responses encode: output limits stay within what the vendor takes', () => {
  assert.equal(body({ maxTokens: 1 })['max_output_tokens'], 16)
  assert.equal(body({ maxTokens: 99_999 }, { maxOutputTokens: 8192 })['max_output_tokens'], 8192)
  assert.equal('max_output_tokens' in body({}), false)
})

test('R17: nothing is stored, and the stream is what was asked', () => {
  assert.equal(body({})['store'], false)
  assert.equal(body({ stream: false })['stream'], false)
})

test('C4: nothing that is sent is null or undefined', () => {
  const sent = body({ ...responsesDialect.decodeRequest(CODEX).request })
  assert.deepEqual(JSON.parse(JSON.stringify(sent)), sent)
  assert.doesNotMatch(JSON.stringify(sent), /null/)
})

test('Q4: a Codex request comes out of the hub as the same conversation', () => {
  const items = body(responsesDialect.decodeRequest(CODEX).request)['input'] as JsonObject[]
  const shape = (list: JsonObject[]): unknown[] => list.map((item) => [item['type'], item['call_id'], item['arguments'] ?? item['input'] ?? item['output'] ?? item['encrypted_content']])
  const sent = (CODEX['input'] as JsonObject[]).slice(2)
  assert.deepEqual(shape(items), shape(sent))
})

test('T2: a relayed history loses what its backend could not verify, the foreign part first', () => {
  const repair = (input: JsonObject[], repairs: Repair[] = ['no_thinking_history']): JsonObject[] => {
    return responsesDialect.repairBody!({ input }, new Set(repairs))['input'] as JsonObject[]
  }
  const own = { type: 'reasoning', summary: [], encrypted_content: 'gAAA' }
  const foreign = { type: 'reasoning', summary: [], encrypted_content: packSeal({ origin: 'anthropic', value: 's' }) }
  const message = { type: 'message', role: 'user', content: 'hi' }
  assert.deepEqual(repair([own, foreign, message]), [own, message])
  const unproven = { type: 'reasoning', id: createIds()('rs_'), summary: [] }, kept = { ...own, id: `rs_${'0f'.repeat(24)}` }
  assert.deepEqual(repair([own, unproven, kept, message]), [own, kept, message])
  assert.deepEqual(repair([own, message]), [message])
  assert.deepEqual(repair([own, message], []), [own, message])
})

test('responses: instructions that are no text are refused, never left out', () => {
  fails({ instructions: ['be brief'] }, 'invalid_request', 'instructions')
  assert.deepEqual(decode({ instructions: null }).turns.map((turn) => turn.role), ['user'])
})

test('K8, O9: arguments that came as an object are its JSON text', () => {
  const [sent] = blocks({ type: 'function_call', call_id: 'a', name: 'f', arguments: { a: 1 } })
  assert.equal(sent?.type === 'tool_use' && sent.input, '{"a":1}')
})

test('responses: a message of 200,000 parts behind another of its role is read', () => {
  const content = Array.from({ length: 200_000 }, () => ({ type: 'input_text', text: 'a' }))
  assert.equal(blocks({ role: 'user', content: 'a' }, { role: 'user', content }).length, 200_001)
})

test('responses: log probabilities that no other backend sends are named as lost', () => {
  const lost = (include: string[]): string[] => responsesDialect.decodeRequest({ model: 'm', input: 'a', include }).warnings.map(({ path }) => path)
  assert.deepEqual(lost(['reasoning.encrypted_content', 'message.output_text.logprobs']), ['include'])
  assert.deepEqual(lost(['reasoning.encrypted_content']), [])
})

test('R18: an input that is no list is not lost behind a history', () => {
  const item = { role: 'user', content: 'second' }, stored = { input: [{ role: 'user', content: 'first' }], output: [] }
  assert.deepEqual(expandInput({ previous_response_id: 'a', input: item }, stored)['input'], [...stored.input, item])
  assert.deepEqual(expandInput({ previous_response_id: 'a' }, stored)['input'], stored.input)
  assert.throws(() => decode(expandInput({ previous_response_id: 'a', input: 5 }, stored)), /input\[1\]: must be an object/)
  fails({ input: item }, 'invalid_request', 'input')
})

test('R18: a reference without an id refers to nothing', () => {
  const reference = { type: 'item_reference' }
  const expanded = expandInput({ input: [reference] }, { input: [{ role: 'user', content: 'first' }], output: [] })
  assert.deepEqual(expanded['input'], [{ role: 'user', content: 'first' }, reference])
})

test('responses: an item that stands where a part should is refused by its path', () => {
  const input = [{ type: 'message', role: 'user', content: [{ type: 'function_call', detail: 'low' }] }]
  assert.throws(() => responsesDialect.decodeRequest({ model: 'm', input }), { code: 'invalid_request', path: 'input[0].content[0].type' })
})
