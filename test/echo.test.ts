import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { createEcho } from '../src/backends/echo.ts'
import type { Upstream } from '../src/backends/backend.ts'
import { toReadable } from '../src/backends/source.ts'
import { estimateTokens } from '../src/dialects/anthropic/count.ts'
import { anthropicDialect } from '../src/dialects/anthropic/dialect.ts'
import { foldEvents } from './helpers/fold.ts'
import type { HubReply, JsonObject } from '../src/hub/types.ts'
import { createSseDecoder } from '../src/sse.ts'
import { assertGrammar } from './helpers/grammar.ts'
import { withDeadline } from './helpers/deadline.ts'

let ids = 0
const echo = createEcho('echo', { newId: (prefix) => `${prefix}${++ids}`, estimateTokens })
const TOOLS = [{ name: 'get_weather', input_schema: { type: 'object', properties: {} } }]

function send(path: string, body?: JsonObject, signal: AbortSignal = new AbortController().signal): Promise<Upstream> {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const call = { method: 'POST', path, dialect: 'anthropic' as const, model: 'echo', stream: true, headers: {}, body: bytes, session: undefined, loopback: true }
  return echo.send(call, undefined, signal)
}

async function ask(content: JsonObject['x'], more: JsonObject = {}): Promise<{ reply: HubReply; pieces: number }> {
  const upstream = await send('/v1/messages?beta=true', { model: 'echo', stream: true, messages: [{ role: 'user', content }], ...more })
  const sse = createSseDecoder()
  const decoder = anthropicDialect.createStreamDecoder({ toolNames: new Map(), newId: String })
  const frames = [...sse.push(await text(toReadable(upstream.body))), ...sse.end()]
  const events = [...frames.flatMap((frame) => decoder.push(frame)), ...decoder.end()]
  assertGrammar(events)
  return { reply: foldEvents(events), pieces: events.filter((event) => event.type === 'delta').length }
}

test('echo: answers with the last user text, word by word, with usage', async () => {
  const { reply, pieces } = await ask([{ type: 'text', text: 'reminder' }, { type: 'text', text: 'say these four words' }])
  deepStrictEqual(reply.blocks, [{ type: 'text', text: 'say these four words' }])
  strictEqual(pieces, 4)
  strictEqual(reply.stop, 'end_turn')
  ok(reply.usage.input > 0 && reply.usage.output > 0)
})

test('echo: a text of the form call NAME {json} calls the tool', async () => {
  const { reply } = await ask('call get_weather {"city": "Paris"}', { tools: TOOLS })
  strictEqual(reply.stop, 'tool_use')
  deepStrictEqual(reply.blocks.map((block) => block.type === 'tool_use' && [block.name, JSON.parse(block.input)]), [['get_weather', { city: 'Paris' }]])
})

test('echo: a tool without input is called with an empty object', async () => {
  const { reply } = await ask('call get_weather', { tools: TOOLS })
  ok(reply.blocks[0]?.type === 'tool_use' && reply.blocks[0].input === '{}')
})

test('echo: a tool that the client does not have is not called', async () => {
  const { reply } = await ask('call rm {}', { tools: TOOLS })
  deepStrictEqual(reply.blocks, [{ type: 'text', text: 'There is no tool rm. The tools are: get_weather.' }])
  strictEqual(reply.stop, 'end_turn')
})

test('echo: input that is not JSON is said to be so', async () => {
  const { reply } = await ask('call get_weather {city}', { tools: TOOLS })
  ok(reply.blocks[0]?.type === 'text' && reply.blocks[0].text.includes('not a JSON object'))
})

test("echo: after a tool's result it answers with the result's text", async () => {
  const { reply } = await ask([{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'sunny' }] }, { type: 'text', text: 'and?' }])
  deepStrictEqual(reply.blocks, [{ type: 'text', text: 'sunny' }])
})

test('B13: without stream the answer is one JSON message', async () => {
  const upstream = await send('/v1/messages', { model: 'echo', messages: [{ role: 'user', content: 'hi' }] })
  strictEqual(upstream.headers['content-type'], 'application/json')
  const message = JSON.parse(await text(toReadable(upstream.body))) as JsonObject
  deepStrictEqual(message['content'], [{ type: 'text', text: 'hi' }])
  strictEqual(message['stop_reason'], 'end_turn')
})

test('N1: count_tokens is answered', async () => {
  const body = { model: 'echo', messages: [{ role: 'user', content: 'count me' }] }
  deepStrictEqual(JSON.parse(await text(toReadable((await send('/v1/messages/count_tokens', body)).body))), { input_tokens: estimateTokens(body) })
})

test('echo: lists its model and knows any by name', async () => {
  const list = JSON.parse(await text(toReadable((await send('/v1/models')).body))) as { data: { id: string }[] }
  deepStrictEqual(list.data.map((model) => model.id), ['echo'])
  strictEqual((JSON.parse(await text(toReadable((await send('/v1/models/echo')).body))) as JsonObject)['id'], 'echo')
})

test('echo: other paths and broken bodies are refused in words', async () => {
  strictEqual((await send('/v1/images')).status, 404)
  strictEqual((await send('/v1/messages')).status, 400)
})

test('S29: an abort ends the stream at once', async () => {
  const abort = new AbortController()
  const upstream = await send('/v1/messages', { stream: true, messages: [{ role: 'user', content: 'word '.repeat(50_000) }] }, abort.signal)
  const body = toReadable(upstream.body)
  await withDeadline(once(body, 'data'), 2000, 'first word')
  const closed = once(body, 'close')
  abort.abort(new Error('client left'))
  await rejects(withDeadline(closed, 2000, 'end of the stream'), /client left/)
  ok(body.destroyed)
  await rejects(send('/v1/messages', {}, abort.signal), /client left/)
})

test('S27: a reader that does not read holds the answer back', async () => {
  const upstream = await send('/v1/messages', { stream: true, messages: [{ role: 'user', content: 'word '.repeat(50_000) }] })
  const body = toReadable(upstream.body)
  await once(body, 'readable')
  for (let turn = 0; turn < 1000; turn++) await new Promise((resolve) => setImmediate(resolve))
  ok(body.readableLength < 200_000, `${body.readableLength} bytes are buffered`)
  body.destroy()
})

test('echo: a long text that only begins as a call is echoed at once', async () => {
  const started = performance.now()
  for (const text of [`call ${'{'.repeat(60_000)} x`, `call a${' '.repeat(60_000)}b`]) strictEqual((await ask(text)).reply.blocks.length, 1)
  ok(performance.now() - started < 1_500) // four seconds for each, and four times that for one twice as long
})
