import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { PATHS, WHOLES, ask } from './helpers/answers.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { DialectName, ProxyOptions } from '../src/index.ts'
import type { JsonObject } from '../src/hub/types.ts'
import type { TestProxy } from './helpers/proxy.ts'
import type { TestUpstream } from './helpers/upstream.ts'

const badRequest = (message: string): JsonObject => ({ type: 'error', error: { type: 'invalid_request_error', message } })

/** Answers what `refuse` says nothing against. */
async function start(
  context: TestContext, dialect: DialectName, refuse: (body: JsonObject, text: string) => string | undefined,
  options: ProxyOptions = {}, answer: JsonObject = WHOLES[dialect],
): Promise<TestProxy & { up: TestUpstream; bodies: () => JsonObject[] }> {
  const up = await startUpstream(context, ({ body }, response) => {
    const refusal = refuse(JSON.parse(body.toString()) as JsonObject, body.toString())
    if (refusal === undefined) sendJson(response, 200, answer)
    else sendJson(response, 400, badRequest(refusal))
  })
  const proxy = await startProxy(context, { backends: backendsAt(up.url), ...options })
  return { ...proxy, up, bodies: () => up.received.map(({ body }) => JSON.parse(body.toString()) as JsonObject) }
}

test('repairs: A5, A6: what a server refuses, one field after another, is left out at once and remembered', async (context) => {
  const { url, bodies, records } = await start(context, 'chat', (body) => {
    if ('max_tokens' in body) return "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    if ('temperature' in body) return "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported."
    return undefined
  })
  for (const attempts of ['3', '1']) {
    const response = await ask(url, 'anthropic', 'chat/m', { temperature: 0.5 })
    deepStrictEqual([response.status, response.headers.get('dario-attempts')], [200, attempts])
    match(response.headers.get('dario-dropped') ?? '', /temperature/)
  }
  const last = bodies().at(-1)!
  deepStrictEqual([last['max_completion_tokens'], 'temperature' in last], [100, false])
  deepStrictEqual(records[0]?.attempts.map(({ outcome }) => outcome), ['repaired', 'repaired', 'ok'])
})

test('repairs: parallel requests all profit from one refusal', async (context) => {
  const { url } = await start(context, 'chat', (body) =>
    'max_tokens' in body ? "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead." : undefined)
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(url, 'anthropic', 'chat/m')))
  ok(answers.every(({ status }) => status === 200))
})

test('repairs: a refusal that stays is told after the repair, not asked for ever', async (context) => {
  const { url, up } = await start(context, 'chat', () => "Unsupported value: 'temperature' is not supported.")
  for (const total of [2, 3]) {
    strictEqual((await ask(url, 'anthropic', 'chat/m', { temperature: 0.5 })).status, 400)
    strictEqual(up.received.length, total)
  }
})

test('repairs: a relayed body is the client\'s own: its fields are not touched, its mistake is told', async (context) => {
  const { url, up } = await start(context, 'chat', () => "Unsupported value: 'temperature' is not supported.")
  strictEqual((await ask(url, 'chat', 'chat/m', { temperature: 0.5 })).status, 400)
  strictEqual(up.received.length, 1)
})

const THOUGHT = { type: 'thinking', thinking: 'hm', signature: 'stale' }
const history = (...blocks: JsonObject[]): JsonObject[] => [
  { role: 'user', content: 'first' }, { role: 'assistant', content: [THOUGHT, { type: 'redacted_thinking', data: 'x' }, ...blocks] as unknown as JsonObject[] },
]
const STALE = 'messages.1.content.0: Invalid `signature` in `thinking` block'

test('repairs: T2: reasoning that no longer verifies is taken out of a relayed history, for that conversation', async (context) => {
  const { url, bodies } = await start(context, 'anthropic', (_, text) => /"signature"|redacted_thinking/.test(text) ? STALE : undefined)
  const messages = [...history({ type: 'text', text: 'answer' }), { role: 'user', content: 'second' }]
  for (const attempts of ['2', '1']) {
    const response = await ask(url, 'anthropic', 'anthropic/m', { messages, thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 2000 })
    deepStrictEqual([response.status, response.headers.get('dario-attempts')], [200, attempts])
  }
  const last = bodies().at(-1)!
  deepStrictEqual(last['messages'], [messages[0], { role: 'assistant', content: [{ type: 'text', text: 'answer' }] }, messages[2]])
  deepStrictEqual(last['thinking'], { type: 'enabled', budget_tokens: 1024 })
  await ask(url, 'anthropic', 'anthropic/m', { messages: [{ role: 'user', content: 'another' }, ...history({ type: 'text', text: 'a' }).slice(1), { role: 'user', content: 'x' }] })
  ok(JSON.stringify(bodies().at(-2)).includes('stale'), 'another conversation keeps its own')
})

test('repairs: T1, T2: a tool turn that lost its reasoning goes on without a thinking budget', async (context) => {
  const { url, bodies } = await start(context, 'anthropic', (_, text) => text.includes('stale') ? STALE : undefined)
  const messages = [
    ...history({ type: 'tool_use', id: 'toolu_1', name: 't', input: {} }),
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'r' }] as unknown as JsonObject[] },
  ]
  strictEqual((await ask(url, 'anthropic', 'anthropic/m', { messages, thinking: { type: 'enabled', budget_tokens: 1024 } })).status, 200)
  deepStrictEqual(bodies().at(-1)?.['thinking'], { type: 'disabled' })
})

test('repairs: a relayed turn that held nothing but reasoning goes with it', async (context) => {
  const { url, bodies } = await start(context, 'anthropic', (_, text) => text.includes('stale') ? STALE : undefined)
  strictEqual((await ask(url, 'anthropic', 'anthropic/m', { messages: [...history(), { role: 'user', content: 'go on' }] })).status, 200)
  deepStrictEqual(bodies().at(-1)?.['messages'], [{ role: 'user', content: 'first' }, { role: 'user', content: 'go on' }])
})

const CALL: JsonObject = {
  ...WHOLES.anthropic, stop_reason: 'tool_use',
  content: [{ type: 'thinking', thinking: 'I must look', signature: 'genuine' }, { type: 'tool_use', id: 'call_0', name: 'look', input: { a: 1 } }] as unknown as JsonObject[],
}
const TOOLS = [{ type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } }] as unknown as JsonObject[]
const after = (name: string): JsonObject => ({
  tools: TOOLS,
  messages: [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_0', type: 'function', function: { name, arguments: '{"a":1}' } }] as unknown as JsonObject[] },
    { role: 'tool', tool_call_id: 'call_0', content: 'seen' },
  ],
})

test('repairs: T1: reasoning that an OpenAI client dropped is put back in front of its tool call', async (context) => {
  const { url, bodies } = await start(context, 'anthropic', () => undefined, {}, CALL)
  await ask(url, 'chat', 'anthropic/m', { tools: TOOLS })
  await ask(url, 'chat', 'anthropic/m', after('look'))
  deepStrictEqual(((bodies()[1]?.['messages'] as JsonObject[])[1]?.['content'] as JsonObject[])[0], { type: 'thinking', thinking: 'I must look', signature: 'genuine' })
})

test('repairs: T1, Q10: reasoning that came back without its proof is replaced by what was kept', async (context) => {
  const { url, bodies } = await start(context, 'anthropic', () => undefined, {}, CALL)
  await ask(url, 'chat', 'anthropic/m', { tools: TOOLS })
  const replayed = after('look')
  Object.assign((replayed['messages'] as JsonObject[])[1]!, { reasoning_content: 'I must look' })
  const { headers } = await ask(url, 'chat', 'anthropic/m', replayed)
  deepStrictEqual((bodies()[1]?.['messages'] as JsonObject[])[1]?.['content'], CALL['content'])
  strictEqual(headers.get('dario-dropped'), null)
})

test('repairs: T1: reasoning is put back for its own client and its own call only', async (context) => {
  const accessKeys = ['alice', 'bob'].map((name) => ({ name, hash: createHash('sha256').update(name).digest('hex') }))
  const { url, up } = await start(context, 'anthropic', () => undefined, { accessKeys }, CALL)
  const as = (name: string, more: JsonObject): Promise<Response> => ask(url, 'chat', 'anthropic/m', more, { headers: { 'x-api-key': name } })
  await as('alice', { tools: TOOLS })
  await as('bob', after('look'))
  await as('alice', after('other'))
  doesNotMatch(up.received.slice(1).map(({ body }) => body.toString()).join(), /I must look/)
  await as('alice', after('look'))
  match(up.received.at(-1)!.body.toString(), /I must look/)
})

test('repairs: T4: where a server numbers its calls anew, a call gets the reasoning that led to it, and no other', async (context) => {
  const up = await startUpstream(context, (_, response, { headers }) => {
    const call = { type: 'tool_use', id: 'call_0', name: 'look', input: { at: { x: 'here', y: [Number(headers['x-session-id'])] } } }
    sendJson(response, 200, { ...CALL, content: [{ type: 'thinking', thinking: `thought of ${headers['x-session-id']}`, signature: 's' }, call] })
  })
  const { url } = await startProxy(context, { backends: backendsAt(up.url) })
  const tell = (session: number, ...more: JsonObject[]): Promise<Response> =>
    ask(url, 'chat', 'anthropic/m', { tools: TOOLS, messages: [{ role: 'user', content: 'Hi' }, ...more] }, { headers: { 'x-session-id': String(session) } })
  for (const session of [1, 2]) await (await tell(session)).text()
  for (const [session, thoughts] of [[1, ['thought of 1']], [2, ['thought of 2']], [3, []]] as const) {
    await tell(session, // as many clients write a call back: parsed and written anew, with blanks and in another order
      { role: 'assistant', tool_calls: [{ id: 'call_0', type: 'function', function: { name: 'look', arguments: `{"at": {"y": [${session}.0], "x": "here"}}` } }] },
      { role: 'tool', tool_call_id: 'call_0', content: 'seen' })
    deepStrictEqual(up.received.at(-1)!.body.toString().match(/thought of \d/g) ?? [], thoughts)
  }
})

test('O5: of a server that numbers its calls anew a client gets ids that its history does not hold yet', async (context) => {
  for (const id of ['call_0', 'functions.look:0']) {
    const call = { id, type: 'function', function: { name: 'look', arguments: '{}' } }
    const answer = { ...WHOLES.chat, choices: [{ index: 0, message: { role: 'assistant', content: null, tool_calls: [call] }, finish_reason: 'tool_calls' }] }
    const { url } = await start(context, 'chat', () => undefined, {}, answer as unknown as JsonObject)
    const ids: string[] = []
    const messages: JsonObject[] = [{ role: 'user', content: 'Hi' }]
    for (let turn = 0; turn < 3; turn++) {
      const { content } = await (await ask(url, 'anthropic', 'chat/m', { messages })).json() as { content: JsonObject[] }
      ids.push(String(content[0]?.['id']))
      messages.push({ role: 'assistant', content }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: ids.at(-1)!, content: 'seen' }] })
    }
    strictEqual(new Set(ids).size, 3, ids.join())
    ok(ids.every((one) => one.startsWith(id.slice(0, 4)) && /^[\w-]{1,64}$/.test(one)), ids.join())
  }
})

for (const stream of [true, false]) {
  test(`functions without tools are answered by function_call, ${stream ? 'streamed' : 'whole'}`, async (context) => {
    const { url, bodies } = await start(context, 'anthropic', () => undefined, {}, CALL)
    const functions = [{ name: 'look', parameters: { type: 'object', properties: {} } }]
    const older = await (await ask(url, 'chat', 'anthropic/m', { functions, stream })).text()
    match(older, /"function_call":\{"name":"look".*"finish_reason":"function_call"/s)
    doesNotMatch(older, /tool_calls/)
    deepStrictEqual(bodies()[0]?.['tool_choice'], { type: 'auto', disable_parallel_tool_use: true }, 'the answer has room for one')
    match(await (await ask(url, 'chat', 'anthropic/m', { functions, tools: TOOLS, stream })).text(), /"finish_reason":"tool_calls"/)
  })
}

test('repairs: F9: every attempt encodes from the client\'s own body', async (context) => {
  const seen: [string, JsonObject][] = []
  const up = await startUpstream(context, ({ url, body }, response) => {
    seen.push([url, JSON.parse(body.toString()) as JsonObject])
    const last = url === PATHS.responses
    sendJson(response, last ? 200 : 503, last ? WHOLES.responses : badRequest('down'))
  })
  const { url } = await startProxy(context, { backends: backendsAt(up.url), routes: [{ model: '*', to: ['anthropic:a', 'chat:c', 'responses:r'] }] })
  const response = await ask(url, 'chat', 'any', { max_tokens: 50, seed: 7, logit_bias: { 5: 1 } })
  strictEqual(response.status, 200)
  deepStrictEqual(seen.map(([path, body]) => [path, body['model']]), [[PATHS.anthropic, 'a'], [PATHS.chat, 'c'], [PATHS.responses, 'r']])
  deepStrictEqual([seen[1]?.[1]['seed'], seen[1]?.[1]['logit_bias'], seen[1]?.[1]['max_tokens'], seen[2]?.[1]['max_output_tokens']], [7, { 5: 1 }, 50, 50])
})
