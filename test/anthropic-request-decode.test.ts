import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import type { DarioError } from '../src/errors.ts'
import { anthropicDialect } from '../src/dialects/anthropic/dialect.ts'
import { packSeal } from '../src/hub/seal.ts'
import type { Block, HubRequest, Json, JsonObject } from '../src/hub/types.ts'

const HI = [{ role: 'user', content: 'hi' }]
const decode = (more: JsonObject): HubRequest => anthropicDialect.decodeRequest({ model: 'claude-x', max_tokens: 9, messages: HI, ...more }).request
const dropped = (more: JsonObject): string[] => anthropicDialect.decodeRequest({ model: 'm', messages: HI, ...more }).warnings.map((warning) => warning.path)
const blocksOf = (content: Json, role = 'user'): Block[] => decode({ messages: [{ role, content }] }).turns[0]?.blocks ?? []

test('anthropic request: the plain members decode', () => {
  const request = decode({ temperature: 0.5, top_p: 0.9, stop_sequences: ['a', 'b'], stream: true, system: 'be brief' })
  deepStrictEqual(request.turns, [
    { role: 'system', path: 'system', blocks: [{ type: 'text', text: 'be brief' }] },
    { role: 'user', path: 'messages[0]', blocks: [{ type: 'text', text: 'hi' }] },
  ])
  deepStrictEqual([request.model, request.maxTokens, request.temperature, request.topP, request.stop, request.stream], ['claude-x', 9, 0.5, 0.9, ['a', 'b'], true])
})

test('B13: absent stream means none', () => strictEqual(decode({}).stream, false))

test('anthropic request: a wrong member is refused with its path', () => {
  const refused = (more: JsonObject, path: string): void => throws(
    () => anthropicDialect.decodeRequest({ model: 'm', messages: HI, ...more }),
    (error: DarioError) => error.code === 'invalid_request' && error.path === path && error.message.includes(path),
  )
  refused({ model: null }, 'model')
  refused({ messages: 'hi' }, 'messages')
  refused({ messages: [1] }, 'messages[0]')
  refused({ messages: [{ role: 'robot', content: '' }] }, 'messages[0].role')
  refused({ messages: [...HI, { role: 'user', content: 7 }] }, 'messages[1].content')
  refused({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64' } }] }] }, 'messages[0].content[0].source.media_type')
  refused({ tools: [{ type: 'custom' }] }, 'tools[0].name')
  refused({ system: 7 }, 'system')
  refused({ tool_choice: 'any' }, 'tool_choice')
  refused({ thinking: 'enabled' }, 'thinking')
  refused({ messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 7 }] }] }, 'messages[0].content[0].content')
})

test('C1: cache marks on system, tools, text, media, calls and results are kept with their ttl', () => {
  const cache_control = { type: 'ephemeral', ttl: '1h' }
  const request = decode({
    system: [{ type: 'text', text: 's', cache_control }],
    tools: [{ name: 'f', input_schema: {}, cache_control }],
    messages: [
      { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: {}, cache_control }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', cache_control }, { type: 'image', source: { type: 'url', url: 'https://x/y' }, cache_control }] },
    ],
  })
  const marks = [...request.turns.flatMap((turn) => turn.blocks), ...request.tools].map((part) => 'cache' in part ? part.cache : undefined)
  deepStrictEqual(marks, Array(5).fill({ ttl: '1h' }))
})

test('C4: a null mark is none', () => deepStrictEqual(blocksOf([{ type: 'text', text: 'x', cache_control: null }]), [{ type: 'text', text: 'x' }]))

test('C5, Q2: the billing line is kept for Anthropic alone', () => {
  const line = 'x-anthropic-billing-header: cc_version=2; cch=abc'
  const opaque = { type: 'opaque', origin: 'anthropic', value: { type: 'text', text: line } }
  const system = [{ type: 'text', text: line }, { type: 'text', text: 'You help.' }]
  deepStrictEqual(decode({ system }).turns[0]?.blocks, [opaque, { type: 'text', text: 'You help.' }])
  deepStrictEqual(decode({ system: `${line}\nYou help.` }).turns[0]?.blocks, [opaque, { type: 'text', text: 'You help.' }])
  deepStrictEqual(anthropicDialect.encodeRequest(decode({ system }), { model: 'm', repairs: new Set() }).body['system'], system)
})

test('Q1: a server-held thread is refused in the words that make the SDK go on without', () => {
  throws(() => decode({ thread: { type: 'create' } }), (error: DarioError) => {
    const { status, body } = anthropicDialect.encodeError(error, 'req_1')
    strictEqual(status, 400)
    deepStrictEqual((body['error'] as JsonObject)['details'], { error_code: 'thread_unsupported_request', unsupported: ['thread'] })
    return true
  })
  ok(decode({ thread: null }))
})

test('Q3: system turns inside the conversation keep their place', () => {
  deepStrictEqual(decode({ messages: [...HI, { role: 'system', content: 'mind the gap' }] }).turns.map((turn) => turn.role), ['user', 'system'])
})

test('A8, T7: thinking keeps text and proof apart from the answer', () => {
  deepStrictEqual(blocksOf([
    { type: 'thinking', thinking: 'hm', signature: 'sig' }, { type: 'thinking', thinking: 'unsigned', signature: '' },
    { type: 'redacted_thinking', data: 'enc' }, { type: 'text', text: 'so' },
  ], 'assistant'), [
    { type: 'thinking', text: 'hm', seal: { origin: 'anthropic', value: 'sig' } },
    { type: 'thinking', text: 'unsigned', seal: undefined },
    { type: 'thinking', text: '', seal: { origin: 'anthropic', value: 'enc' }, redacted: true },
    { type: 'text', text: 'so' },
  ])
})

test('T2: a packed seal comes back with its origin', () => {
  const seal = { origin: 'chat' as const, value: 'v' }
  deepStrictEqual(blocksOf([{ type: 'thinking', thinking: 'hm', signature: packSeal(seal) }], 'assistant'), [{ type: 'thinking', text: 'hm', seal }])
})

test('K11: tool results of any shape decode', () => {
  const content = (value: Json | undefined) => blocksOf([{ type: 'tool_result', tool_use_id: 'a', content: value }]).map((block) => block.type === 'tool_result' && block.content)
  deepStrictEqual(content('x'), [[{ type: 'text', text: 'x' }]])
  deepStrictEqual(content(null), [[]])
  deepStrictEqual(content(undefined), [[]])
  deepStrictEqual(content({ type: 'text', text: 'x' }), [[{ type: 'text', text: 'x' }]])
  deepStrictEqual(content(['x']), [[{ type: 'text', text: 'x' }]])
  deepStrictEqual(content([{ type: 'future', a: 1 }]), [[{ type: 'text', text: '{"type":"future","a":1}' }]])
  deepStrictEqual(content([{ type: 'tool_reference', tool_name: 'grep' }]), [[{ type: 'text', text: 'The tool grep is available now.' }]])
})

test('K10: is_error is carried', () => {
  const [block] = blocksOf([{ type: 'tool_result', tool_use_id: 'a', content: 'no', is_error: true }])
  ok(block?.type === 'tool_result' && block.isError)
})

test('K8: tool input is JSON text, and what is not an object is kept', () => {
  const input = (value: Json | undefined) => blocksOf([{ type: 'tool_use', id: 'a', name: 'f', input: value }], 'assistant').map((block) => block.type === 'tool_use' && block.input)
  deepStrictEqual([input({ a: [1] }), input(undefined), input('raw'), input([1])].flat(), ['{"a":[1]}', '{}', 'raw', '[1]'])
})

test('K13: a mark on a deferred tool is not one, and the tool stays', () => {
  const tools = [{ name: 'f', input_schema: {}, defer_loading: true, cache_control: { type: 'ephemeral' } }]
  deepStrictEqual(decode({ tools }).tools, [{ type: 'function', name: 'f', description: undefined, inputSchema: {}, strict: undefined, path: 'tools[0]' }])
  deepStrictEqual(dropped({ tools }), ['tools[0].defer_loading'])
})

test('K14, K15: of two tools with one name the last wins and the order holds', () => {
  const tools = ['b', 'a', 'b'].map((name, index) => ({ name, input_schema: {}, description: `${index}` }))
  deepStrictEqual(decode({ tools }).tools.map((tool) => tool.type === 'function' && tool.name + tool.description), ['b2', 'a1'])
})

test('A12: server tools keep their own words', () => {
  const tools = [{ type: 'web_search_20250305', name: 'web_search' }, { type: 'bash_20250124', name: 'bash' }]
  deepStrictEqual(decode({ tools }).tools, [
    { type: 'web_search', origin: 'anthropic', value: tools[0], path: 'tools[0]' },
    { type: 'opaque', origin: 'anthropic', value: tools[1], path: 'tools[1]' },
  ])
})

test('A11: fields that only Anthropic knows are kept aside and named', () => {
  const more = { top_k: 5, container: 'c', context_management: {}, speed: null, tools: [{ name: 'f', input_schema: {}, input_examples: [] }] }
  deepStrictEqual(dropped(more), ['top_k', 'container', 'tools[0].input_examples'])
  deepStrictEqual(decode(more).extra, { anthropic: { top_k: 5, container: 'c', context_management: {} } })
})

test('B8, B9: tool choice and the parallel flag decode', () => {
  const choice = (tool_choice: JsonObject) => { const { toolChoice, parallelTools } = decode({ tool_choice }); return [toolChoice, parallelTools] }
  deepStrictEqual(choice({ type: 'auto' }), [{ type: 'auto' }, undefined])
  deepStrictEqual(choice({ type: 'any', disable_parallel_tool_use: true }), [{ type: 'required' }, false])
  deepStrictEqual(choice({ type: 'tool', name: 'f', disable_parallel_tool_use: false }), [{ type: 'tool', name: 'f' }, true])
  deepStrictEqual(choice({ type: 'none' }), [{ type: 'none' }, undefined])
})

test('T10: thinking decodes as it was asked for, and no effort is invented', () => {
  const wish = (more: JsonObject) => JSON.parse(JSON.stringify(decode(more).thinking ?? null)) as unknown
  strictEqual(wish({}), null)
  deepStrictEqual(wish({ thinking: { type: 'enabled', budget_tokens: 31999, display: 'omitted' } }), { mode: 'on', budget: 31999, visible: false })
  deepStrictEqual(wish({ thinking: { type: 'adaptive', display: 'updates' }, output_config: { effort: 'high' } }), { mode: 'adaptive', effort: 'high', visible: true })
  deepStrictEqual(wish({ thinking: { type: 'disabled' } }), { mode: 'off' })
  deepStrictEqual(wish({ output_config: { effort: 'low' } }), { mode: 'adaptive', effort: 'low' })
  deepStrictEqual(wish({ thinking: { type: 'adaptive' }, output_config: { effort: 'enormous' } }), { mode: 'adaptive' })
})

test('R14: an output format decodes from its new and its old place', () => {
  const schema = { type: 'object' }
  const format = { type: 'json_schema', schema }
  deepStrictEqual(decode({ output_config: { format } }).format, format)
  deepStrictEqual(decode({ output_format: format }).format, format)
})

test('G: the session is found in both forms of user_id', () => {
  const session = '0b1c2d3e-aaaa-bbbb-cccc-1234567890ab'
  strictEqual(decode({ metadata: { user_id: JSON.stringify({ device_id: 'd', session_id: session }) } }).cacheKey, session)
  strictEqual(decode({ metadata: { user_id: `user_x_account_y_session_${session}` } }).cacheKey, session)
  deepStrictEqual([decode({ metadata: { user_id: 'me' } }).user, decode({ metadata: { user_id: 'me' } }).cacheKey], ['me', undefined])
})

test('I1, I2, I4, I5, I6: pictures and documents of every source decode, in every turn and in results', () => {
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } }
  const media = { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'AAAA' } }
  const { turns } = decode({ messages: [{ role: 'user', content: [image] }, { role: 'assistant', content: 'a cat' }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [image] }] }] })
  deepStrictEqual(turns[0]?.blocks, [media])
  deepStrictEqual(turns[2]?.blocks.map((block) => block.type === 'tool_result' && block.content), [[media]])
  const document = (source: JsonObject) => blocksOf([{ type: 'document', title: 't', source }]).map((block) => block.type === 'media' && [block.kind, block.name, block.source])
  deepStrictEqual(document({ type: 'base64', media_type: 'application/pdf', data: 'JVBE' }), [['document', 't', { type: 'base64', mediaType: 'application/pdf', data: 'JVBE' }]])
  deepStrictEqual(document({ type: 'url', url: 'https://x/y.pdf' }), [['document', 't', { type: 'url', url: 'https://x/y.pdf' }]])
  deepStrictEqual(document({ type: 'url', url: 'data:application/pdf;base64,JVBE' }), [['document', 't', { type: 'base64', mediaType: 'application/pdf', data: 'JVBE' }]])
  deepStrictEqual(document({ type: 'text', media_type: 'text/plain', data: 'words' }), [['document', 't', { type: 'text', mediaType: 'text/plain', text: 'words' }]])
  deepStrictEqual(document({ type: 'content', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }), [['document', 't', { type: 'text', mediaType: 'text/plain', text: 'a\nb' }]])
  deepStrictEqual(document({ type: 'file', file_id: 'file_1' }), [['document', 't', { type: 'file', origin: 'anthropic', id: 'file_1' }]])
})

test('I2: a document of parts keeps its pictures, and what is said of it', () => {
  const picture = { type: 'image', source: { type: 'url', url: 'https://x/y.png' } }
  const document = { type: 'document', title: 't', context: 'From 1999.', source: { type: 'content', content: [{ type: 'text', text: 'a' }, picture] } }
  deepStrictEqual(blocksOf([document]), [
    { type: 'text', text: 'From 1999.' },
    { type: 'media', kind: 'document', name: 't', source: { type: 'text', mediaType: 'text/plain', text: 'a' } },
    { type: 'media', kind: 'image', source: picture.source },
  ])
})

test('A11: a wish for citations is named as dropped, and a system of one block is read', () => {
  const content = [{ type: 'document', citations: { enabled: true }, source: { type: 'text', data: 'x' } }, { type: 'text', text: 'x', citations: [] }]
  deepStrictEqual(dropped({ messages: [{ role: 'user', content }] }), ['messages[0].content[0].citations'])
  deepStrictEqual(decode({ system: { type: 'text', text: 's' } }).turns[0]?.blocks, [{ type: 'text', text: 's' }])
})

test('anthropic request: search results are text, and unknown blocks stay whole', () => {
  deepStrictEqual(blocksOf([{ type: 'search_result', title: 'T', source: 'https://x', content: [{ type: 'text', text: 'body' }] }]), [{ type: 'text', text: 'T\nhttps://x\nbody' }])
  deepStrictEqual(blocksOf([{ type: 'compaction', content: 'c' }], 'assistant'), [{ type: 'opaque', origin: 'anthropic', value: { type: 'compaction', content: 'c' } }])
})

test('anthropic request: a user id as long as a novel is read in a moment', () => {
  const started = performance.now()
  strictEqual(decode({ metadata: { user_id: `${'_session_'.repeat(50_000)}!` } }).cacheKey, undefined)
  ok(performance.now() - started < 2000)
})
