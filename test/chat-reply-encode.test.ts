/**
 * Hub answers as Chat Completions streams and whole answers.
 * @module
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { chatDialect } from '../src/dialects/chat/dialect.ts'
import type { ReplyContext } from '../src/dialects/dialect.ts'
import { DarioError } from '../src/errors.ts'
import { foldEvents } from './helpers/fold.ts'
import type { Block, HubEvent, HubReply, HubRequest, JsonObject, StopReason } from '../src/hub/types.ts'
import { createSseDecoder } from '../src/sse.ts'
import { listFixtures, readEvents } from './helpers/fixtures.ts'
import { assertGrammar } from './helpers/grammar.ts'

const REQUEST: HubRequest = { model: 'asked', turns: [], tools: [], stop: [], stream: true, streamUsage: true, extra: {} }
const USAGE = { input: 6, cacheRead: 4, cacheWrite: 0, output: 3, reasoning: 2 }

function createContext(request: Partial<ReplyContext['request']> = {}): ReplyContext {
  let count = 0
  return { request: { ...REQUEST, ...request }, model: 'asked', created: 1_700_000_000, newId: (prefix) => `${prefix}${++count}` }
}

/** The events of an answer with these blocks, each in one piece. */
function eventsOf(blocks: Block[], stop: StopReason = 'end_turn'): HubEvent[] {
  const events: HubEvent[] = [{ type: 'start', id: 'msg_1', model: 'served' }]
  for (const [index, block] of blocks.entries()) {
    const whole = block.type === 'tool_use' ? block.input : 'text' in block ? block.text : ''
    const empty = block.type === 'tool_use' ? { ...block, input: '' } : 'text' in block ? { ...block, text: '', seal: undefined } : block
    events.push({ type: 'block_start', index, block: block.type === 'thinking' && block.redacted ? block : empty })
    if (whole !== '') events.push({ type: 'delta', index, text: whole })
    if (block.type === 'thinking' && block.seal && !block.redacted) events.push({ type: 'seal', index, seal: block.seal })
    events.push({ type: 'block_end', index })
  }
  events.push({ type: 'end', stop, usage: USAGE })
  assertGrammar(events)
  return events
}

function encode(events: HubEvent[], request: Partial<ReplyContext['request']> = {}): { text: string; chunks: JsonObject[] } {
  const encoder = chatDialect.createStreamEncoder(createContext(request))
  const text = events.map(encoder).join('')
  const chunks = createSseDecoder().push(text).filter(({ data }) => data !== '[DONE]').map(({ data }) => JSON.parse(data) as JsonObject)
  return { text, chunks }
}

const choiceOf = (chunk: JsonObject | undefined): JsonObject => ((chunk?.['choices'] as JsonObject[])[0] ?? {})
const deltasOf = (chunks: JsonObject[]): JsonObject[] => chunks.map((chunk) => (choiceOf(chunk)['delta'] ?? {}) as JsonObject)
const finishOf = (chunks: JsonObject[]): unknown => chunks.map((chunk) => choiceOf(chunk)['finish_reason']).find((word) => typeof word === 'string')
const reply = (blocks: Block[], stop: StopReason = 'end_turn'): HubReply => ({ id: 'msg_1', model: 'served', blocks, stop, usage: USAGE })
const messageOf = (body: JsonObject): JsonObject => choiceOf(body)['message'] as JsonObject
const CALL: Block = { type: 'tool_use', id: 'a', name: 'x', input: '{"q":1}' }
const SEAL = { origin: 'anthropic', value: 'sig' } as const

test('R11, M5: one id, one created and the asked model in every chunk', () => {
  const { chunks } = encode(eventsOf([{ type: 'text', text: 'a' }, CALL], 'tool_use'))
  for (const { id, created, model, object } of chunks) {
    deepStrictEqual([id, created, model, object], ['chatcmpl-1', 1_700_000_000, 'asked', 'chat.completion.chunk'])
  }
})

test('S31, S9: the first chunk has the role, and only the first', () => {
  const events = eventsOf([{ type: 'text', text: 'a' }])
  const { chunks } = encode([events[0] as HubEvent, ...events])
  deepStrictEqual(deltasOf(chunks).map(({ role }) => role), ['assistant', undefined, undefined, undefined])
})

test('U6: usage comes in a last chunk without choices, only when it was asked for', () => {
  const { chunks } = encode(eventsOf([{ type: 'text', text: 'a' }]))
  deepStrictEqual(chunks.at(-1)?.['choices'], [])
  deepStrictEqual(chunks.at(-1)?.['usage'], {
    prompt_tokens: 10, completion_tokens: 3, total_tokens: 13,
    prompt_tokens_details: { cached_tokens: 4 }, completion_tokens_details: { reasoning_tokens: 2 },
  })
  ok(!encode(eventsOf([]), { streamUsage: false }).text.includes('usage'))
})

test('S4: interleaved calls keep their own index', () => {
  const { chunks } = encode([
    { type: 'start', id: 'i', model: 'm' },
    { type: 'block_start', index: 3, block: { ...CALL, input: '' } },
    { type: 'block_start', index: 5, block: { type: 'tool_use', id: 'b', name: 'y', input: '' } },
    { type: 'delta', index: 3, text: '1' },
    { type: 'delta', index: 5, text: '2' },
    { type: 'block_end', index: 3 },
    { type: 'block_end', index: 5 },
    { type: 'end', stop: 'tool_use', usage: USAGE },
  ])
  deepStrictEqual(deltasOf(chunks).flatMap(({ tool_calls }) => tool_calls ?? []), [
    { index: 0, id: 'a', type: 'function', function: { name: 'x', arguments: '' } },
    { index: 1, id: 'b', type: 'function', function: { name: 'y', arguments: '' } },
    { index: 0, function: { arguments: '1' } },
    { index: 1, function: { arguments: '2' } },
  ])
})

test('K8: a call without arguments streams an empty object', () => {
  const { chunks } = encode(eventsOf([{ ...CALL, input: '' } as Block], 'tool_use'))
  deepStrictEqual(deltasOf(chunks)[2], { tool_calls: [{ index: 0, function: { arguments: '{}' } }] })
})

for (const [stop, blocks, finish] of [
  ['end_turn', [], 'stop'], ['max_tokens', [], 'length'], ['refusal', [], 'content_filter'], ['pause_turn', [], 'stop'],
  ['tool_use', [CALL], 'tool_calls'], ['end_turn', [CALL], 'tool_calls'], ['tool_use', [], 'stop'], ['max_tokens', [CALL], 'length'],
  ['model_context_window_exceeded', [], 'length'], ['refusal', [{ type: 'refusal', text: 'no' }], 'stop'],
] as [StopReason, Block[], string][]) {
  test(`S12 to S14: ${stop} after ${blocks.map(({ type }) => type).join() || 'nothing'} is ${finish}`, () => {
    strictEqual(finishOf(encode(eventsOf(blocks, stop)).chunks), finish)
    strictEqual(choiceOf(chatDialect.encodeReply(reply(blocks, stop), createContext()))['finish_reason'], finish)
  })
}

test('S17: an error is a data frame without [DONE], and nothing follows it', () => {
  const events = eventsOf([{ type: 'text', text: 'half' }])
  const { text } = encode([...events.slice(0, 3), { type: 'error', error: new DarioError('overloaded', 'busy; try again') }, ...events.slice(3)])
  ok(!text.includes('[DONE]') && !text.includes('"finish_reason":"'))
  ok(text.endsWith('data: {"error":{"message":"busy; try again","type":"server_error","param":null,"code":"server_overloaded"}}\n\n'))
})

test('S23: a good end is [DONE], and nothing follows it', () => {
  const events = eventsOf([{ type: 'text', text: 'a' }])
  ok(encode([...events, ...events]).text.endsWith('data: [DONE]\n\n'))
})

test('S21: liveness is a comment', () => {
  strictEqual(encode([{ type: 'ping' }]).text, ': keep-alive\n\n')
  strictEqual(chatDialect.keepAlive, ': keep-alive\n\n')
})

const THOUGHTS: Block[] = [
  { type: 'thinking', text: 'one', seal: SEAL },
  { type: 'thinking', text: 'two' },
  { type: 'thinking', text: '', redacted: true, seal: { ...SEAL, value: 'r' } },
  { type: 'thinking', text: 'three', seal: { ...SEAL, value: 't' } },
  { type: 'text', text: 'answer' },
  CALL,
]

test('T11, T1: reasoning is shown, and its seals survive the way to the client and back', () => {
  const { chunks } = encode(eventsOf(THOUGHTS, 'tool_use'))
  const parts = deltasOf(chunks)
  const streamed = {
    role: 'assistant',
    content: parts.map(({ content }) => content ?? '').join(''),
    reasoning_content: parts.map((part) => part['reasoning_content'] ?? '').join(''),
    reasoning_details: parts.flatMap((part) => part['reasoning_details'] ?? []),
    tool_calls: [{ id: 'a', type: 'function', function: { name: 'x', arguments: '{"q":1}' } }],
  }
  const { refusal, ...whole } = messageOf(chatDialect.encodeReply(reply(THOUGHTS, 'tool_use'), createContext()))
  deepStrictEqual(whole, streamed)
  strictEqual(refusal, null)
  strictEqual(whole['reasoning_content'], 'onetwothree')
  const { request } = chatDialect.decodeRequest({ model: 'm', messages: [streamed as JsonObject] })
  deepStrictEqual(request.turns[0]?.blocks, THOUGHTS)
})

test('content is null beside calls and a refusal, and text otherwise', () => {
  const of = (...blocks: Block[]): JsonObject => messageOf(chatDialect.encodeReply(reply(blocks), createContext()))
  deepStrictEqual([of(CALL)['content'], of()['content'], of({ type: 'text', text: 'a' }, { type: 'text', text: 'b' }, CALL)['content']], [null, '', 'ab'])
  deepStrictEqual([of({ type: 'refusal', text: 'no' })['content'], of({ type: 'refusal', text: 'no' })['refusal']], [null, 'no'])
  ok(!('tool_calls' in of()), 'A10')
})

test('R5: custom calls go back in their own form', () => {
  const block: Block = { type: 'tool_use', id: 'a', name: 'patch', kind: 'custom', input: 'raw' }
  const body = messageOf(chatDialect.encodeReply(reply([block]), createContext()))
  deepStrictEqual(body['tool_calls'], [{ id: 'a', type: 'custom', custom: { name: 'patch', input: 'raw' } }])
  deepStrictEqual(deltasOf(encode(eventsOf([block], 'tool_use')).chunks).flatMap(({ tool_calls }) => tool_calls ?? []), [
    { index: 0, id: 'a', type: 'custom', custom: { name: 'patch', input: '' } },
    { index: 0, custom: { input: 'raw' } },
  ])
})

for (const name of listFixtures('chat', 'stream')) {
  test(`chat stream ${name}: encoded and decoded again it says the same`, () => {
    const read = (chunks: JsonObject[]): HubEvent[] => {
      const decoder = chatDialect.createStreamDecoder({ toolNames: new Map(), newId: (prefix) => `${prefix}1` })
      const events = chunks.flatMap((chunk) => decoder.push({ event: undefined, data: JSON.stringify(chunk) }))
      return [...events, ...decoder.end()]
    }
    const once = read(readEvents('chat', name)), again = read(encode(once).chunks)
    assertGrammar(again)
    const { blocks, stop, usage } = foldEvents(once), second = foldEvents(again)
    deepStrictEqual([second.blocks, second.stop, second.usage], [blocks, stop, { ...usage, reasoning: usage.reasoning ?? 0 }])
  })
}

test('a client of the form before tools gets function_call, and one of them', () => {
  const blocks: Block[] = [{ type: 'text', text: 'so' }, CALL, { type: 'tool_use', id: 'b', name: 'y', input: '' }]
  const { text, chunks } = encode(eventsOf(blocks, 'tool_use'), { legacyCalls: true })
  const pieces = deltasOf(chunks).flatMap(({ function_call: piece }) => piece === undefined ? [] : [piece])
  deepStrictEqual(pieces, [{ name: 'x', arguments: '' }, { arguments: '{"q":1}' }])
  const whole = chatDialect.encodeReply(reply(blocks, 'tool_use'), createContext({ legacyCalls: true }))
  deepStrictEqual(messageOf(whole)['function_call'], { name: 'x', arguments: '{"q":1}' })
  deepStrictEqual([finishOf(chunks), choiceOf(whole)['finish_reason']], ['function_call', 'function_call'])
  ok(!(text + JSON.stringify(whole)).includes('tool_calls'))
})

test('a client of the form before tools gets the arguments of a call without any as an empty object', () => {
  const { chunks } = encode(eventsOf([{ ...CALL, input: '' } as Block], 'tool_use'), { legacyCalls: true })
  deepStrictEqual(deltasOf(chunks).map((delta) => delta['function_call']).filter(Boolean), [{ name: 'x', arguments: '' }, { arguments: '{}' }])
})
