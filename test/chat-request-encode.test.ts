/**
 * Hub requests as Chat Completions requests that real backends take.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { chatDialect } from '../src/dialects/chat/dialect.ts'
import type { EncodedRequest, Repair, Target } from '../src/dialects/dialect.ts'
import { repairToolTurns } from '../src/hub/repair.ts'
import type { Block, HubRequest, Json, JsonObject, Tool, Turn } from '../src/hub/types.ts'

const BASE: HubRequest = { model: 'claude-x', turns: [], tools: [], stop: [], stream: true, streamUsage: true, extra: {} }
const LOCAL: Target = { model: 'llama', repairs: new Set() }
const OPENAI: Target = { model: 'gpt-4.1', host: 'api.openai.com', repairs: new Set() }
const OPENROUTER: Target = { model: 'anthropic/claude-sonnet-4.5', host: 'openrouter.ai', repairs: new Set() }

const encode = (request: Partial<HubRequest>, target: Partial<Target> = {}): EncodedRequest => {
  return chatDialect.encodeRequest({ ...BASE, ...request }, { ...LOCAL, ...target })
}
const bodyOf = (request: Partial<HubRequest>, target: Partial<Target> = {}): JsonObject => encode(request, target).body
const messagesOf = (turns: Turn[], target: Partial<Target> = {}): Json | undefined => bodyOf({ turns }, target)['messages']
const repairs = (...words: Repair[]): Partial<Target> => ({ repairs: new Set(words) })
const text = (words: string): Block => ({ type: 'text', text: words })
const user = (...blocks: Block[]): Turn => ({ role: 'user', blocks, path: 'messages[1]' })
const assistant = (...blocks: Block[]): Turn => ({ role: 'assistant', blocks, path: 'messages[0]' })
const system = (...blocks: Block[]): Turn => ({ role: 'system', blocks, path: 'system' })
const use = (id: string, name = 'x', input = '{}'): Block => ({ type: 'tool_use', id, name, input })
const result = (toolUseId: string, ...content: Block[]): Block => ({ type: 'tool_result', toolUseId, content, isError: false })
const image: Block = { type: 'media', kind: 'image', source: { type: 'base64', mediaType: 'image/png', data: 'aGk=' } }
const IMAGE_PART = { type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } }
const tool = (name: string, more: object = {}): Tool => ({ type: 'function', name, inputSchema: { type: 'object', properties: {} }, ...more })
const call = (id: string, name = 'x', input = '{}'): JsonObject => ({ id, type: 'function', function: { name, arguments: input } })

test('A3, R8: results come directly after their calls, the rest of the turn after them', () => {
  deepStrictEqual(messagesOf([assistant(text('t'), use('a'), use('b')), user(text('and?'), result('a', text('1')), result('b', text('2')))]), [
    { role: 'assistant', content: 't', tool_calls: [call('a'), call('b')] },
    { role: 'tool', tool_call_id: 'a', content: '1' },
    { role: 'tool', tool_call_id: 'b', content: '2' },
    { role: 'user', content: 'and?' },
  ])
})

test('A3: a system message between calls and results moves behind them', () => {
  const { turns } = repairToolTurns([assistant(use('a')), system(text('s')), user(result('a', text('1')))])
  const roles = (messagesOf(turns, OPENAI) as JsonObject[]).map(({ role }) => role)
  deepStrictEqual(roles, ['assistant', 'tool', 'system'])
})

test('R8: neighbouring assistant turns are one message', () => {
  deepStrictEqual(messagesOf([assistant(text('t')), assistant(use('a')), assistant(use('b'))]),
    [{ role: 'assistant', content: 't', tool_calls: [call('a'), call('b')] }])
})

test('A3, R8: text in a turn of its own after a call joins the call, so that nothing stands before the result', () => {
  const { turns } = repairToolTurns([assistant(use('a')), assistant(text('t')), user(result('a', text('1')))])
  deepStrictEqual(messagesOf(turns), [
    { role: 'assistant', content: 't', tool_calls: [call('a')] },
    { role: 'tool', tool_call_id: 'a', content: '1' },
  ])
})

test('R8, T4: joined turns keep the reasoning of each', () => {
  const thought = (words: string): Block => ({ type: 'thinking', text: words })
  const turns = [assistant(thought('one'), use('a')), assistant(use('b')), assistant(thought('two'), use('c'))]
  const [message] = messagesOf(turns, repairs('replay_reasoning')) as JsonObject[]
  strictEqual(message?.['reasoning_content'], 'one\n\ntwo')
})

test('R8, T4: joined turns keep the proof of each', () => {
  const proven = (data: string): Block => ({ type: 'thinking', text: '', redacted: true, seal: { origin: 'chat', value: JSON.stringify([{ data }]) } })
  const [message] = messagesOf([assistant(proven('one'), use('a')), assistant(proven('two'), use('b'))], OPENROUTER) as JsonObject[]
  deepStrictEqual(message?.['reasoning_details'], [{ data: 'one' }, { data: 'two' }])
})

test('A1, A2: inconsistent tool turns do not crash, and repaired ones are accepted', () => {
  const turns = [user(result('lost', text('1'))), assistant(use('a'))]
  ok(messagesOf(turns))
  const messages = messagesOf(repairToolTurns(turns).turns) as JsonObject[]
  deepStrictEqual(messages.map(({ role }) => role), ['user', 'assistant', 'tool'])
})

test('A5: the output limit has the name that the backend knows', () => {
  for (const [target, field] of [
    [LOCAL, 'max_tokens'], [OPENAI, 'max_completion_tokens'], [{ model: 'gpt-5' }, 'max_completion_tokens'],
    [{ model: 'openai/gpt-5', host: 'openrouter.ai' }, 'max_tokens'], [{ host: 'api.mistral.ai' }, 'max_tokens'],
    [repairs('max_completion_tokens'), 'max_completion_tokens'], [{ ...OPENAI, ...repairs('max_tokens') }, 'max_tokens'],
  ] as const) {
    const body = bodyOf({ maxTokens: 9 }, target)
    deepStrictEqual([body[field], Object.keys(body).filter((key) => key.startsWith('max_'))], [9, [field]])
  }
  strictEqual(bodyOf({ maxTokens: 32000 }, { maxOutputTokens: 8192 })['max_tokens'], 8192)
})

test('A6: knobs are left out where they are refused, and said', () => {
  const request = { temperature: 0.5, topP: 0.9, extra: { chat: { frequency_penalty: 1 } } }
  for (const target of [{ ...OPENAI, model: 'o3' }, { ...OPENAI, model: 'gpt-5.1' }, repairs('no_sampling')]) {
    const { body, warnings } = encode(request, target)
    deepStrictEqual([body['temperature'], body['top_p'], body['frequency_penalty']], [undefined, undefined, undefined])
    deepStrictEqual(warnings.map(({ path }) => path), ['temperature', 'top_p'])
  }
  strictEqual(bodyOf(request, OPENAI)['temperature'], 0.5)
})

test('A7: stop is always a list, and four for OpenAI', () => {
  deepStrictEqual(bodyOf({ stop: ['a'] })['stop'], ['a'])
  const { body, warnings } = encode({ stop: ['a', 'b', 'c', 'd', 'e'] }, OPENAI)
  deepStrictEqual([body['stop'], warnings.map(({ path }) => path)], [['a', 'b', 'c', 'd'], ['stop[4]']])
  strictEqual(bodyOf({ stop: ['a'] }, repairs('no_stop'))['stop'], undefined)
})

const THOUGHT: Block = { type: 'thinking', text: 'hm', seal: { origin: 'anthropic', value: 'sig' } }

test('A8, T4: reasoning is replayed only where it is wanted, never in the text', () => {
  const turns = [assistant(THOUGHT, text('a'))]
  deepStrictEqual(messagesOf(turns), [{ role: 'assistant', content: 'a' }])
  deepStrictEqual(messagesOf(turns, OPENAI), [{ role: 'assistant', content: 'a' }], 'Q10')
  const replayed = [{ role: 'assistant', content: 'a', reasoning_content: 'hm' }]
  deepStrictEqual(messagesOf(turns, repairs('replay_reasoning')), replayed)
  deepStrictEqual(messagesOf(turns, { model: 'deepseek-reasoner', host: 'api.deepseek.com' }), replayed)
  deepStrictEqual(messagesOf(turns, { model: 'kimi-k2-thinking' }), replayed)
  deepStrictEqual(messagesOf(turns, { model: 'kimi-k2', ...repairs('no_thinking_history') }), [{ role: 'assistant', content: 'a' }])
})

test('T4: a call whose reasoning the client lost still carries the field', () => {
  deepStrictEqual(messagesOf([assistant(use('a'))], repairs('replay_reasoning')),
    [{ role: 'assistant', content: null, reasoning_content: ' ', tool_calls: [call('a')] }])
})

test('T4: proof of reasoning from this dialect goes back whole, foreign proof never', () => {
  const entries = [{ type: 'reasoning.encrypted', data: 'd' }]
  const own: Block = { type: 'thinking', text: 'hm', seal: { origin: 'chat', value: JSON.stringify(entries) } }
  deepStrictEqual(messagesOf([assistant(own, text('a'))], OPENROUTER), [{ role: 'assistant', content: 'a', reasoning_details: entries }])
  deepStrictEqual(messagesOf([assistant(THOUGHT, text('a'))], OPENROUTER), [{ role: 'assistant', content: 'a' }])
  deepStrictEqual(messagesOf([assistant(own, text('a'))]), [{ role: 'assistant', content: 'a' }], 'other servers have no such field')
})

test('A9: pure text is a string, parts only with media', () => {
  deepStrictEqual(messagesOf([user(text('a'), text('b'))]), [{ role: 'user', content: 'a\n\nb' }])
  deepStrictEqual(messagesOf([user(text('a'), image)]), [{ role: 'user', content: [{ type: 'text', text: 'a' }, IMAGE_PART] }])
})

test('A10, Q11: without tools there is no list, no choice and no word on parallel calls', () => {
  const body = bodyOf({ toolChoice: { type: 'required' }, parallelTools: false })
  deepStrictEqual(['tools', 'tool_choice', 'parallel_tool_calls'].filter((key) => key in body), [])
  ok(!('tool_calls' in ((messagesOf([assistant(text('a'))]) as JsonObject[])[0] ?? {})))
})

test('A11: what only another dialect knows is left out and named', () => {
  const { body, warnings } = encode({
    extra: { anthropic: { context_management: {} } },
    turns: [user(text('a'), { type: 'opaque', origin: 'anthropic', value: { type: 'x' } })],
    tools: [{ type: 'opaque', origin: 'anthropic', value: { type: 'bash' } }, { type: 'web_search', origin: 'anthropic', value: {} }],
  })
  ok(!('context_management' in body))
  deepStrictEqual(warnings.map(({ path }) => path), ['tools[0]', 'tools[1]', 'messages[1]'])
})

test('A12: web search goes to models that have one', () => {
  const tools: Tool[] = [{ type: 'web_search', origin: 'anthropic', value: { type: 'web_search_20250305' } }]
  deepStrictEqual(bodyOf({ tools }, { ...OPENAI, model: 'gpt-4o-search-preview' })['web_search_options'], {})
})

test('C5: a line of the system prompt for one vendor only is not sent, and not worth a warning', () => {
  const { body, warnings } = encode({ turns: [system({ type: 'opaque', origin: 'anthropic', value: { type: 'text', text: 'x-billing: 1' } }, text('s'))] })
  deepStrictEqual([body['messages'], warnings], [[{ role: 'system', content: 's' }], []])
})

test('B4: leading system turns are one message; later ones keep their rank only where that is safe', () => {
  const turns = [system(text('a')), system(text('b')), user(text('c')), system(text('d'))]
  const first = { role: 'system', content: 'a\n\nb' }
  deepStrictEqual(messagesOf(turns, OPENAI), [first, { role: 'user', content: 'c' }, { role: 'system', content: 'd' }])
  deepStrictEqual(messagesOf(turns), [first, { role: 'user', content: 'c\n\n[system]\n\nd' }])
})

test('C2: cache marks stay at home unless the backend takes them', () => {
  const turns = [user({ type: 'text', text: 'a', cache: { ttl: '1h' } })]
  const { body, warnings } = encode({ turns, tools: [tool('x', { cache: {} })] })
  ok(!JSON.stringify(body).includes('cache_control'))
  deepStrictEqual(warnings, [])
  const part = { type: 'text', text: 'a', cache_control: { type: 'ephemeral', ttl: '1h' } }
  deepStrictEqual(messagesOf(turns, OPENROUTER), [{ role: 'user', content: [part] }])
  deepStrictEqual(messagesOf(turns, { ...OPENROUTER, ...repairs('no_cache_ttl') }), [{ role: 'user', content: [{ ...part, cache_control: { type: 'ephemeral' } }] }])
  deepStrictEqual(messagesOf(turns, { ...OPENROUTER, ...repairs('no_cache_marks') }), [{ role: 'user', content: 'a' }])
})

test('C6: the same request is the same bytes', () => {
  const make = (): string => JSON.stringify(encode({ turns: [user(text('a'))], tools: [tool('a.b'), tool('a/b')] }).body)
  strictEqual(make(), make())
})

test('C7, Q11: the cache key comes from the session, at most 64 characters, for those who know it', () => {
  const session = 's'.repeat(80)
  const key = bodyOf({}, { ...OPENAI, session })['prompt_cache_key'] as string
  ok(key.length <= 64 && key !== bodyOf({}, { ...OPENAI, session: `${session}t` })['prompt_cache_key'])
  strictEqual(bodyOf({ cacheKey: 'k' }, { ...OPENAI, session })['prompt_cache_key'], 'k')
  strictEqual(bodyOf({ cacheKey: 'k' })['prompt_cache_key'], undefined)
})

test('Q11: a long user id is shortened, metadata goes only with store', () => {
  ok((bodyOf({ user: 'u'.repeat(200) }, OPENAI)['user'] as string).length <= 64)
  strictEqual(bodyOf({ extra: { chat: { metadata: { a: 'b' } } } }, OPENAI)['metadata'], undefined)
  deepStrictEqual(bodyOf({ extra: { chat: { metadata: { a: 'b' }, store: true } } }, OPENAI)['metadata'], { a: 'b' })
})

test('U6: usage is always asked for in a stream, unless the backend refuses', () => {
  deepStrictEqual(bodyOf({ streamUsage: false })['stream_options'], { include_usage: true })
  for (const target of [repairs('no_stream_options'), { host: 'api.mistral.ai' }]) strictEqual(bodyOf({}, target)['stream_options'], undefined)
  strictEqual(bodyOf({ stream: false })['stream_options'], undefined)
})

test('K1, K2: tool names fit, everywhere the same, and are mapped back', () => {
  const long = `mcp__${'server'.repeat(20)}__do`
  const { body, toolNames } = encode({
    tools: [tool(long), tool('a.b'), tool('a/b'), tool('fine')],
    toolChoice: { type: 'tool', name: long },
    turns: [assistant(use('i', long))],
  })
  const names = (body['tools'] as JsonObject[]).map((entry) => (entry['function'] as JsonObject)['name'] as string)
  for (const name of names) match(name, /^[A-Za-z0-9_-]{1,64}$/)
  strictEqual(new Set(names).size, 4)
  deepStrictEqual(toolNames.get(names[0] ?? ''), { name: long, kind: 'function' })
  deepStrictEqual([...toolNames.values()].map(({ name }) => name), [long, 'a.b', 'a/b'])
  deepStrictEqual(body['tool_choice'], { type: 'function', function: { name: names[0] } })
  ok(JSON.stringify(body['messages']).includes(`"name":"${names[0]}"`))
})

test('K5: schemas are repaired to what OpenAI takes', () => {
  const [entry] = bodyOf({ tools: [tool('x', { inputSchema: { required: null } })] })['tools'] as JsonObject[]
  deepStrictEqual((entry?.['function'] as JsonObject)['parameters'], { type: 'object', properties: {} })
})

test('K7: strict is passed on, never switched on', () => {
  const strictOf = (more: object, target = {}): Json | undefined => ((bodyOf({ tools: [tool('x', more)] }, target)['tools'] as JsonObject[])[0]?.['function'] as JsonObject)['strict']
  deepStrictEqual([strictOf({}), strictOf({ strict: true }), strictOf({ strict: true }, repairs('no_strict'))], [undefined, true, undefined])
})

test('K8: no input is an empty object, invalid JSON is kept', () => {
  const [message] = messagesOf([assistant(use('a', 'x', ''), use('b', 'x', '{broken'))]) as JsonObject[]
  deepStrictEqual(message?.['tool_calls'], [call('a', 'x', '{}'), call('b', 'x', '{broken')])
})

test('K9, I2: files of a tool result follow in a user message that names the call', () => {
  const [, answer, files] = messagesOf([assistant(use('a')), user(result('a', text('seen'), image), text('go on'))]) as JsonObject[]
  deepStrictEqual(answer, { role: 'tool', tool_call_id: 'a', content: 'seen\n[Files of this result, shown in the user message below: 1]' })
  deepStrictEqual(files, {
    role: 'user',
    content: [{ type: 'text', text: 'From the result of tool call a:' }, IMAGE_PART, { type: 'text', text: 'go on' }],
  })
})

test('K10: a failed tool says so, and the mark is read back', () => {
  const messages = messagesOf([assistant(use('a')), user({ type: 'tool_result', toolUseId: 'a', isError: true, content: [text('boom')] })]) as JsonObject[]
  const { request } = chatDialect.decodeRequest({ model: 'm', messages })
  deepStrictEqual(request.turns[1]?.blocks[0], { type: 'tool_result', toolUseId: 'a', isError: true, content: [text('boom')] })
})

test('K14, K15: of two tools with one name the last counts, the order stays', () => {
  const tools = bodyOf({ tools: [tool('a', { description: '1' }), tool('b'), tool('a', { description: '2' })] })['tools'] as JsonObject[]
  deepStrictEqual(tools.map((entry) => [(entry['function'] as JsonObject)['name'], (entry['function'] as JsonObject)['description']]), [['a', '2'], ['b', undefined]])
})

test('R5: a custom tool is a function with one text field, in the list and in the history', () => {
  const { body, toolNames } = encode({
    tools: [{ type: 'custom', name: 'patch', description: 'd', format: { type: 'grammar', definition: 'g' } }],
    turns: [assistant({ type: 'tool_use', id: 'a', name: 'patch', kind: 'custom', input: 'raw "x"' })],
  })
  const [entry] = body['tools'] as JsonObject[]
  const { description, parameters } = entry?.['function'] as { description: string; parameters: JsonObject }
  match(description, /^d\n.*"definition":"g"/)
  deepStrictEqual([parameters['required'], toolNames.get('patch')], [['input'], { name: 'patch', kind: 'custom', namespace: undefined }])
  deepStrictEqual((body['messages'] as JsonObject[])[0]?.['tool_calls'], [call('a', 'patch', '{"input":"raw \\"x\\""}')])
})

test('R5: a tool that was custom earlier in the history is what it is now', () => {
  const earlier: Block = { type: 'tool_use', id: 'a', name: 'patch', input: 'raw', kind: 'custom' }
  strictEqual(encode({ tools: [tool('patch')], turns: [assistant(earlier)] }).toolNames.get('patch'), undefined)
  strictEqual(encode({ turns: [assistant(earlier)] }).toolNames.get('patch')?.kind, 'custom')
})

test('R6: tools of a namespace get a name of their own', () => {
  const { body, toolNames } = encode({ tools: [tool('run'), tool('run', { namespace: 'ns' })] })
  deepStrictEqual((body['tools'] as JsonObject[]).map((entry) => (entry['function'] as JsonObject)['name']), ['run', 'ns__run'])
  deepStrictEqual(toolNames.get('ns__run'), { name: 'run', kind: 'function', namespace: 'ns' })
})

test('R16: a choice of a tool that was left out leaves the model free', () => {
  const { body, warnings } = encode({ tools: [tool('x')], toolChoice: { type: 'tool', name: 'gone' } })
  deepStrictEqual([body['tool_choice'], warnings.map(({ path }) => path)], [undefined, ['tool_choice']])
})

const GOOGLE: Target = { model: 'gemini-3-pro-preview', host: 'generativelanguage.googleapis.com', repairs: new Set() }
const PROOF = { google: { thought_signature: 'c2ln' } }
const proven = (proof: JsonObject): Block => {
  return { type: 'thinking', text: '', redacted: true, seal: { origin: 'chat', value: JSON.stringify({ extra_content: proof }) } }
}
const callsOf = (turns: Turn[], target: Target): Json[] =>
  (messagesOf(turns, target) as JsonObject[]).map((message) => message['tool_calls'] ?? [])

test('T4: the proof that Gemini put beside a call goes back beside it, and is lost unsaid nowhere else', () => {
  const turn = assistant(text('t'), proven(PROOF), use('a'), use('b'))
  const { body, warnings } = encode({ turns: [turn] }, GOOGLE)
  deepStrictEqual(body['messages'], [{ role: 'assistant', content: 't', tool_calls: [{ ...call('a'), extra_content: PROOF }, call('b')] }])
  deepStrictEqual(warnings, [])
  const each = assistant(proven(PROOF), use('a'), proven({ google: { thought_signature: 'bW9yZQ' } }), use('b'))
  deepStrictEqual(callsOf([each], { ...GOOGLE, host: 'proxy.test' }),
    [[{ ...call('a'), extra_content: PROOF }, { ...call('b'), extra_content: { google: { thought_signature: 'bW9yZQ' } } }]])
  for (const target of [LOCAL, OPENROUTER]) {
    const { body, warnings } = encode({ turns: [turn] }, target)
    deepStrictEqual(body['messages'], [{ role: 'assistant', content: 't', tool_calls: [call('a'), call('b')] }])
    strictEqual(warnings.length, 1)
  }
})

test('T4: a call of another model, or whose proof was lost, is marked so for Google, which refuses it bare', () => {
  const mark = { google: { thought_signature: 'skip_thought_signature_validator' } }
  const turns = [assistant(use('a'), use('b')), user(result('a'), result('b')), assistant(use('c'))]
  deepStrictEqual(callsOf(turns, GOOGLE).flat(), [{ ...call('a'), extra_content: mark }, call('b'), { ...call('c'), extra_content: mark }])
  for (const other of [{ host: 'proxy.test' }, { model: 'gemini-2.5-pro' }, { host: 'openrouter.ai', model: 'google/gemini-3-pro' }]) {
    deepStrictEqual(callsOf(turns, { ...GOOGLE, ...other }).flat(), [call('a'), call('b'), call('c')])
  }
})

test('R19: an id in which LiteLLM keeps the proof of a call stays whole, except for OpenAI', () => {
  const id = `call_1__thought__${'c2ln'.repeat(100)}`
  deepStrictEqual(messagesOf([assistant(use(id)), user(result(id, text('1')))]),
    [{ role: 'assistant', content: null, tool_calls: [call(id)] }, { role: 'tool', tool_call_id: id, content: '1' }])
  strictEqual(JSON.stringify(messagesOf([assistant(use(id))], OPENAI)).includes(id), false)
})

test('R19: long call ids are cut the same way on both sides, and Mistral gets nine characters', () => {
  const long = 'call_'.padEnd(60, 'x')
  for (const [target, pattern] of [[LOCAL, /^.{1,40}$/], [{ host: 'api.mistral.ai' }, /^[A-Za-z0-9]{9}$/]] as const) {
    const messages = messagesOf([assistant(use(long), use('b')), user(result(long, text('1')), result('b', text('2')))], target) as JsonObject[]
    const ids = (messages[0]?.['tool_calls'] as JsonObject[]).map(({ id }) => id as string)
    for (const id of ids) match(id, pattern)
    strictEqual(new Set(ids).size, 2)
    deepStrictEqual(messages.slice(1).map((message) => message['tool_call_id']), ids)
  }
})

test('I1 to I4: files have the form that Chat knows', () => {
  const source = { type: 'base64', mediaType: 'application/pdf', data: 'aGk=' } as const
  const { body, warnings } = encode({ turns: [user(
    { type: 'media', kind: 'image', source: { type: 'url', url: 'https://x/y' }, detail: 'low' },
    { type: 'media', kind: 'document', source },
    { type: 'media', kind: 'document', source: { type: 'text', mediaType: 'text/plain', text: 'words' }, name: 'n' },
    { type: 'media', kind: 'audio', source: { type: 'base64', mediaType: 'audio/mpeg', data: 'aGk=' } },
    { type: 'media', kind: 'document', source: { type: 'file', origin: 'responses', id: 'file-1' } },
  )] })
  deepStrictEqual((body['messages'] as JsonObject[])[0]?.['content'], [
    { type: 'image_url', image_url: { url: 'https://x/y', detail: 'low' } },
    { type: 'file', file: { filename: 'document.pdf', file_data: 'data:application/pdf;base64,aGk=' } },
    { type: 'text', text: 'n:\nwords' },
    { type: 'input_audio', input_audio: { data: 'aGk=', format: 'mp3' } },
    { type: 'file', file: { file_id: 'file-1' } },
  ])
  deepStrictEqual(warnings, [])
})

test('I2: a file that Chat has no word for is refused by name, not dropped', () => {
  for (const [kind, origin] of [['image', 'anthropic'], ['document', 'anthropic'], ['image', 'responses']] as const) {
    throws(() => encode({ turns: [user({ type: 'media', kind, source: { type: 'file', origin, id: 'f' } })] }),
      { code: 'unsupported_across_dialects', path: 'messages[1]' })
  }
})

for (const [target, thinking, expected] of [
  [LOCAL, undefined, {}],
  [LOCAL, { mode: 'adaptive' }, {}],
  [LOCAL, { mode: 'on', effort: 'high' }, { reasoning_effort: 'high' }],
  [LOCAL, { mode: 'on', effort: 'high' }, { reasoning_effort: 'high' }],
  [LOCAL, { mode: 'on', budget: 31999 }, { reasoning_effort: 'high' }],
  [LOCAL, { mode: 'on', budget: 1024 }, { reasoning_effort: 'low' }],
  [LOCAL, { mode: 'off' }, {}],
  [{ ...LOCAL, ...repairs('no_thinking') }, { mode: 'on', effort: 'high' }, {}],
  [OPENAI, { mode: 'on', effort: 'high' }, {}],
  [{ ...LOCAL, model: 'gpt-4.1' }, { mode: 'on', effort: 'high' }, {}],
  [{ ...OPENAI, model: 'gpt-5' }, { mode: 'on', effort: 'max' }, { reasoning_effort: 'high' }],
  [{ ...OPENAI, model: 'gpt-5.2' }, { mode: 'on', effort: 'max' }, { reasoning_effort: 'xhigh' }],
  [OPENROUTER, { mode: 'on', budget: 5000 }, { reasoning: { max_tokens: 5000 } }],
  [OPENROUTER, { mode: 'off' }, { reasoning: { enabled: false } }],
  [{ model: 'deepseek-chat', host: 'api.deepseek.com' }, { mode: 'on', budget: 5000 }, { thinking: { type: 'enabled' } }],
] as [Target, HubRequest['thinking'], JsonObject][]) {
  test(`T8, T10: ${JSON.stringify(thinking)} for ${target.model} at ${target.host} is ${JSON.stringify(expected)}`, () => {
    const { reasoning_effort, reasoning, thinking: toggle } = bodyOf({ thinking }, target)
    deepStrictEqual(JSON.parse(JSON.stringify({ reasoning_effort, reasoning, thinking: toggle })), expected)
  })
}

test('R14: a response format is a schema where it is known, else told in words', () => {
  const format = { type: 'json_schema', schema: { type: 'object', properties: {} } } as const
  deepStrictEqual(bodyOf({ format })['response_format'], { type: 'json_schema', json_schema: { name: 'response', schema: format.schema } })
  const told = bodyOf({ format, turns: [system(text('s'))] }, repairs('no_format'))
  strictEqual(told['response_format'], undefined)
  match((told['messages'] as JsonObject[])[0]?.['content'] as string, /^s\n\nAnswer with one JSON value.*"type":"object"/)
  deepStrictEqual(bodyOf({ format }, { host: 'api.deepseek.com' })['response_format'], { type: 'json_object' })
})

test('what a Chat client said comes out as it said it', () => {
  const body: JsonObject = {
    model: 'm',
    messages: [
      { role: 'system', content: 's' },
      { role: 'user', content: [{ type: 'text', text: 'look' }, IMAGE_PART] },
      { role: 'assistant', content: 'calling', tool_calls: [call('a', 'x', '{"n": 1.0}'), call('b', 'y')] },
      { role: 'tool', tool_call_id: 'a', content: 'one' },
      { role: 'tool', tool_call_id: 'b', content: 'two' },
      { role: 'user', content: 'thanks' },
    ],
    tools: [{ type: 'function', function: { name: 'x', description: 'd', parameters: { type: 'object', properties: {} }, strict: true } }],
    tool_choice: { type: 'function', function: { name: 'x' } },
    parallel_tool_calls: false,
    max_tokens: 5,
    temperature: 0.5,
    top_p: 0.9,
    stop: ['x'],
    reasoning_effort: 'low',
    response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object', properties: {} }, strict: true } },
    user: 'u',
    stream: true,
    stream_options: { include_usage: true },
    seed: 7,
  }
  const { body: again, warnings } = chatDialect.encodeRequest(chatDialect.decodeRequest(body).request, { ...LOCAL, model: 'm' })
  deepStrictEqual(JSON.parse(JSON.stringify(again)), body)
  deepStrictEqual(warnings, [])
})

test('B3: neighbouring user turns are one message, whatever they hold', () => {
  deepStrictEqual(messagesOf([user(text('a')), user(text('b'))]), [{ role: 'user', content: 'a\n\nb' }])
  const seen = [assistant(use('a')), user(result('a', image)), user(text('so?'))]
  deepStrictEqual((messagesOf(seen) as JsonObject[]).slice(2), [
    { role: 'user', content: [{ type: 'text', text: 'From the result of tool call a:' }, IMAGE_PART, { type: 'text', text: 'so?' }] },
  ])
  deepStrictEqual(messagesOf([user(text('a')), system(text('s')), user(text('b'))]), [{ role: 'user', content: 'a\n\n[system]\n\ns\n\nb' }])
})

test('A11: fields that only OpenAI has are sent to no other vendor', () => {
  const request = { extra: { chat: { verbosity: 'low', prompt_cache_retention: '24h' } } }
  const { body, warnings } = encode(request, { host: 'api.groq.com' })
  deepStrictEqual([body['verbosity'], body['prompt_cache_retention'], warnings.map(({ path }) => path)], [undefined, undefined, ['verbosity']])
  const sent = bodyOf(request, OPENAI)
  deepStrictEqual([sent['verbosity'], sent['prompt_cache_retention']], ['low', '24h'])
})

test('R16: a call that cannot be forced, as no tool is left, is said', () => {
  const tools: Tool[] = [{ type: 'opaque', origin: 'responses', value: { type: 'mcp' } }]
  const { body, warnings } = encode({ tools, toolChoice: { type: 'required' } })
  deepStrictEqual([body['tool_choice'], warnings.map(({ path }) => path)], [undefined, ['tools[0]', 'tool_choice']])
})
