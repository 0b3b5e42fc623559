/**
 * Pitfalls of translation that no other file tests: what clients are known to send, and what must not happen to it.
 * @module
 */
import { deepEqual, equal, match, notEqual, ok, throws } from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { checkTools } from '../src/cli/doctor.ts'
import { parseConfig } from '../src/config/parse.ts'
import { estimateTokens } from '../src/dialects/anthropic/count.ts'
import type { Target } from '../src/dialects/dialect.ts'
import { readAffinity, readSession } from '../src/exchange/affinity.ts'
import { peek } from '../src/exchange/peek.ts'
import type { DialectName, JsonObject } from '../src/hub/types.ts'
import { DIALECTS, NAMES } from './helpers/dialects.ts'
import { toSse } from './helpers/fixtures.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import type { TestProxy } from './helpers/proxy.ts'
import { readAnswer, toEvents } from './helpers/read-answer.ts'
import { sendJson, sendSse, startUpstream } from './helpers/upstream.ts'
import type { TestUpstream } from './helpers/upstream.ts'

const TARGET: Target = { model: 'm', host: 'localhost', repairs: new Set() }
const PATHS: Record<DialectName, string> = { anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses' }

function translate(from: DialectName, to: DialectName, body: JsonObject): JsonObject {
  const { request } = DIALECTS[from].decodeRequest({ model: 'm', ...body })
  return JSON.parse(JSON.stringify(DIALECTS[to].encodeRequest(request, TARGET).body)) as JsonObject
}

const MESSAGE = { type: 'message', id: 'msg_1', role: 'assistant', model: 'm', content: [{ type: 'text', text: 'ok' }], stop_reason: 'end_turn', usage: { input_tokens: 3, output_tokens: 1 } }

async function build(context: TestContext): Promise<TestProxy & { upstream: TestUpstream; post(client: DialectName, body: JsonObject): Promise<Response> }> {
  const upstream = await startUpstream(context, ({ url }, response) => {
    if (url.endsWith('/messages')) return sendJson(response, 200, MESSAGE)
    if (url.endsWith('/completions')) return sendJson(response, 200, { choices: [{ message: { content: 'ok' }, finish_reason: 'stop' }] })
    sendJson(response, 200, { object: 'response', status: 'completed', output: [{ type: 'message', content: [{ type: 'output_text', text: 'ok' }] }] })
  })
  const house = await startProxy(context, { backends: backendsAt(upstream.url) })
  return {
    ...house, upstream,
    post: (client, body) => fetch(house.url + PATHS[client], { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  }
}

const HISTORY: JsonObject = {
  messages: [
    { role: 'user', content: 'first' },
    { role: 'assistant', content: 'saying', tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'read', arguments: '{"p":1}' } }] },
    { role: 'tool', tool_call_id: 'call_1', content: 'result' },
    { role: 'assistant', content: 'answer' }, { role: 'user', content: 'second' },
  ],
}

test('B12: history stays in its turns, and nothing of it gains the rank of the system prompt', () => {
  const anthropic = translate('chat', 'anthropic', HISTORY)
  equal(anthropic['system'], undefined)
  deepEqual((anthropic['messages'] as JsonObject[]).map((message) => message['role']), ['user', 'assistant', 'user', 'assistant', 'user'])
  equal(translate('chat', 'responses', HISTORY)['instructions'], undefined)
})

for (const to of NAMES) {
  test(`K12: calls and results stay blocks on the way to ${to}, never prose that a model would imitate`, () => {
    const body = translate('chat', to, HISTORY)
    const texts: string[] = []
    JSON.stringify(body, (key, value: unknown) => {
      if (key === 'text' || (key === 'content' && typeof value === 'string')) texts.push(String(value))
      return value
    })
    for (const text of texts) ok(!/call_1|"p"|tool_use|read\(/.test(text), text)
    match(JSON.stringify(body), /"(?:tool_use_id|tool_call_id|call_id)":"call_1"/)
  })
}

for (const target of NAMES) {
  test(`R1: a client that only speaks Responses is answered by a ${target} backend`, async (context) => {
    const { post } = await build(context)
    const response = await post('responses', { model: `${target}:m`, input: 'hi' })
    equal(response.status, 200)
    equal(readAnswer('responses', toEvents(await response.text())).text, 'ok')
  })
}

for (const [field, delta] of [
  ['reasoning_content', { reasoning_content: 'thought' }], ['reasoning', { reasoning: 'thought' }],
  ['reasoning_details', { reasoning_details: [{ type: 'reasoning.text', text: 'thought' }] }],
  ['all three', { reasoning_content: 'thought', reasoning: 'thought', reasoning_details: [{ type: 'reasoning.text', text: 'thought' }] }],
] as [string, JsonObject][]) {
  test(`T5: reasoning in ${field} is seen once`, () => {
    const events = DIALECTS.chat.decodeReply({ choices: [{ message: { ...delta, content: 'ok' }, finish_reason: 'stop' }] }, { toolNames: new Map(), newId: (prefix) => prefix })
    equal(events.flatMap((event) => event.type === 'delta' ? [event.text] : []).join('|'), 'thought|ok')
  })
}

for (const [client, keepsProof] of [['anthropic', true], ['responses', true], ['responses', false]] as const) {
  test(`T4: a ${client} client that ${keepsProof ? 'keeps' : 'drops'} thoughts brings Gemini the proof of its call back`, async (context) => {
    const extra_content = { google: { thought_signature: 'c2ln' } }
    const upstream = await startUpstream(context, (_request, response) => sendSse(response, [toSse('chat', [
      { id: 'c', choices: [{ index: 0, delta: { tool_calls: [{ id: 'call_1', function: { name: 'read', arguments: '{}' }, extra_content }] }, finish_reason: 'tool_calls' }] },
    ])]))
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
    const ask = async (history: JsonObject[]): Promise<JsonObject> => (await fetch(url + PATHS[client], {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'chat:gemini-3-pro', max_tokens: 9, [client === 'anthropic' ? 'messages' : 'input']: [{ role: 'user', content: 'hi' }, ...history] }),
    })).json() as Promise<JsonObject>
    const answer = await ask([])
    const items = (answer['content'] ?? answer['output']) as JsonObject[]
    const kept = keepsProof ? items : items.filter(({ type }) => type !== 'reasoning')
    await ask(client === 'responses' ? [...kept, { type: 'function_call_output', call_id: 'call_1', output: 'x' }]
      : [{ role: 'assistant', content: kept }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'call_1', content: 'x' }] }])
    const { messages } = JSON.parse(upstream.received.at(-1)!.body.toString()) as { messages: JsonObject[] }
    deepEqual((messages[1]!['tool_calls'] as JsonObject[])[0]!['extra_content'], extra_content)
  })
}

test('I8: an option of pictures is not copied to files', () => {
  const body = { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:application/pdf;base64,JVBERg==', detail: 'high' } }] }] }
  for (const to of NAMES) equal(JSON.stringify(translate('chat', to, body)).includes('detail'), false)
  match(JSON.stringify(translate('chat', 'responses', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x.test/a.png', detail: 'high' } }] }] })), /"detail":"high"/)
})

test('U7: a cancelled stream is recorded with the usage that is known', async (context) => {
  const upstream = await startUpstream(context, async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(toSse('anthropic', [
      { type: 'message_start', message: { ...MESSAGE, content: [], stop_reason: null, usage: { input_tokens: 42, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'half' } },
    ]))
    await once(response, 'close')
  })
  const { url, nextRecord } = await startProxy(context, { backends: backendsAt(upstream.url) })
  for (const client of ['anthropic', 'chat'] as const) {
    const record = nextRecord()
    const leave = new AbortController()
    const response = await fetch(url + PATHS[client], {
      method: 'POST', signal: leave.signal, headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'anthropic:m', max_tokens: 9, stream: true, messages: [{ role: 'user', content: 'hi' }] }),
    })
    await response.body!.getReader().read()
    leave.abort()
    const { end, usage } = await record
    equal(end, 'cancelled')
    equal(usage?.input, 42)
  }
})

for (const [backend, ending] of [
  ['chat', [
    { id: 'c', choices: [{ index: 0, delta: { content: 'half' } }] },
    { id: 'c', choices: [{ index: 0, delta: {}, finish_reason: 'error' }], usage: { prompt_tokens: 42, completion_tokens: 7 } },
  ]],
  ['responses', [
    { type: 'response.created', response: { id: 'r', model: 'm', usage: null } },
    { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'half' },
    { type: 'response.failed', response: { status: 'failed', error: { code: 'server_error', message: 'it broke' }, usage: { input_tokens: 42, output_tokens: 7 } } },
  ]],
] as [DialectName, JsonObject[]][]) {
  test(`U7: an answer of a ${backend} backend that breaks is recorded with the usage that is known, and Responses clients are told it`, async (context) => {
    const upstream = await startUpstream(context, (_request, response) => sendSse(response, [toSse(backend, ending)]))
    const { url, records } = await startProxy(context, { backends: backendsAt(upstream.url) })
    for (const client of NAMES.filter((name) => name !== backend)) {
      const response = await fetch(url + PATHS[client], {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: `${backend}:m`, max_tokens: 9, stream: true, input: 'hi', messages: [{ role: 'user', content: 'hi' }] }),
      })
      const text = await response.text()
      match(text, /half/)
      if (client === 'responses') match(text, /response\.failed.*"usage":\{"input_tokens":42,.*"output_tokens":7,/)
    }
    deepEqual(records.map(({ end, usage }) => [end, usage?.input, usage?.output]), [['broken', 42, 7], ['broken', 42, 7]])
  })
}

test('H10: a stream says its charset and that nothing on the way may hold it back', async (context) => {
  const upstream = await startUpstream(context, (_request, response) => {
    return sendSse(response, [toSse('chat', [{ id: 'c', choices: [{ index: 0, delta: { content: 'ok' }, finish_reason: 'stop' }] }])])
  })
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  for (const client of NAMES) {
    const response = await fetch(url + PATHS[client], {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'chat:m', max_tokens: 9, stream: true, input: 'hi', messages: [{ role: 'user', content: 'hi' }] }),
    })
    await response.text()
    deepEqual(['content-type', 'cache-control', 'x-accel-buffering'].map((name) => response.headers.get(name)), ['text/event-stream; charset=utf-8', 'no-cache', 'no'], client)
  }
})

test('M6: an answer of another model than the first of the chain says so in its headers and its record', async (context) => {
  const broken = await startUpstream(context, (_request, response) => sendJson(response, 500, { error: { message: 'down' } }))
  const working = await startUpstream(context, (_request, response) => sendJson(response, 200, MESSAGE))
  const { url, records } = await startProxy(context, {
    backends: { one: { type: 'anthropic', baseUrl: broken.url, keys: ['k1'] }, two: { type: 'anthropic', baseUrl: working.url, keys: ['k2'] } },
    routes: [{ model: '*', to: ['one', 'two:smaller'] }],
  })
  const response = await fetch(url + PATHS.anthropic, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'big', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] }),
  })
  await response.text()
  deepEqual(['dario-backend', 'dario-model', 'dario-attempts'].map((name) => response.headers.get(name)), ['two', 'smaller', '2'])
  deepEqual(records.map(({ backend, servedModel }) => [backend, servedModel]), [['two', 'smaller']])
})

test('O11: an answer padded with blanks is relayed as it came', async (context) => {
  const padded = `{ "type":"message",   "id": "msg_1",\n\n "content": [ ] , "usage": {"input_tokens":1.0} }   `
  const upstream = await startUpstream(context, (_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(padded))
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  const response = await fetch(url + PATHS.anthropic, { method: 'POST', body: JSON.stringify({ model: 'anthropic:m', max_tokens: 9, messages: [] }) })
  equal(await response.text(), padded)
})

test('Q5: the cache marks that OpenCode sets on calls and results reach Anthropic, and no other', () => {
  const mark = { cache_control: { type: 'ephemeral' } }
  const body = {
    max_tokens: 9, messages: [
      { role: 'user', content: 'go' },
      { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'read', input: {}, ...mark }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'out', ...mark }] },
    ],
  }
  equal(JSON.stringify(translate('anthropic', 'anthropic', body)).split('"ephemeral"').length - 1, 2)
  for (const to of ['chat', 'responses'] as const) equal(JSON.stringify(translate('anthropic', to, body)).includes('cache_control'), false)
})

test('Q6: what pi sends, a developer message first and pictures after the tool message, keeps its order', () => {
  const body = translate('chat', 'anthropic', {
    store: false, max_completion_tokens: 64,
    messages: [
      { role: 'developer', content: 'Be brief.' }, { role: 'user', content: 'look' },
      { role: 'assistant', content: null, tool_calls: [{ id: 't1', type: 'function', function: { name: 'shot', arguments: '' } }] },
      { role: 'tool', tool_call_id: 't1', content: 'taken' },
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }] },
    ],
  })
  equal(body['max_tokens'], 64)
  deepEqual(body['system'], [{ type: 'text', text: 'Be brief.' }])
  const last = (body['messages'] as JsonObject[]).at(-1)!
  deepEqual((last['content'] as JsonObject[]).map((block) => block['type']), ['tool_result', 'image'])
})

test('Q8: the twenty tools that Cline sends keep their order and names', () => {
  const names = Array.from({ length: 20 }, (_, index) => `team_${String.fromCharCode(116 - index)}`)
  const body = { max_tokens: 9, messages: [{ role: 'user', content: 'hi' }], tools: names.map((name) => ({ name, input_schema: { type: 'object' } })) }
  deepEqual((translate('anthropic', 'chat', body)['tools'] as { function: { name: string } }[]).map((tool) => tool.function.name), names)
  deepEqual((translate('anthropic', 'responses', body)['tools'] as { name: string }[]).map((tool) => tool.name), names)
})

test('Q9: betas of Continue and trace headers of OpenClaw go where they mean something', async (context) => {
  const { url, upstream } = await build(context)
  for (const target of ['anthropic', 'chat']) {
    await (await fetch(url + PATHS.anthropic, {
      method: 'POST', headers: { 'content-type': 'application/json', 'anthropic-beta': 'prompt-caching-2024-07-31', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
      body: JSON.stringify({ model: `${target}:m`, max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] }),
    })).text()
  }
  deepEqual(upstream.received.map(({ headers }) => headers['anthropic-beta']), ['prompt-caching-2024-07-31', undefined])
})

const affinity = (body: JsonObject, headers: Record<string, string> = {}): string => readAffinity(headers, peek(Buffer.from(JSON.stringify({ model: 'm', ...body }))))
const talk = (system: string, first: string, more: JsonObject[] = []): JsonObject => ({ system, messages: [{ role: 'user', content: first }, ...more] })

test('G2: a session is known by header, then user id, then cache key, then its first words', () => {
  const peeked = peek(Buffer.from(JSON.stringify({ metadata: { user_id: 'u' }, prompt_cache_key: 'k' })))
  equal(readSession({ 'x-session-id': 's' }, peeked), 's')
  equal(readSession({}, peeked), 'u')
  equal(readSession({}, peek(Buffer.from('{"prompt_cache_key":"k"}'))), 'k')
  equal(affinity(talk('a', 'b')), affinity(talk('a', 'b', [{ role: 'assistant', content: 'c' }, { role: 'user', content: 'd' }])))
})

test('G3: another system prompt or another first turn is another conversation', () => {
  notEqual(affinity(talk('in /home/one', 'hi')), affinity(talk('in /home/two', 'hi')))
  notEqual(affinity(talk('same', 'hi')), affinity(talk('same', 'hello')))
})

test('G5: an alias or a suffix of the model does not move a session to another key', () => {
  equal(affinity({ ...talk('a', 'b'), model: 'opus[1m]' }), affinity({ ...talk('a', 'b'), model: 'opus' }))
})

test('Z3: no route of the proxy gives out a key', async (context) => {
  const { url } = await build(context)
  for (const path of ['/', '/health', '/metrics', '/v1/models', '/token', '/config', '/v1/messages', '/v1/keys']) {
    const text = await (await fetch(url + path)).text()
    equal(text.includes('SECRETSECRET'), false, path)
  }
})

test('N4: an estimate counts tools, pictures and the system prompt, and is never a token or two', () => {
  const tokens = (more: JsonObject): number => estimateTokens({ model: 'm', messages: [{ role: 'user', content: 'word '.repeat(100) }], ...more })
  const plain = tokens({})
  ok(plain > 90 && plain < 140, `${plain} for a hundred words`)
  ok(tokens({ system: 'word '.repeat(100) }) > plain + 80)
  ok(tokens({ tools: [{ name: 'read', description: 'word '.repeat(100), input_schema: { type: 'object' } }] }) > plain + 80)
  ok(tokens({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'url', url: 'https://x.test/a.png' } }] }] }) > 1000)
})

for (const model of ['haiku', 'claude-haiku-4-5', 'claude-3-5-haiku-latest']) {
  test(`M7: the small model ${model}, which agents use beside the main one, finds the backend of its family`, async (context) => {
    const upstream = await startUpstream(context, (_request, response) => sendJson(response, 200, MESSAGE))
    const { url } = await startProxy(context, { backends: { anthropic: { type: 'anthropic', baseUrl: upstream.url, keys: ['k'] }, other: { type: 'openai', baseUrl: 'http://127.0.0.1:9', keys: ['k'] } } })
    const response = await fetch(url + PATHS.anthropic, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model, max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] }),
    })
    await response.text()
    equal(response.headers.get('dario-backend'), 'anthropic')
  })
}

for (const name of ['../x', 'a/b', 'a b', 'a:b', '..\\x', '']) {
  test(`Z11: ${JSON.stringify(name)} is no name of a backend`, () => {
    throws(() => parseConfig({ backends: { [name]: { type: 'echo' } } }), { code: 'config_invalid' })
  })
}

test('X5: the time limits of the server are set on purpose: none on a whole request, 30 s on its headers', () => {
  const source = readFileSync(new URL('../src/server/listener.ts', import.meta.url), 'utf8')
  match(source, /requestTimeout: 0/)
  match(source, /headersTimeout = 30_000/)
})

test('Z5: access keys are compared as hashes and in constant time', () => {
  const source = readFileSync(new URL('../src/server/guard.ts', import.meta.url), 'utf8')
  match(source, /timingSafeEqual\(hash, expected\)/)
  const { config } = parseConfig({ accessKeys: ['a-key-of-the-test'] })
  equal(JSON.stringify(config).includes('a-key-of-the-test'), false)
})

test('W1: a settings file that sends Claude Code elsewhere is found', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'dario-'))
  context.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'settings.json'), JSON.stringify({ env: { ANTHROPIC_BASE_URL: 'https://elsewhere.test' } }))
  const found = checkTools({ CLAUDE_CONFIG_DIR: folder, CODEX_HOME: folder, HOME: folder }, 3456)
  ok(found.some(({ state, found }) => state !== 'ok' && found.includes('settings.json')), JSON.stringify(found))
})
