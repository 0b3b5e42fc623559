import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import type { Repair, Target } from '../src/dialects/dialect.ts'
import { anthropicDialect } from '../src/dialects/anthropic/dialect.ts'
import { readFamily } from '../src/dialects/anthropic/family.ts'
import type { Block, HubRequest, JsonObject, Thinking, Tool, Turn } from '../src/hub/types.ts'

const text = (words: string, more: object = {}): Block => ({ type: 'text', text: words, ...more })
const user = (...blocks: Block[]): Turn => ({ role: 'user', blocks, path: 'messages[0]' })
const assistant = (...blocks: Block[]): Turn => ({ role: 'assistant', blocks, path: 'messages[1]' })
const call = (id = 'a', input = '{}'): Block => ({ type: 'tool_use', id, name: 'f', input })
const result = (id = 'a', content: Block[] = [text('ok')], isError = false): Block => ({ type: 'tool_result', toolUseId: id, content, isError })
const F: Tool = { type: 'function', name: 'f', inputSchema: { type: 'object', properties: {} } }
const SIGNED: Block = { type: 'thinking', text: 'hm', seal: { origin: 'anthropic', value: 'sig' } }

interface On { model?: string; repairs?: Repair[]; host?: string; maxOutputTokens?: number }

function encode(request: Partial<HubRequest>, on: On = {}): { body: JsonObject; dropped: string[]; names: ReadonlyMap<string, unknown> } {
  const target: Target = { model: on.model ?? 'claude-sonnet-4-5', host: on.host, repairs: new Set(on.repairs), maxOutputTokens: on.maxOutputTokens }
  const full: HubRequest = { model: 'x', turns: [user(text('hi'))], tools: [], stop: [], stream: true, streamUsage: true, extra: {}, ...request }
  const { body, warnings, toolNames } = anthropicDialect.encodeRequest(full, target)
  return { body, dropped: warnings.map((warning) => warning.path), names: toolNames }
}

const messages = (...turns: Turn[]): unknown => encode({ turns }).body['messages']

test('B1, B2: the full tool loop is encoded', () => {
  const { body } = encode({ tools: [F], turns: [user(text('go')), assistant(text('so'), call('a', '{"x": 1}')), user(result())] })
  deepStrictEqual(body, {
    model: 'claude-sonnet-4-5',
    max_tokens: 64_000,
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'go' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'so' }, { type: 'tool_use', id: 'a', name: 'f', input: { x: 1 } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'ok' }] }] },
    ],
    tools: [{ name: 'f', input_schema: { type: 'object', properties: {} } }],
    stream: true,
  })
})

test('B3, A3: neighbours are merged, results first', () => {
  deepStrictEqual(messages(user(text('go')), assistant(call('a')), assistant(call('b')), user(result('a')), user(text('and')), user(result('b'))), [
    { role: 'user', content: [{ type: 'text', text: 'go' }] },
    { role: 'assistant', content: ['a', 'b'].map((id) => ({ type: 'tool_use', id, name: 'f', input: {} })) },
    { role: 'user', content: [...['a', 'b'].map((id) => ({ type: 'tool_result', tool_use_id: id, content: [{ type: 'text', text: 'ok' }] })), { type: 'text', text: 'and' }] },
  ])
})

test('B4, Q3: leading system turns are the system, later ones are labelled', () => {
  const system = (words: string): Turn => ({ role: 'system', blocks: [text(words)] })
  const { body } = encode({ turns: [system('one'), system('two'), user(text('hi')), assistant(text('yo')), system('now')] })
  deepStrictEqual(body['system'], [{ type: 'text', text: 'one' }, { type: 'text', text: 'two' }])
  deepStrictEqual((body['messages'] as JsonObject[]).at(-1), { role: 'user', content: [{ type: 'text', text: '<system>\nnow\n</system>' }] })
})

test('B5, B6: empty text goes, with its cache mark, and so do empty messages', () => {
  deepStrictEqual(messages(user(text('hi'), text(' \n', { cache: {} })), assistant(text('')), user(text('there'))), [
    { role: 'user', content: [{ type: 'text', text: 'hi' }, { type: 'text', text: 'there' }] },
  ])
})

test('A13: an empty last user turn does not leave the assistant last', () => {
  deepStrictEqual((messages(user(text('hi')), assistant(text('yo')), user(text(''))) as JsonObject[]).at(-1), { role: 'user', content: [{ type: 'text', text: '(no text)' }] })
})

test('A13: prefill goes to models that take it, without trailing blanks; others are asked to go on', () => {
  const turns = [user(text('hi')), assistant(text('{ '))]
  deepStrictEqual((encode({ turns }).body['messages'] as JsonObject[]).at(-1), { role: 'assistant', content: [{ type: 'text', text: '{' }] })
  const newer = encode({ turns }, { model: 'claude-opus-4-7' })
  strictEqual((newer.body['messages'] as JsonObject[]).at(-1)?.['role'], 'user')
  deepStrictEqual(newer.dropped, ['messages'])
})

test('A13: a conversation that ends in reasoning, or in nothing, ends in its last user turn', () => {
  const hi = { role: 'user', content: [{ type: 'text', text: 'hi' }] }
  const unsigned: Block = { type: 'thinking', text: 'hm' }
  const endings: Block[][] = [[SIGNED], [unsigned], [SIGNED, unsigned]]
  for (const model of ['claude-haiku-4-5', 'claude-opus-4-7']) for (const blocks of endings) {
    const { body, dropped } = encode({ turns: [user(text('hi')), assistant(...blocks)] }, { model })
    deepStrictEqual([body['messages'], dropped.length], [[hi], blocks.length])
  }
  deepStrictEqual(messages(user(text('hi')), assistant(text(''))), [hi])
  const inside = messages(user(text('hi')), assistant(SIGNED), user(text('go on'))) as JsonObject[]
  strictEqual(inside.length, 3, 'an earlier thought stays')
})

test('I2: pictures of a system prompt are named as dropped, wherever it stands', () => {
  const picture: Block = { type: 'media', kind: 'image', source: { type: 'url', url: 'https://x/y.png' } }
  const system = (path: string): Turn => ({ role: 'system', path, blocks: [text('s'), picture] })
  const { body, dropped } = encode({ turns: [system('messages[0]'), user(text('hi')), system('messages[2]')] })
  deepStrictEqual(dropped, ['messages[0]', 'messages[2]'])
  deepStrictEqual(body['system'], [{ type: 'text', text: 's' }])
})

test('Q11: a conversation without a user turn at its start gets one', () => {
  strictEqual((messages(assistant(text('hello')), user(text('hi'))) as JsonObject[])[0]?.['role'], 'user')
  strictEqual((encode({ turns: [{ role: 'system', blocks: [text('s')] }] }).body['messages'] as JsonObject[]).length, 1)
})

test("B7: absent max_tokens is the model's own ceiling", () => {
  const limit = (model: string, more: Partial<HubRequest> = {}, on: On = {}) => encode(more, { model, ...on }).body['max_tokens']
  deepStrictEqual([
    limit('claude-3-haiku-20240307'), limit('claude-3-5-sonnet-20241022'), limit('claude-3-7-sonnet-latest'), limit('claude-sonnet-4-20250514'),
    limit('claude-opus-4-1-20250805'), limit('claude-opus-4-6'), limit('qwen3:8b'),
  ], [4096, 8192, 64_000, 64_000, 32_000, 128_000, 8192])
  strictEqual(limit('claude-opus-4-6', { maxTokens: 50 }), 50)
  strictEqual(limit('x', {}, { maxOutputTokens: 12_345 }), 12_345)
  strictEqual(limit('x', { maxTokens: 99_999 }, { maxOutputTokens: 12_345 }), 12_345)
})

test('B8, B9: tool choice and the parallel flag', () => {
  const choice = (more: Partial<HubRequest>, on: On = {}) => encode({ tools: [F], ...more }, on).body['tool_choice']
  strictEqual(choice({}), undefined)
  deepStrictEqual(choice({ toolChoice: { type: 'auto' } }), { type: 'auto' })
  deepStrictEqual(choice({ toolChoice: { type: 'required' } }), { type: 'any' })
  deepStrictEqual(choice({ toolChoice: { type: 'tool', name: 'f' } }), { type: 'tool', name: 'f' })
  deepStrictEqual(choice({ toolChoice: { type: 'none' }, parallelTools: false }), { type: 'none' })
  deepStrictEqual(choice({ parallelTools: false }), { type: 'auto', disable_parallel_tool_use: true })
  deepStrictEqual(choice({ parallelTools: false, toolChoice: { type: 'required' } }), { type: 'any', disable_parallel_tool_use: true })
  deepStrictEqual(choice({ parallelTools: false, toolChoice: { type: 'auto' } }, { repairs: ['no_parallel_tools'] }), { type: 'auto' })
  deepStrictEqual(choice({ toolChoice: { type: 'tool', name: 'gone' } }), { type: 'auto' })
  strictEqual(choice({ tools: [], toolChoice: { type: 'required' }, parallelTools: false }), undefined) // A10
})

test('B10: json_schema is an output format where the model has it, else an instruction', () => {
  const format = { type: 'json_schema' as const, schema: { type: 'object', properties: { a: { type: 'string' } } } }
  deepStrictEqual(encode({ format }).body['output_config'], { format: { type: 'json_schema', schema: { ...format.schema, additionalProperties: false } } })
  for (const { body } of [encode({ format }, { model: 'claude-sonnet-4-0' }), encode({ format }, { repairs: ['no_format'] }), encode({ format: { type: 'json_object' } })]) {
    strictEqual(body['output_config'], undefined)
    ok(JSON.stringify(body['system']).includes('one JSON object'))
  }
})

test('C1, C3: cache marks are kept; a backend that refuses the ttl gets them without', () => {
  const turns = [user(text('hi', { cache: { ttl: '1h' } }))]
  const mark = (repairs: Repair[]) => (encode({ turns }, { repairs }).body['messages'] as { content: JsonObject[] }[])[0]?.content[0]?.['cache_control']
  deepStrictEqual([mark([]), mark(['no_cache_ttl']), mark(['no_cache_marks'])], [{ type: 'ephemeral', ttl: '1h' }, { type: 'ephemeral' }, undefined])
})

test('C8: of more than four marks the last four stay', () => {
  const cache = {}
  const { body } = encode({ tools: [{ ...F, cache }], turns: [{ role: 'system', blocks: [text('s', { cache })] }, user(...[1, 2, 3, 4].map((n) => text(`${n}`, { cache })))] })
  strictEqual(JSON.stringify(body).split('cache_control').length - 1, 4)
  ok(!JSON.stringify(body['tools']).includes('cache_control'))
})

test('C6: the same request gives the same bytes, and is not changed by encoding', () => {
  const turns = [user(...[1, 2, 3, 4, 5].map((n): Block => ({ type: 'opaque', origin: 'anthropic', value: { type: 'x', n, cache_control: { type: 'ephemeral' } } })))]
  strictEqual(JSON.stringify(encode({ turns }).body), JSON.stringify(encode({ turns }).body))
  ok(turns[0]?.blocks.every((block) => block.type === 'opaque' && block.value['cache_control'] !== undefined))
})

test('C4: no null is ever sent', () => {
  ok(!JSON.stringify(encode({ tools: [F], turns: [user(text('hi')), assistant(SIGNED, call()), user(result('a', []))], temperature: 1, user: 'u' }).body).includes('null'))
})

test('T1: thinking is left out when the calls being answered lost their reasoning', () => {
  const wish: Partial<HubRequest> = { thinking: { mode: 'on', budget: 2000 }, tools: [F] }
  const lost = encode({ ...wish, turns: [user(text('go')), assistant(call()), user(result())] })
  strictEqual(lost.body['thinking'], undefined)
  deepStrictEqual(lost.dropped, ['thinking'])
  deepStrictEqual(encode({ ...wish, turns: [user(text('go')), assistant(SIGNED, call()), user(result())] }).body['thinking'], { type: 'enabled', budget_tokens: 2000 })
  deepStrictEqual(encode({ ...wish, turns: [user(text('go')), assistant(call()), user(result()), assistant(text('ok')), user(text('more'))] }).body['thinking'], { type: 'enabled', budget_tokens: 2000 })
})

test('T2, T3: genuine signed thinking passes byte for byte, foreign thinking never', () => {
  const foreign: Block = { type: 'thinking', text: 'x', seal: { origin: 'responses', value: 'enc' } }
  const turns = [user(text('hi')), assistant({ ...SIGNED, text: ' hm \n' } as Block, foreign, { type: 'thinking', text: 'bare' }, text('yo')), user(text('more'))]
  const { body, dropped } = encode({ turns })
  deepStrictEqual((body['messages'] as { content: unknown }[])[1]?.content, [{ type: 'thinking', thinking: ' hm \n', signature: 'sig' }, { type: 'text', text: 'yo' }])
  deepStrictEqual(dropped, ['messages[1]', 'messages[1]'])
  ok(!JSON.stringify(encode({ turns }, { repairs: ['no_thinking_history'] }).body).includes('sig'))
})

test('T8, T10: thinking fits its model and max_tokens, and is never raised or invented', () => {
  const wish = (thinking: Thinking | undefined, on: On = {}, maxTokens = 20_000) => {
    const { body } = encode({ thinking, maxTokens }, on)
    return [body['thinking'], body['output_config'], body['max_tokens']]
  }
  const budget = (tokens: number) => [{ type: 'enabled', budget_tokens: tokens }, undefined, 20_000]
  deepStrictEqual(wish(undefined), [undefined, undefined, 20_000])
  deepStrictEqual(wish({ mode: 'off' }), [undefined, undefined, 20_000])
  deepStrictEqual(wish({ mode: 'on', budget: 100 }), budget(1024))
  deepStrictEqual(wish({ mode: 'on', budget: 31_999 }), budget(18_976))
  deepStrictEqual(wish({ mode: 'on', effort: 'low' }), budget(4096))
  deepStrictEqual(wish({ mode: 'adaptive' }), [undefined, undefined, 20_000])
  deepStrictEqual(wish({ mode: 'on', effort: 'high' }, {}, 1500), [undefined, undefined, 1500])
  deepStrictEqual(wish({ mode: 'on', effort: 'high' }, { repairs: ['no_thinking'] }), [undefined, undefined, 20_000])
  deepStrictEqual(wish({ mode: 'on', effort: 'high' }, { model: 'claude-3-5-sonnet-latest' }), [undefined, undefined, 20_000])
  deepStrictEqual(wish({ mode: 'on', budget: 5000 }, { model: 'claude-opus-4-6' }), [{ type: 'adaptive' }, undefined, 20_000])
  deepStrictEqual(wish({ mode: 'on', effort: 'xhigh' }, { model: 'claude-opus-4-6' }), [{ type: 'adaptive' }, { effort: 'high' }, 20_000])
  deepStrictEqual(wish({ mode: 'adaptive', effort: 'xhigh' }, { model: 'claude-opus-4-7' }), [{ type: 'adaptive', display: 'summarized' }, { effort: 'xhigh' }, 20_000])
  deepStrictEqual(wish({ mode: 'on', effort: 'minimal', visible: false }, { model: 'claude-sonnet-5' }), [{ type: 'adaptive' }, { effort: 'low' }, 20_000])
  deepStrictEqual(wish({ mode: 'off' }, { model: 'claude-opus-5' }), [{ type: 'disabled' }, undefined, 20_000])
})

test('T9: with thinking there is no other temperature and no forced tool', () => {
  const { body, dropped } = encode({ thinking: { mode: 'on', budget: 2000 }, temperature: 0.2, topP: 0.5, tools: [F], toolChoice: { type: 'required' } })
  deepStrictEqual([body['temperature'], body['top_p'], body['tool_choice']], [undefined, undefined, { type: 'auto' }])
  deepStrictEqual(dropped.toSorted(), ['temperature', 'tool_choice', 'top_p'])
})

test('Q11: sampling stays within what each model takes', () => {
  const sampling = (model: string, temperature: number, repairs: Repair[] = []) => {
    const { body } = encode({ temperature, topP: 0.9 }, { model, repairs })
    return [body['temperature'], body['top_p']]
  }
  deepStrictEqual(sampling('claude-sonnet-4-5', 1.7), [1, undefined])
  deepStrictEqual(sampling('claude-3-5-haiku-latest', 0.3), [0.3, 0.9])
  deepStrictEqual(sampling('claude-opus-4-7', 0.3), [undefined, undefined])
  deepStrictEqual(sampling('kimi-k2', 0.3), [0.3, 0.9])
  deepStrictEqual(sampling('kimi-k2', 0.3, ['no_sampling']), [undefined, undefined])
})

test('A7: stop is always a list, without blank words', () => {
  deepStrictEqual(encode({ stop: ['END', '\n'] }).body['stop_sequences'], ['END'])
  strictEqual(encode({ stop: [' '] }).body['stop_sequences'], undefined)
  strictEqual(encode({ stop: ['END'] }, { repairs: ['no_stop'] }).body['stop_sequences'], undefined)
})

test('K1, K2: illegal names are changed the same way everywhere and map back', () => {
  const name = `mcp.server/${'x'.repeat(150)}`
  const { body, names } = encode({ tools: [{ ...F, name }], toolChoice: { type: 'tool', name }, turns: [user(text('go')), assistant({ type: 'tool_use', id: 'llm_version:0', name, input: '{}' }), user(result('llm_version:0'))] })
  const [tool] = body['tools'] as JsonObject[]
  const sent = String(tool?.['name'])
  ok(/^[\w-]{1,128}$/.test(sent))
  deepStrictEqual(names.get(sent), { name, kind: 'function' })
  strictEqual((body['tool_choice'] as JsonObject)['name'], sent)
  const sentMessages = body['messages'] as { content: JsonObject[] }[]
  strictEqual(sentMessages[1]?.content[0]?.['name'], sent)
  ok(/^[\w-]+$/.test(String(sentMessages[1]?.content[0]?.['id'])))
  strictEqual(sentMessages[2]?.content[0]?.['tool_use_id'], sentMessages[1]?.content[0]?.['id'])
})

test('R5, R6: free-form and namespaced tools have a form here, and a way back', () => {
  const { body, names } = encode({
    tools: [{ type: 'custom', name: 'apply_patch', description: 'Edits.' }, { ...F, namespace: 'ns' }],
    turns: [user(text('go')), assistant({ type: 'tool_use', id: 'a', name: 'apply_patch', input: '*** raw', kind: 'custom' }), user(result())],
  })
  deepStrictEqual((body['tools'] as JsonObject[]).map((tool) => tool['name']), ['apply_patch', 'ns__f'])
  deepStrictEqual([...names.values()], [{ name: 'apply_patch', kind: 'custom', namespace: undefined }, { name: 'f', kind: 'function', namespace: 'ns' }])
  deepStrictEqual((body['messages'] as { content: JsonObject[] }[])[1]?.content[0]?.['input'], { input: '*** raw' })
})

test('K3, K5: schemas that Anthropic refuses are repaired', () => {
  const { body } = encode({ tools: [{ ...F, inputSchema: { anyOf: [{ properties: { a: {} } }], required: null } }] })
  const schema = (body['tools'] as JsonObject[])[0]?.['input_schema'] as JsonObject
  deepStrictEqual([schema['type'], schema['anyOf'], schema['required']], ['object', undefined, undefined])
})

test('K7: strict is passed on only when the client set it', () => {
  const strict = (value: boolean | undefined, repairs: Repair[] = []) => (encode({ tools: [{ ...F, strict: value }] }, { repairs }).body['tools'] as JsonObject[])[0]?.['strict']
  deepStrictEqual([strict(true), strict(false), strict(undefined), strict(true, ['no_strict'])], [true, undefined, undefined, undefined])
})

test('K10: a failed result carries its flag, text only; its pictures follow', () => {
  const image: Block = { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'AA' } }
  const wire = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA' } }
  const sent = (isError: boolean) => (messages(user(text('go')), assistant(call()), user(result('a', [text('no'), image], isError))) as { content: unknown }[])[2]?.content
  deepStrictEqual(sent(true), [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'no' }], is_error: true }, wire])
  deepStrictEqual(sent(false), [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'no' }, wire] }]) // K9
})

test('A12: server tools of others go, with a word; web search is mapped where it exists', () => {
  const tools: Tool[] = [{ type: 'web_search', origin: 'responses', value: { type: 'web_search' } }, { type: 'opaque', origin: 'responses', value: { type: 'file_search' } }]
  const elsewhere = encode({ tools, toolChoice: { type: 'auto' } })
  deepStrictEqual([elsewhere.body['tools'], elsewhere.body['tool_choice'], elsewhere.dropped], [undefined, undefined, ['tools[0]', 'tools[1]']])
  deepStrictEqual(encode({ tools }, { host: 'api.anthropic.com' }).body['tools'], [{ type: 'web_search_20250305', name: 'web_search' }])
})

test('R15: where a web search may look, and from where, is carried', () => {
  const place = { city: 'Bonn', country: 'DE' }
  const search = (origin: 'chat' | 'responses', value: JsonObject): unknown =>
    (encode({ tools: [{ type: 'web_search', origin, value }] }, { host: 'api.anthropic.com' }).body['tools'] as unknown[])[0]
  const tool = { type: 'web_search_20250305', name: 'web_search', user_location: { ...place, type: 'approximate' } }
  deepStrictEqual(search('chat', { user_location: { type: 'approximate', approximate: place } }), tool)
  deepStrictEqual(
    search('responses', { type: 'web_search', filters: { allowed_domains: ['a.test'] }, user_location: { type: 'approximate', region: null, ...place } }),
    { ...tool, allowed_domains: ['a.test'] },
  )
  deepStrictEqual(search('responses', { filters: null, user_location: null }), { type: 'web_search_20250305', name: 'web_search' })
})

test('A11: what a backend was seen to refuse is named as dropped when a request wishes it', () => {
  const on: On = { repairs: ['no_strict', 'no_format', 'no_parallel_tools'] }
  const wish = { tools: [{ ...F, strict: true }], parallelTools: false, format: { type: 'json_schema', schema: {} } } as const
  deepStrictEqual(encode({ ...wish, tools: [...wish.tools] }, on).dropped, ['tools[0].strict', 'format', 'parallel_tool_calls'])
  deepStrictEqual(encode({ tools: [F], parallelTools: true }, on).dropped, [])
  strictEqual(encode({ tools: [F], parallelTools: false }, on).body['tool_choice'], undefined)
})

test('A11: top_k has the same word here, within what the model takes', () => {
  const chat = { top_k: 5 }
  deepStrictEqual([encode({ extra: { chat } }).body['top_k'], encode({ extra: { chat } }).dropped], [5, []])
  deepStrictEqual(encode({ extra: { chat } }, { model: 'claude-opus-4-7' }).dropped, ['top_k'])
  deepStrictEqual(encode({ extra: { chat }, thinking: { mode: 'on', budget: 2000 }, maxTokens: 9000 }).dropped, ['top_k'])
})

test('I1, I3, I4, I5: pictures, data URLs, PDFs and text files', () => {
  const sent = (kind: 'image' | 'document', source: Extract<Block, { type: 'media' }>['source']) =>
    (messages(user({ type: 'media', kind, source, name: kind === 'document' ? 'n' : undefined, detail: 'high' })) as { content: unknown[] }[])[0]?.content[0]
  deepStrictEqual(sent('image', { type: 'url', url: 'https://x/y.png' }), { type: 'image', source: { type: 'url', url: 'https://x/y.png' } })
  deepStrictEqual(sent('image', { type: 'base64', mediaType: 'image/png', data: 'AAAA' }), { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } })
  deepStrictEqual(sent('image', { type: 'base64', mediaType: 'application/pdf', data: 'JVBE' }), { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBE' } })
  deepStrictEqual(sent('document', { type: 'base64', mediaType: 'text/markdown', data: btoa('# T') }), { type: 'document', source: { type: 'text', media_type: 'text/plain', data: '# T' }, title: 'n' })
  deepStrictEqual(sent('document', { type: 'file', origin: 'anthropic', id: 'file_1' }), { type: 'document', source: { type: 'file', file_id: 'file_1' }, title: 'n' })
})

test('I1: a picture that is text goes as a document, since a picture with a source of text is refused', () => {
  const svg = { type: 'document', source: { type: 'text', media_type: 'text/plain', data: '<svg/>' } }
  for (const source of [
    { type: 'base64', mediaType: 'image/svg+xml', data: btoa('<svg/>') }, { type: 'text', mediaType: 'image/svg+xml', text: '<svg/>' },
  ] as const) deepStrictEqual(messages(user({ type: 'media', kind: 'image', source })), [{ role: 'user', content: [svg] }])
})

test('I2: what Anthropic cannot read is refused by name, not dropped', () => {
  for (const block of [
    { type: 'media', kind: 'audio', source: { type: 'base64', mediaType: 'audio/wav', data: 'AA' } },
    { type: 'media', kind: 'document', source: { type: 'file', origin: 'responses', id: 'file-1' } },
    { type: 'media', kind: 'document', source: { type: 'base64', mediaType: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document', data: 'UEsD' } },
    { type: 'media', kind: 'document', source: { type: 'base64', mediaType: 'application/zip', data: 'UEsD' } },
  ] satisfies Block[]) throws(() => encode({ turns: [user(block)] }), { code: 'unsupported_across_dialects', path: 'messages[0]' })
})

test('A11: what other dialects say on the side is named as dropped', () => {
  deepStrictEqual(encode({ extra: { chat: { logit_bias: {}, seed: 1 } } }).dropped, ['logit_bias', 'seed'])
})

test('family: model names are read, aliases and vendors prefixes included', () => {
  const version = (model: string) => readFamily(model).version
  deepStrictEqual(
    ['claude-opus-4-20250514', 'claude-3-5-sonnet-20241022', 'anthropic/claude-sonnet-4.5', 'claude-3-opus-20240229', 'sonnet', 'haiku', 'us.anthropic.claude-opus-4-6-v1', 'claude-fable', 'llama3'].map(version),
    [4, 3.5, 4.5, 3, 5, 4.5, 4.6, 5, undefined],
  )
})

test('anthropic request: a turn of very many blocks joins the one before it', () => {
  const many = Array.from({ length: 200_000 }, () => text('a'))
  const [message] = messages(user(text('hi')), { role: 'user', blocks: many }) as { content: unknown[] }[]
  strictEqual(message?.content.length, 200_001)
})
