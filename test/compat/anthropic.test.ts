import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { PIXEL, sendEvents, sendJson, startBench, UPSTREAM_KEY } from './harness.ts'
import type { Answer, Bench } from './harness.ts'

const MODEL = 'claude-of-the-stand-in' // no real name: the SDK warns of models that age
const USAGE = { input_tokens: 12, output_tokens: 5 }
const MESSAGE = {
  id: 'msg_1', type: 'message', role: 'assistant', model: MODEL, content: [{ type: 'text', text: 'Hello there' }],
  stop_reason: 'end_turn', stop_sequence: null, usage: USAGE,
}
const START = { type: 'message_start', message: { ...MESSAGE, content: [], stop_reason: null } }
const END = [
  { type: 'message_delta', delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: { output_tokens: 5 } },
  { type: 'message_stop' },
]
const ASK = { model: MODEL, max_tokens: 100, messages: [{ role: 'user' as const, content: 'Hello' }] }

async function connect(context: TestContext, answer: Answer): Promise<Bench & { client: Anthropic }> {
  const bench = await startBench(context, answer)
  return { ...bench, client: new Anthropic({ baseURL: bench.url, apiKey: 'placeholder', maxRetries: 0 }) }
}

test('anthropic sdk: a plain answer comes whole, and the key that goes up is ours', async (t) => {
  const { client, seen } = await connect(t, (_, response) => sendJson(response, 200, MESSAGE))
  const { content, usage } = await client.messages.create(ASK)
  deepStrictEqual([content, usage], [MESSAGE.content, USAGE])
  strictEqual(seen[0]?.headers['x-api-key'], UPSTREAM_KEY)
  ok(!JSON.stringify(seen[0]?.headers).includes('placeholder'))
})

test('anthropic sdk: a stream gives its text and its final message', async (t) => {
  const { client } = await connect(t, (_, response) => sendEvents(response, [
    START,
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    ...['Hello', ' ', 'there'].map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
    { type: 'content_block_stop', index: 0 },
    ...END,
  ], true))
  const stream = client.messages.stream(ASK)
  let text = ''
  stream.on('text', (delta) => { text += delta })
  const final = await stream.finalMessage()
  strictEqual(text, 'Hello there')
  deepStrictEqual(final.content.map((block) => block.type === 'text' && block.text), ['Hello there'])
})

test('anthropic sdk: a streamed tool call is parsed, and its result goes up untouched', async (t) => {
  const { client, seen } = await connect(t, (_, response) => sendEvents(response, [
    START,
    { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} } },
    ...['{"city": "Bu', 'dapest"}'].map((partial_json) => ({ type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json } })),
    { type: 'content_block_stop', index: 0 },
    ...END,
  ], true))
  const tools = [{ name: 'weather', input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } } }]
  const first = await client.messages.stream({ ...ASK, tools }).finalMessage()
  const [call] = first.content
  deepStrictEqual(call?.type === 'tool_use' && [call.id, call.name, call.input], ['toolu_1', 'weather', { city: 'Budapest' }])
  const result = { type: 'tool_result' as const, tool_use_id: 'toolu_1', content: '22 degrees' }
  await client.messages.stream({
    ...ASK, tools, messages: [...ASK.messages, { role: 'assistant', content: first.content }, { role: 'user', content: [result] }],
  }).finalMessage()
  deepStrictEqual((seen[1]?.body['messages'] as { content: unknown }[])[2]?.content, [result])
})

test('anthropic sdk: an image reaches the upstream as it was sent', async (t) => {
  const { client, seen } = await connect(t, (_, response) => sendJson(response, 200, MESSAGE))
  const content = [
    { type: 'image' as const, source: { type: 'base64' as const, media_type: 'image/png' as const, data: PIXEL } },
    { type: 'text' as const, text: 'What is this?' },
  ]
  await client.messages.create({ ...ASK, messages: [{ role: 'user', content }] })
  deepStrictEqual((seen[0]?.body['messages'] as { content: unknown }[])[0]?.content, content)
})

test('anthropic sdk: tokens are counted by the upstream', async (t) => {
  const { client, seen } = await connect(t, (_, response) => sendJson(response, 200, { input_tokens: 17 }))
  strictEqual((await client.messages.countTokens({ model: MODEL, messages: ASK.messages })).input_tokens, 17)
  ok(seen[0]?.path.startsWith('/v1/messages/count_tokens'))
})

const ERRORS = [
  [400, 'invalid_request_error', Anthropic.BadRequestError],
  [401, 'authentication_error', Anthropic.AuthenticationError],
  [403, 'permission_error', Anthropic.PermissionDeniedError],
  [404, 'not_found_error', Anthropic.NotFoundError],
  [429, 'rate_limit_error', Anthropic.RateLimitError],
  [500, 'api_error', Anthropic.InternalServerError],
  [529, 'overloaded_error', Anthropic.InternalServerError],
] as const

for (const [status, type, expected] of ERRORS) {
  test(`anthropic sdk: an upstream's ${status} is a ${expected.name} with the upstream's words`, async (t) => {
    const { client } = await connect(t, (_, response) => sendJson(response, status, { type: 'error', error: { type, message: 'said the upstream' } }))
    await rejects(client.messages.create(ASK), (error) => {
      ok(error instanceof expected, String(error))
      strictEqual(error.status, status)
      ok(error.message.includes('said the upstream'), error.message)
      return true
    })
  })
}

test('anthropic sdk: an unreachable upstream is an API error that says what to do', async (t) => {
  const { client } = await connect(t, (_, response) => { response.destroy() })
  await rejects(client.messages.create(ASK), (error) => error instanceof Anthropic.InternalServerError && error.status === 502)
})

test('anthropic sdk: an error inside a stream is thrown', async (t) => {
  const { client } = await connect(t, (_, response) => sendEvents(response, [
    START,
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hel' } },
    { type: 'error', error: { type: 'overloaded_error', message: 'said the upstream' } } as { type: string },
  ], true))
  await rejects(client.messages.stream(ASK).finalMessage(), /said the upstream/)
})

test('anthropic sdk: a stream that breaks off never looks complete', async (t) => {
  const { client } = await connect(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: message_start\ndata: ${JSON.stringify(START)}\n\n`)
    response.write('event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n')
    response.write('event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}\n\n')
    setTimeout(() => response.destroy(), 100)
  })
  await rejects(client.messages.stream(ASK).finalMessage(), (error) => error instanceof Anthropic.APIError)
})

test('anthropic sdk: an aborted stream ends the upstream request', async (t) => {
  const { client, cut } = await connect(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: message_start\ndata: ${JSON.stringify(START)}\n\n`)
    response.write('event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n')
    response.write('event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}\n\n')
  })
  const stream = client.messages.stream(ASK)
  stream.on('text', () => stream.abort())
  await rejects(stream.finalMessage(), Anthropic.APIUserAbortError)
  await cut
})
