import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import OpenAI from 'openai'
import { PIXEL, sendEvents, sendJson, startBench, UPSTREAM_KEY } from './harness.ts'
import type { Answer, Bench } from './harness.ts'

const MODEL = 'gpt-4.1'
const ASK = { model: MODEL, messages: [{ role: 'user' as const, content: 'Hello' }] }
const COMPLETION = {
  id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: MODEL,
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello there' }, finish_reason: 'stop', logprobs: null }],
  usage: { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 },
}
const TOOL = { type: 'function' as const, function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }
const RESPONSE = {
  id: 'resp_1', object: 'response', created_at: 1, status: 'completed', model: MODEL, error: null, incomplete_details: null,
  output: [{ id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'Hello there', annotations: [] }] }],
  usage: { input_tokens: 12, output_tokens: 5, total_tokens: 17, input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
}

async function connect(context: TestContext, answer: Answer): Promise<Bench & { client: OpenAI }> {
  const bench = await startBench(context, answer)
  return { ...bench, client: new OpenAI({ baseURL: `${bench.url}/v1`, apiKey: 'placeholder', maxRetries: 0 }) }
}

const chunk = (delta: object, finish_reason: string | null = null): Record<string, unknown> =>
  ({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: MODEL, choices: [{ index: 0, delta, finish_reason }] })

test('openai sdk: a plain Chat answer comes whole, and the key that goes up is ours', async (t) => {
  const { client, seen } = await connect(t, (_, response) => sendJson(response, 200, COMPLETION))
  const { choices, usage } = await client.chat.completions.create(ASK)
  deepStrictEqual([choices[0]?.message.content, usage?.total_tokens], ['Hello there', 17])
  strictEqual(seen[0]?.headers.authorization, `Bearer ${UPSTREAM_KEY}`)
  ok(!JSON.stringify(seen[0]?.headers).includes('placeholder'))
})

test('openai sdk: a Chat stream gives its text and ends', async (t) => {
  const { client } = await connect(t, (_, response) =>
    sendEvents(response, [chunk({ role: 'assistant', content: '' }), ...['Hello', ' there'].map((content) => chunk({ content })), chunk({}, 'stop')], false))
  let text = ''
  for await (const { choices } of await client.chat.completions.create({ ...ASK, stream: true })) text += choices[0]?.delta.content ?? ''
  strictEqual(text, 'Hello there')
})

test('openai sdk: parallel streamed tool calls are put together', async (t) => {
  const call = (index: number, id: string | undefined, text: string): Record<string, unknown> => chunk({
    tool_calls: [{ index, ...(id === undefined ? {} : { id, type: 'function' }), function: { ...(id === undefined ? {} : { name: 'weather' }), arguments: text } }],
  })
  const { client } = await connect(t, (_, response) => sendEvents(response, [
    chunk({ role: 'assistant', content: null }),
    call(0, 'call_1', ''), call(0, undefined, '{"city":'), call(0, undefined, '"Pécs"}'), call(1, 'call_2', '{"city":"Győr"}'),
    chunk({}, 'tool_calls'),
  ], false))
  const final = await client.chat.completions.stream({ ...ASK, tools: [TOOL] }).finalChatCompletion()
  deepStrictEqual(final.choices[0]?.message.tool_calls?.map((tool) => tool.type === 'function' && [tool.id, tool.function.arguments]), [
    ['call_1', '{"city":"Pécs"}'], ['call_2', '{"city":"Győr"}'],
  ])
})

test('openai sdk: an image reaches the upstream as it was sent', async (t) => {
  const { client, seen } = await connect(t, (_, response) => sendJson(response, 200, COMPLETION))
  const content = [{ type: 'image_url' as const, image_url: { url: `data:image/png;base64,${PIXEL}` } }]
  await client.chat.completions.create({ ...ASK, messages: [{ role: 'user', content }] })
  deepStrictEqual((seen[0]?.body['messages'] as { content: unknown }[])[0]?.content, content)
})

test('openai sdk: a plain Responses answer comes whole', async (t) => {
  const { client, seen } = await connect(t, (_, response) => sendJson(response, 200, RESPONSE))
  strictEqual((await client.responses.create({ model: MODEL, input: 'Hello' })).output_text, 'Hello there')
  strictEqual(seen[0]?.path, '/v1/responses')
})

test('openai sdk: a Responses stream gives its text and its final response', async (t) => {
  const [item] = RESPONSE.output
  const part = { type: 'output_text', text: '', annotations: [] }
  const events = [
    { type: 'response.created', response: { ...RESPONSE, status: 'in_progress', output: [] } },
    { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
    { type: 'response.content_part.added', item_id: 'msg_1', output_index: 0, content_index: 0, part },
    ...['Hello', ' there'].map((delta) => ({ type: 'response.output_text.delta', item_id: 'msg_1', output_index: 0, content_index: 0, delta })),
    { type: 'response.output_text.done', item_id: 'msg_1', output_index: 0, content_index: 0, text: 'Hello there' },
    { type: 'response.content_part.done', item_id: 'msg_1', output_index: 0, content_index: 0, part: { ...part, text: 'Hello there' } },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: RESPONSE },
  ].map((event, sequence_number) => ({ ...event, sequence_number }))
  const { client } = await connect(t, (_, response) => sendEvents(response, events, true))
  const stream = client.responses.stream({ model: MODEL, input: 'Hello' })
  let text = ''
  stream.on('response.output_text.delta', ({ delta }) => { text += delta })
  const final = await stream.finalResponse()
  deepStrictEqual([text, final.output_text], ['Hello there', 'Hello there'])
})

test('openai sdk: embeddings are relayed untouched', async (t) => {
  const data = [{ object: 'embedding', index: 0, embedding: [0.25, -0.5] }]
  const { client } = await connect(t, (_, response) => sendJson(response, 200, { object: 'list', data, model: 'e', usage: { prompt_tokens: 1, total_tokens: 1 } }))
  const answer = await client.embeddings.create({ model: 'text-embedding-3-small', input: 'Hello', encoding_format: 'float' })
  deepStrictEqual(answer.data[0]?.embedding, [0.25, -0.5])
})

const ERRORS = [
  [400, 'invalid_request_error', OpenAI.BadRequestError],
  [401, 'invalid_api_key', OpenAI.AuthenticationError],
  [403, 'permission_error', OpenAI.PermissionDeniedError],
  [404, 'model_not_found', OpenAI.NotFoundError],
  [422, 'invalid_request_error', OpenAI.UnprocessableEntityError],
  [429, 'rate_limit_exceeded', OpenAI.RateLimitError],
  [500, 'server_error', OpenAI.InternalServerError],
] as const

for (const [status, code, expected] of ERRORS) {
  test(`openai sdk: an upstream's ${status} is a ${expected.name} with the upstream's words`, async (t) => {
    const error = { message: 'said the upstream', type: code, code, param: null }
    const { client } = await connect(t, (_, response) => sendJson(response, status, { error }))
    for (const ask of [() => client.chat.completions.create(ASK), () => client.responses.create({ model: MODEL, input: 'Hello' })]) {
      await rejects(async () => { await ask() }, (thrown) => {
        ok(thrown instanceof expected, String(thrown))
        ok(thrown.message.includes('said the upstream'), thrown.message)
        return true
      })
    }
  })
}

test('openai sdk: a Chat stream that breaks off never looks complete', async (t) => {
  const { client } = await connect(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`data: ${JSON.stringify(chunk({ role: 'assistant', content: 'Hel' }))}\n\n`)
    setTimeout(() => response.destroy(), 100)
  })
  const read = async (): Promise<void> => {
    for await (const part of await client.chat.completions.create({ ...ASK, stream: true })) void part
  }
  await rejects(read(), (error) => error instanceof OpenAI.APIError)
})

test('openai sdk: an aborted stream ends the upstream request', async (t) => {
  const { client, cut } = await connect(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`data: ${JSON.stringify(chunk({ role: 'assistant', content: 'Hel' }))}\n\n`)
  })
  const stream = await client.chat.completions.create({ ...ASK, stream: true })
  for await (const part of stream) {
    ok(part)
    stream.controller.abort()
  }
  await cut
})
