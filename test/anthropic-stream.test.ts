import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { DarioError } from '../src/errors.ts'
import { anthropicDialect } from '../src/dialects/anthropic/dialect.ts'
import type { ReplyContext, ToolIdentity } from '../src/dialects/dialect.ts'
import { foldEvents } from './helpers/fold.ts'
import { packSeal } from '../src/hub/seal.ts'
import type { HubEvent, HubReply, JsonObject } from '../src/hub/types.ts'
import { createSseDecoder } from '../src/sse.ts'
import { listFixtures, readEvents, readSse, readWhole } from './helpers/fixtures.ts'
import { assertGrammar } from './helpers/grammar.ts'
import { createRandom, cutAnywhere, forAll } from './helpers/property.ts'

const { request } = anthropicDialect.decodeRequest({ model: 'claude-x', messages: [] })
const reply: ReplyContext = { request, model: 'my-model', created: 1, newId: (prefix) => `${prefix}new` }
const USAGE = { input: 5, cacheRead: 6, cacheWrite: 7, output: 8 }
const START: HubEvent = { type: 'start', id: 'msg_1', model: 'up' }
const END: HubEvent = { type: 'end', stop: 'end_turn', usage: USAGE }

/** As it comes: text in pieces, through the SSE decoder. */
function decodePieces(pieces: Iterable<string>, toolNames: ReadonlyMap<string, ToolIdentity> = new Map()): HubEvent[] {
  let ids = 0
  const sse = createSseDecoder()
  const decoder = anthropicDialect.createStreamDecoder({ toolNames, newId: (prefix) => `${prefix}${++ids}` })
  const events: HubEvent[] = []
  for (const piece of pieces) for (const frame of sse.push(piece)) events.push(...decoder.push(frame))
  for (const frame of sse.end()) events.push(...decoder.push(frame))
  return [...events, ...decoder.end()]
}

const frame = (data: JsonObject): string => `event: ${String(data['type'])}\ndata: ${JSON.stringify(data)}\n\n`
const decode = (...data: JsonObject[]): HubEvent[] => decodePieces(data.map(frame))
const comparable = (events: HubEvent[]): unknown => events.map((event) => event.type === 'error' ? [event.error.code, event.error.message] : event)

function encode(...events: HubEvent[]): JsonObject[] {
  const encoder = anthropicDialect.createStreamEncoder(reply)
  return readFrames(events.map(encoder).join(''))
}

const readFrames = (text: string): JsonObject[] => createSseDecoder().push(text).map((event) => {
  const data = JSON.parse(event.data) as JsonObject
  strictEqual(event.event, data['type'])
  return data
})

/** Anthropic's own grammar: what an SDK accepts. */
function assertWire(sent: JsonObject[]): void {
  const frames = sent.filter((data) => data['type'] !== 'ping')
  const types = frames.map((data) => data['type'])
  strictEqual(types[0], 'message_start')
  strictEqual(types.filter((type) => type === 'message_start').length, 1)
  deepStrictEqual(types.slice(-2), ['message_delta', 'message_stop'])
  let open: number | undefined, next = 0
  for (const data of frames.slice(1, -2)) {
    if (data['type'] === 'content_block_start') {
      strictEqual(open, undefined)
      strictEqual(data['index'], next)
      open = next++
    } else {
      strictEqual(data['index'], open)
      if (data['type'] === 'content_block_stop') open = undefined
    }
  }
  strictEqual(open, undefined)
}

const message = (more: JsonObject = {}): JsonObject => ({
  type: 'message_start',
  message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude', content: [], usage: { input_tokens: 3, output_tokens: 1 }, ...more },
})
const startBlock = (index: number, content_block: JsonObject): JsonObject => ({ type: 'content_block_start', index, content_block })
const delta = (index: number, value: JsonObject): JsonObject => ({ type: 'content_block_delta', index, delta: value })
const stopBlock = (index: number): JsonObject => ({ type: 'content_block_stop', index })
const messageDelta = (stop: string, usage: JsonObject = {}): JsonObject => ({ type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage })
const STOP: JsonObject = { type: 'message_stop' }
const TOOL: JsonObject = { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }

for (const name of listFixtures('anthropic', 'stream')) {
  test(`fixture ${name}: any cutting of the stream decodes to the same sound events`, async () => {
    const text = readSse('anthropic', name)
    const whole = decodePieces([text])
    assertGrammar(whole)
    deepStrictEqual(comparable(decodePieces(text.length < 20_000 ? text : cutAnywhere(text, createRandom(1), 2000))), comparable(whole))
    await forAll((random) => cutAnywhere(text, random), (pieces) => deepStrictEqual(comparable(decodePieces(pieces)), comparable(whole)), 5)
  })

  if (name.includes('spliced')) continue
  test(`fixture ${name}: decoded, encoded and decoded again it is the same answer`, () => {
    const first = decodePieces([readSse('anthropic', name)])
    const frames = encode(...first)
    assertWire(frames)
    const again = foldEvents(decodePieces(frames.map(frame)))
    deepStrictEqual(again, { ...foldEvents(first), model: 'my-model' })
  })
}

test('O16: a second message inside the first one is an error', () => {
  const events = decodePieces([readSse('anthropic', 'anthropic-spliced-message-start')])
  const last = events.at(-1)
  ok(last?.type === 'error' && last.error.code === 'upstream_protocol')
})

for (const name of listFixtures('anthropic', 'whole')) {
  test(`fixture ${name}: a whole answer decodes to what it says`, () => {
    const body = readWhole('anthropic', name)
    const events = anthropicDialect.decodeReply(body, { toolNames: new Map(), newId: String })
    assertGrammar(events)
    const folded = foldEvents(events)
    const usage = body['usage'] as Record<string, number>
    strictEqual(folded.id, body['id'])
    strictEqual(folded.model, body['model'])
    strictEqual(folded.rawStop, body['stop_reason'])
    strictEqual(folded.usage.input, usage['input_tokens'])
    strictEqual(folded.usage.output, usage['output_tokens'])
    strictEqual(folded.usage.cacheRead, usage['cache_read_input_tokens'] ?? 0)
    const content = (body['content'] as JsonObject[]).map(({ caller: _, citations: __, ...block }) => block)
    const encoded = anthropicDialect.encodeReply(folded, reply)
    deepStrictEqual((encoded['content'] as JsonObject[]).map(({ caller: _, ...block }) => block), content)
    strictEqual(encoded['stop_reason'], body['stop_reason'])
    strictEqual(encoded['model'], 'my-model') // M5
  })
}

test('S1: a character cut in two arrives whole', () => {
  const bytes = Buffer.from([message(), startBlock(0, { type: 'text', text: '' }), delta(0, { type: 'text_delta', text: 'naïve 日本 🎉' }), stopBlock(0), messageDelta('end_turn'), STOP].map(frame).join(''))
  const text = new TextDecoder()
  const pieces = [...bytes].map((byte) => text.decode(Uint8Array.of(byte), { stream: true }))
  deepStrictEqual(foldEvents(decodePieces(pieces)).blocks, [{ type: 'text', text: 'naïve 日本 🎉' }])
})

test('O10, U1: usage is a snapshot: later numbers replace earlier ones, absent ones keep them', () => {
  const usage = { input_tokens: 3, cache_read_input_tokens: 40, cache_creation_input_tokens: 2, output_tokens: 1 }
  const folded = foldEvents(decode(message({ usage }), messageDelta('end_turn', { input_tokens: 9, output_tokens: 20 }), messageDelta('end_turn', { output_tokens: 21 }), STOP))
  deepStrictEqual(folded.usage, { input: 9, cacheRead: 40, cacheWrite: 2, output: 21 })
})

test('O12: a message_start that holds everything is an answer', () => {
  const content = [{ type: 'thinking', thinking: 'hm', signature: 'sig' }, { type: 'text', text: 'hi' }, { ...TOOL, input: { a: 1 } }]
  const events = decode(message({ content, stop_reason: 'tool_use' }), STOP)
  assertGrammar(events)
  deepStrictEqual(foldEvents(events).blocks, [
    { type: 'thinking', text: 'hm', seal: { origin: 'anthropic', value: 'sig' } },
    { type: 'text', text: 'hi' },
    { type: 'tool_use', id: 'toolu_1', name: 'f', input: '{"a":1}' },
  ])
})

test('O13: tool input at block start counts unless deltas follow', () => {
  const call = (more: JsonObject[]) => foldEvents(decode(message(), startBlock(0, { ...TOOL, input: { a: 1 } }), ...more, stopBlock(0), messageDelta('tool_use'), STOP)).blocks
  deepStrictEqual(call([]), [{ type: 'tool_use', id: 'toolu_1', name: 'f', input: '{"a":1}' }])
  deepStrictEqual(call([delta(0, { type: 'input_json_delta', partial_json: '{"a":2.0}' })]), [{ type: 'tool_use', id: 'toolu_1', name: 'f', input: '{"a":2.0}' }])
})

test('O14: a block of a type that is no text passes as it came', () => {
  const type = JSON.parse('{"toString":1,"valueOf":2}') as JsonObject
  const sent = encode(START, { type: 'block_start', index: 0, block: { type: 'opaque', origin: 'anthropic', value: { type, n: 1 } } }, { type: 'block_end', index: 0 }, END)
  deepStrictEqual(sent.find((event) => event['type'] === 'content_block_start')?.['content_block'], { type, n: 1 })
})

test('O14: a server tool is one opaque block with its input, and keeps its index', () => {
  const events = decode(
    message(), startBlock(0, { type: 'text', text: '' }), stopBlock(0),
    startBlock(1, { type: 'server_tool_use', id: 's', name: 'web_search', input: {} }),
    delta(1, { type: 'input_json_delta', partial_json: '{"query":' }), delta(1, { type: 'input_json_delta', partial_json: '"x"}' }), stopBlock(1),
    startBlock(2, { type: 'text', text: 'so' }), stopBlock(2), messageDelta('end_turn'), STOP,
  )
  assertGrammar(events)
  deepStrictEqual(events.filter((event) => event.type === 'block_start').map((event) => event.index), [0, 1, 2])
  deepStrictEqual(foldEvents(events).blocks[1], { type: 'opaque', origin: 'anthropic', value: { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'x' } } })
})

test('O15: thinking that is only a signature keeps it', () => {
  const events = decode(message(), startBlock(0, { type: 'thinking', thinking: '', signature: '' }), delta(0, { type: 'signature_delta', signature: 's' }), stopBlock(0), messageDelta('end_turn'), STOP)
  deepStrictEqual(foldEvents(events).blocks, [{ type: 'thinking', text: '', seal: { origin: 'anthropic', value: 's' } }])
})

test('T7: redacted thinking passes whole', () => {
  const events = decode(message(), startBlock(0, { type: 'redacted_thinking', data: 'enc' }), stopBlock(0), messageDelta('end_turn'), STOP)
  deepStrictEqual(foldEvents(events).blocks, [{ type: 'thinking', text: '', redacted: true, seal: { origin: 'anthropic', value: 'enc' } }])
  deepStrictEqual(encode(...events)[1]?.['content_block'], { type: 'redacted_thinking', data: 'enc' })
})

test('S9: the same message_start twice is one start', () => {
  const events = decode(message(), message(), messageDelta('end_turn'), STOP)
  assertGrammar(events)
  strictEqual(events.at(-1)?.type, 'end')
})

test('S10: a tool call that comes twice is one call', () => {
  const events = decode(message(), startBlock(0, TOOL), stopBlock(0), startBlock(1, TOOL), delta(1, { type: 'input_json_delta', partial_json: '{}' }), stopBlock(1), messageDelta('tool_use'), STOP)
  assertGrammar(events)
  strictEqual(foldEvents(events).blocks.length, 1)
})

test('S12: an end with tool calls is tool_use, in and out', () => {
  const events = decode(message(), startBlock(0, TOOL), stopBlock(0), messageDelta('end_turn'), STOP)
  const folded = foldEvents(events)
  deepStrictEqual([folded.stop, folded.rawStop], ['tool_use', 'end_turn'])
  const frames = encode(START, { type: 'block_start', index: 0, block: { type: 'tool_use', id: 'a', name: 'f', input: '' } }, { type: 'block_end', index: 0 }, END)
  deepStrictEqual(frames.at(-2)?.['delta'], { stop_reason: 'tool_use', stop_sequence: null })
})

test('S13: tool_use without a call is end_turn, in and out', () => {
  strictEqual(foldEvents(decode(message(), messageDelta('tool_use'), STOP)).stop, 'end_turn')
  deepStrictEqual(encode(START, { ...END, stop: 'tool_use' }).at(-2)?.['delta'], { stop_reason: 'end_turn', stop_sequence: null })
})

test('S14, O16: rare stop reasons pass and unknown ones are an ordinary end', () => {
  for (const stop of ['pause_turn', 'refusal', 'model_context_window_exceeded', 'stop_sequence', 'max_tokens'] as const) {
    strictEqual(foldEvents(decode(message(), messageDelta(stop), STOP)).stop, stop)
    deepStrictEqual(encode(START, { ...END, stop }).at(-2)?.['delta'], { stop_reason: stop, stop_sequence: null })
  }
  const folded = foldEvents(decode(message(), messageDelta('constructor'), STOP))
  deepStrictEqual([folded.stop, folded.rawStop], ['end_turn', 'constructor'])
})

test('S15: a stream cut before its end is an error', () => {
  for (const cut of [[], [message()], [message(), startBlock(0, { type: 'text', text: 'half' })]]) {
    const last = decode(...cut).at(-1)
    ok(last?.type === 'error' && last.error.code === 'upstream_protocol')
  }
})

test('S16: a stream that lost only its last frame is whole', () => {
  const events = decode(message(), startBlock(0, { type: 'text', text: 'all' }), messageDelta('end_turn', { output_tokens: 2 }))
  assertGrammar(events)
  strictEqual(foldEvents(events).stop, 'end_turn')
})

test('S24: a malformed line does not spoil the rest', () => {
  strictEqual(foldEvents(decodePieces([frame(message()), 'data: {"type":\n\n', ': x\n\n', frame(messageDelta('end_turn')), frame(STOP)])).stop, 'end_turn')
})

test('E4: an overloaded error inside a stream is overloaded', () => {
  const last = decode(message(), { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, STOP).at(-1)
  ok(last?.type === 'error' && last.error.code === 'overloaded')
  const [text] = decodePieces(['event: error\ndata: upstream fell over\n\n'])
  ok(text?.type === 'error' && text.error.message.includes('fell over'))
})

test('anthropic: deltas without a block start still count', () => {
  const events = decode(message(), delta(0, { type: 'text_delta', text: 'a' }), delta(0, { type: 'text_delta', text: 'b' }), messageDelta('end_turn'), STOP)
  assertGrammar(events)
  deepStrictEqual(foldEvents(events).blocks, [{ type: 'text', text: 'ab' }])
})

test('K1: answers call tools by the names that the client knows', () => {
  const names = new Map([['ns__f', { name: 'f', kind: 'function' as const, namespace: 'ns' }]])
  const events = decodePieces([message(), startBlock(0, { ...TOOL, name: 'ns__f' }), stopBlock(0), messageDelta('tool_use'), STOP].map(frame), names)
  deepStrictEqual(foldEvents(events).blocks, [{ type: 'tool_use', id: 'toolu_1', name: 'f', input: '{}', namespace: 'ns' }])
})

test('R5: a free-form tool gets its raw text back', () => {
  const names = new Map([['apply_patch', { name: 'apply_patch', kind: 'custom' as const }]])
  const pieces = ['{"input": "*** Begin', ' Patch\\n+x"}'].map((partial_json) => delta(0, { type: 'input_json_delta', partial_json }))
  const events = decodePieces([message(), startBlock(0, { ...TOOL, name: 'apply_patch' }), ...pieces, stopBlock(0), messageDelta('tool_use'), STOP].map(frame), names)
  assertGrammar(events)
  deepStrictEqual(foldEvents(events).blocks, [{ type: 'tool_use', id: 'toolu_1', name: 'apply_patch', input: '*** Begin Patch\n+x', kind: 'custom' }])
})

test('S4, S5: interleaved calls come out one after another, each whole and with its own index', () => {
  const call = (index: number): HubEvent => ({ type: 'block_start', index, block: { type: 'tool_use', id: `t${index}`, name: 'f', input: '' } })
  const part = (index: number, text: string): HubEvent => ({ type: 'delta', index, text })
  const end = (index: number): HubEvent => ({ type: 'block_end', index })
  const frames = encode(START, call(3), call(5), part(5, '{"b"'), part(3, '{"a"'), call(9), part(3, ':1}'), part(5, ':2}'), end(5), part(9, '{}'), end(3), end(9), { ...END, stop: 'tool_use' })
  assertWire(frames)
  deepStrictEqual(foldEvents(decodePieces(frames.map(frame))).blocks.map((block) => block.type === 'tool_use' && [block.id, block.input]), [
    ['t3', '{"a":1}'], ['t5', '{"b":2}'], ['t9', '{}'],
  ])
})

test('S6: text that came with the block start is not swallowed', () => {
  const frames = encode(START, { type: 'block_start', index: 0, block: { type: 'text', text: 'first' } }, { type: 'delta', index: 0, text: ' second' }, { type: 'block_end', index: 0 }, END)
  deepStrictEqual(frames.slice(1, 4), [
    startBlock(0, { type: 'text', text: '' }),
    delta(0, { type: 'text_delta', text: 'first' }),
    delta(0, { type: 'text_delta', text: ' second' }),
  ])
})

test('S18: an error closes the open block and never looks like an end', () => {
  const frames = encode(START, { type: 'block_start', index: 0, block: { type: 'text', text: '' } }, { type: 'error', error: new DarioError('overloaded', 'busy; try again') })
  deepStrictEqual(frames.slice(-2), [stopBlock(0), { type: 'error', error: { type: 'overloaded_error', message: 'busy; try again' } }])
})

test('S32: message_start always carries usage, and message_delta all of it (U5)', () => {
  const frames = encode(START, END)
  assertWire(frames)
  deepStrictEqual((frames[0]?.['message'] as JsonObject)['usage'], { input_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 })
  deepStrictEqual(frames.at(-2)?.['usage'], { input_tokens: 5, cache_creation_input_tokens: 7, cache_read_input_tokens: 6, output_tokens: 8 })
})

test('S15: a stream that begins and ends with nothing between is no answer', () => {
  const play = (message: JsonObject): string | undefined => {
    const decoder = anthropicDialect.createStreamDecoder({ toolNames: new Map(), newId: String })
    return [{ type: 'message_start', message }, { type: 'message_stop' }].flatMap((data) => decoder.push({ event: undefined, data: JSON.stringify(data) })).at(-1)?.type
  }
  deepStrictEqual([play({ id: 'a' }), play({ id: 'a', content: [], stop_reason: 'end_turn' }), play({ id: 'a', content: [{ type: 'text', text: 'x' }] })], ['error', 'end', 'end'])
})

test('U2: a number of tokens below nothing is none', () => {
  deepStrictEqual(anthropicDialect.readUsage({ usage: { input_tokens: 3, output_tokens: -5 } }), { input: 3 })
})

test('U5: what is kept for an hour in the cache is told apart', () => {
  const usage = { ...USAGE, cacheWriteHour: 3 }
  const whole = anthropicDialect.encodeReply({ id: 'm', model: 'm', blocks: [], stop: 'end_turn', usage }, reply)
  deepStrictEqual((whole['usage'] as JsonObject)['cache_creation'], { ephemeral_5m_input_tokens: 4, ephemeral_1h_input_tokens: 3 })
  deepStrictEqual(anthropicDialect.readUsage(whole), usage)
})

test('S21: a ping is a ping', () => {
  deepStrictEqual(readFrames(anthropicDialect.keepAlive), [{ type: 'ping' }])
  deepStrictEqual(encode({ type: 'ping' }), [{ type: 'ping' }])
})

test('T2: proof of reasoning from another vendor survives a Claude client', () => {
  const seal = { origin: 'responses' as const, id: 'rs_1', value: 'encrypted' }
  const frames = encode(START, { type: 'block_start', index: 0, block: { type: 'thinking', text: '', redacted: true } }, { type: 'seal', index: 0, seal }, { type: 'block_end', index: 0 }, END)
  assertWire(frames)
  const signature = packSeal(seal)
  deepStrictEqual(frames[2]?.['delta'], { type: 'signature_delta', signature })
  const history = { model: 'x', messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: '', signature }] }] }
  deepStrictEqual(anthropicDialect.decodeRequest(history).request.turns[0]?.blocks, [{ type: 'thinking', text: '', seal, redacted: true }])
})

test("anthropic: another vendor's own items are left out of the answer, without a gap in the indexes", () => {
  const frames = encode(
    START, { type: 'block_start', index: 0, block: { type: 'opaque', origin: 'responses', value: { type: 'web_search_call' } } }, { type: 'block_end', index: 0 },
    { type: 'block_start', index: 1, block: { type: 'refusal', text: 'no' } }, { type: 'block_end', index: 1 }, END,
  )
  assertWire(frames)
  strictEqual(frames.filter((data) => data['type'] === 'content_block_start').length, 1)
})

test('K8: input that is no JSON object is kept in a whole answer', () => {
  const whole: HubReply = { id: 'x', model: 'm', blocks: [{ type: 'tool_use', id: 'a', name: 'f', input: '{"half' }], stop: 'max_tokens', usage: USAGE }
  deepStrictEqual((anthropicDialect.encodeReply(whole, reply)['content'] as JsonObject[])[0]?.['input'], { invalid_json: '{"half' })
})

test('encoder: random interleavings always give a sound stream with all of the content', async () => {
  await forAll((random) => {
    const blocks = Array.from({ length: random(5) }, (_, index): HubEvent[] => [
      { type: 'block_start', index, block: random(2) === 0 ? { type: 'text', text: '' } : { type: 'tool_use', id: `t${index}`, name: 'f', input: '' } },
      ...Array.from({ length: random(4) }, (): HubEvent => ({ type: 'delta', index, text: `${random(10)}` })),
      { type: 'block_end', index },
    ])
    const events: HubEvent[] = [START]
    const queues = blocks.map((block) => [...block])
    while (queues.some((queue) => queue.length > 0)) {
      const event = queues[random(queues.length)]?.shift()
      if (event !== undefined) events.push(event)
    }
    return [...events, END]
  }, (events) => {
    assertGrammar(events)
    const frames = encode(...events)
    assertWire(frames)
    const text = (blocks: HubReply['blocks']) => blocks.map((block) => JSON.stringify(block)).sort()
    deepStrictEqual(text(foldEvents(decodePieces(frames.map(frame))).blocks), text(foldEvents(events).blocks))
  })
})

test('F: only a start without content and a ping are preamble', () => {
  const sse = (data: JsonObject) => ({ event: String(data['type']), data: JSON.stringify(data) })
  ok(anthropicDialect.isPreamble(sse(message())))
  ok(anthropicDialect.isPreamble({ event: undefined, data: '{"type":"ping"}' }))
  ok(!anthropicDialect.isPreamble(sse(message({ content: [{ type: 'text', text: 'x' }] }))))
  ok(!anthropicDialect.isPreamble(sse(startBlock(0, TOOL))))
  strictEqual(anthropicDialect.endOf(sse(STOP)), 'complete')
  strictEqual(anthropicDialect.endOf(sse({ type: 'error' })), 'error')
  strictEqual(anthropicDialect.endOf(sse(messageDelta('end_turn'))), undefined)
})

test('U1: usage is read from starts, deltas and whole answers', () => {
  deepStrictEqual(anthropicDialect.readUsage(message()), { input: 3, output: 1 })
  deepStrictEqual(anthropicDialect.readUsage(messageDelta('end_turn', { output_tokens: 4, cache_read_input_tokens: 2 })), { cacheRead: 2, output: 4 })
  strictEqual(anthropicDialect.readUsage(STOP), undefined)
  for (const name of listFixtures('anthropic', 'stream')) ok(readEvents('anthropic', name).some((data) => anthropicDialect.readUsage(data) !== undefined))
})

test('S15: a whole answer that is no message is an error, never an empty answer', () => {
  const decode = (body: JsonObject) => anthropicDialect.decodeReply(body, { toolNames: new Map(), newId: String })
  for (const [body, words] of [
    [{}, '{}'], [{ id: 'msg_1', content: null }, 'msg_1'], [{ error: 'model not found' }, 'model not found'], [{ detail: 'gone' }, 'gone'],
  ] as const) {
    const [event, ...more] = decode(body)
    deepStrictEqual(more, [])
    ok(event?.type === 'error' && event.error.status === 502 && event.error.message.includes(words), JSON.stringify(body))
  }
})

test('K2: a call id that Anthropic would refuse later is legal from the start, and its own stays as it is', () => {
  const wireIds = (id: string): unknown[] => {
    const block: HubReply['blocks'][number] = { type: 'tool_use', id, name: 'f', input: '{}' }
    const encode = anthropicDialect.createStreamEncoder(reply)
    const events = [START, { type: 'block_start', index: 0, block }, { type: 'block_end', index: 0 }, END] as HubEvent[]
    const streamed = /"type":"tool_use","id":"([^"]*)"/.exec(events.map(encode).join(''))?.[1]
    const whole = anthropicDialect.encodeReply({ id: 'm', model: 'm', blocks: [block], stop: 'tool_use', usage: USAGE }, reply)
    return [streamed, ((whole['content'] as JsonObject[])[0] as JsonObject)['id']]
  }
  deepStrictEqual(wireIds('call_1'), ['call_1', 'call_1'])
  const [streamed, whole] = wireIds('functions.Bash:0')
  ok(/^[a-zA-Z0-9_-]+$/.test(String(streamed)), String(streamed))
  strictEqual(streamed, whole)
})

test('S8: text that comes inside a thinking block is text, and the other way round', () => {
  const decoder = anthropicDialect.createStreamDecoder({ toolNames: new Map(), newId: String })
  const push = (data: JsonObject): HubEvent[] => decoder.push({ event: undefined, data: JSON.stringify(data) })
  const delta = (delta: JsonObject): HubEvent[] => push({ type: 'content_block_delta', index: 0, delta })
  const events = [
    ...push({ type: 'message_start', message: { id: 'msg_1' } }), ...push({ type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } }),
    ...delta({ type: 'thinking_delta', thinking: 'hm' }), ...delta({ type: 'text_delta', text: 'yes' }), ...delta({ type: 'thinking_delta', thinking: 'or' }),
    ...push({ type: 'content_block_stop', index: 0 }), ...push({ type: 'message_stop' }),
  ]
  assertGrammar(events)
  deepStrictEqual(foldEvents(events).blocks, [{ type: 'thinking', text: 'hm' }, { type: 'text', text: 'yes' }, { type: 'thinking', text: 'or' }])
})
