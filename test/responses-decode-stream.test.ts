/**
 * Responses streams and whole answers into hub events: recorded traffic in any cutting, and every oddity on its own.
 * @module
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { responsesDialect } from '../src/dialects/responses/dialect.ts'
import { foldEvents } from './helpers/fold.ts'
import type { Block, HubEvent, HubReply, JsonObject } from '../src/hub/types.ts'
import { listFixtures, readEvents, readSse, readWhole } from './helpers/fixtures.ts'
import { assertGrammar } from './helpers/grammar.ts'
import { cutAnywhere, forAll } from './helpers/property.ts'
import { countingIds, decodeEvents, decodePieces, toSse } from './helpers/responses.ts'

const context = () => ({ toolNames: new Map(), newId: countingIds() })

/** What an answer says, read naively from its final object. */
function readNaively(response: JsonObject): { text: string; thinking: string; seals: string[]; calls: JsonObject[]; others: string[] } {
  const seen = { text: '', thinking: '', seals: [] as string[], calls: [] as JsonObject[], others: [] as string[] }
  for (const item of response['output'] as JsonObject[]) {
    if (item['type'] === 'message') for (const part of item['content'] as JsonObject[]) seen.text += String(part['text'])
    else if (item['type'] === 'reasoning') {
      const summary = (item['summary'] as JsonObject[]).map((part) => part['text']).join('\n\n')
      const raw = ((item['content'] ?? []) as JsonObject[]).map((part) => part['text']).join('')
      seen.thinking += summary || raw
      if (item['encrypted_content']) seen.seals.push(item['encrypted_content'] as string)
    } else if (item['type'] === 'function_call') {
      seen.calls.push({ id: item['call_id']!, name: item['name']!, input: JSON.parse(item['arguments'] as string) as JsonObject })
    } else seen.others.push(item['type'] as string)
  }
  return seen
}

function readHub(reply: HubReply): ReturnType<typeof readNaively> {
  const of = <Type extends Block['type']>(type: Type) => reply.blocks.filter((block): block is Extract<Block, { type: Type }> => block.type === type)
  return {
    text: of('text').map((block) => block.text).join(''),
    thinking: of('thinking').map((block) => block.text).join(''),
    seals: of('thinking').flatMap((block) => block.seal === undefined ? [] : [block.seal.value]),
    calls: of('tool_use').map(({ id, name, input }) => ({ id, name, input: JSON.parse(input) as JsonObject })),
    others: of('opaque').map((block) => block.value['type'] as string),
  }
}

/** The recording with several answers in one file, one by one. */
function splitAnswers(name: string): JsonObject[][] {
  const answers: JsonObject[][] = []
  for (const event of readEvents('responses', name)) {
    if (event['type'] === 'response.created') answers.push([])
    answers.at(-1)!.push(event)
  }
  return answers
}

for (const name of listFixtures('responses', 'stream')) {
  test(`responses stream: the recording ${name} decodes to what its deltas and finished items say`, () => {
    for (const answer of splitAnswers(name)) {
      const events = decodeEvents(...answer)
      assertGrammar(events)
      const final = answer.at(-1)!['response'] as JsonObject
      const reply = foldEvents(events)
      // O20: final objects repeat items with another encryption, or with another text. What was streamed counts.
      const output = answer.flatMap((event) => event['type'] === 'response.output_item.done' ? [event['item'] as JsonObject] : [])
      const text = answer.flatMap((event) => event['type'] === 'response.output_text.delta' ? [event['delta'] as string] : []).join('')
      const naive = { ...readNaively({ output }), text }
      assert.deepEqual(readHub(reply), naive)
      assert.equal(reply.id, final['id'])
      assert.equal(reply.stop, naive.calls.length > 0 ? 'tool_use' : 'end_turn')
      const usage = final['usage'] as { input_tokens: number; output_tokens: number }
      assert.equal(reply.usage.input + reply.usage.cacheRead + reply.usage.cacheWrite, usage.input_tokens)
      assert.equal(reply.usage.output, usage.output_tokens)
    }
  })
  test(`responses stream: the recording ${name} decodes alike however it is cut`, async () => {
    const whole = readSse('responses', name)
    const expected = decodePieces([whole])
    assert.deepEqual(decodePieces(whole), expected) // a string iterates by character
    await forAll((random) => cutAnywhere(whole, random), (pieces) => assert.deepEqual(decodePieces(pieces), expected), 10)
  })
}

for (const name of listFixtures('responses', 'whole').filter((name) => !name.endsWith('-error'))) {
  test(`responses reply: the recording ${name} decodes to what it says`, () => {
    const body = readWhole('responses', name)
    const events = responsesDialect.decodeReply(body, context())
    assertGrammar(events)
    assert.deepEqual(readHub(foldEvents(events)), readNaively(body))
  })
}

const created = { type: 'response.created', response: { id: 'resp_1', model: 'm', status: 'in_progress' } }
const completed = (output: JsonObject[] = [], more: JsonObject = {}): JsonObject => {
  return { type: 'response.completed', response: { id: 'resp_1', status: 'completed', output, ...more } }
}
const item = (type: string, index: number, value: JsonObject): JsonObject => {
  return { type: `response.output_item.${type}`, output_index: index, item: value }
}
const call = (id: string, more: JsonObject = {}): JsonObject => ({ type: 'function_call', id: `fc_${id}`, call_id: id, name: 'f', arguments: '', ...more })
const textDelta = (index: number, delta: string): JsonObject => ({ type: 'response.output_text.delta', output_index: index, content_index: 0, delta })
const blocksOf = (events: HubEvent[]): Block[] => {
  assertGrammar(events)
  return foldEvents(events).blocks
}
const inputs = (events: HubEvent[]): string[] => blocksOf(events).map((block) => block.type === 'tool_use' ? block.input : block.type)

test('R3: a call that the upstream never closes is closed at the end', () => {
  const events = decodeEvents(created, item('added', 0, call('a')),
    { type: 'response.function_call_arguments.delta', output_index: 0, delta: '{"x":1}' }, completed())
  assert.deepEqual(inputs(events), ['{"x":1}'])
  assert.equal(foldEvents(events).stop, 'tool_use')
})

test('R4, O18: arguments that come only in .done are the whole input', () => {
  const done = { type: 'response.function_call_arguments.done', output_index: 0, arguments: '{"x":1}' }
  assert.deepEqual(inputs(decodeEvents(created, item('added', 0, call('a')), done, item('done', 0, call('a', { arguments: '{"x":1}' })), completed())), ['{"x":1}'])
})

test('R4: arguments that come only in the item, or only in the final object, are the whole input', () => {
  const whole = call('a', { arguments: '{"x":1}' })
  assert.deepEqual(inputs(decodeEvents(created, item('added', 0, call('a')), item('done', 0, whole), completed())), ['{"x":1}'])
  assert.deepEqual(inputs(decodeEvents(created, item('added', 0, call('a')), completed([whole]))), ['{"x":1}'])
})

test('K8, O9: arguments that come as an object are its JSON text', () => {
  assert.deepEqual(inputs(decodeEvents(created, item('done', 0, call('a', { arguments: { x: 1 } })), completed())), ['{"x":1}'])
})

test('O17: a stream without event lines, sequence numbers, with [DONE] and comments decodes alike', () => {
  const events = [created, textDelta(0, 'hi'), completed([], { usage: { input_tokens: 5, output_tokens: 1 } })]
  const bare = `: OPENROUTER PROCESSING\n\n${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`
  assert.deepEqual(decodePieces([bare]), decodeEvents(...events))
})

test('O19: items whose ids change are told apart by output_index', () => {
  const events = decodeEvents(created,
    item('added', 0, call('a', { id: 'x1' })), item('added', 1, call('b', { id: 'x2' })),
    { type: 'response.function_call_arguments.delta', output_index: 1, item_id: 'y7', delta: '{"b"' },
    { type: 'response.function_call_arguments.delta', output_index: 0, item_id: 'y8', delta: '{"a"' },
    { type: 'response.function_call_arguments.delta', output_index: 1, item_id: 'y9', delta: ':2}' },
    { type: 'response.function_call_arguments.delta', output_index: 0, item_id: 'z1', delta: ':1}' },
    item('done', 1, call('b', { id: 'q' })), item('done', 0, call('a', { id: 'r' })), completed())
  assert.deepEqual(inputs(events), ['{"a":1}', '{"b":2}'])
})

test('O20: a final output that differs from the finished items changes nothing', () => {
  const message = { type: 'message', content: [{ type: 'output_text', text: 'other' }] }
  const finished = item('done', 0, { type: 'message', content: [{ type: 'output_text', text: 'hi' }] })
  assert.deepEqual(blocksOf(decodeEvents(created, textDelta(0, 'hi'), finished, completed([]))), [{ type: 'text', text: 'hi' }])
  assert.deepEqual(blocksOf(decodeEvents(created, textDelta(0, 'hi'), finished, completed([message, message]))), [{ type: 'text', text: 'hi' }])
})

test('O20: an answer that comes only in the final object is taken from it', () => {
  const message = { type: 'message', content: [{ type: 'output_text', text: 'all of it' }] }
  assert.deepEqual(blocksOf(decodeEvents(created, completed([message]))), [{ type: 'text', text: 'all of it' }])
})

test('O21: encrypted reasoning without a summary is a redacted thought with its seal', () => {
  const events = decodeEvents(created, item('added', 0, { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'early' }),
    item('done', 0, { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'late' }), completed())
  assert.deepEqual(blocksOf(events), [
    { type: 'thinking', text: '', redacted: true, seal: { origin: 'responses', value: 'late', id: 'rs' } },
  ])
})

test('O21: summary parts become paragraphs of one thought that keeps its seal', () => {
  const delta = (part: number, text: string): JsonObject => ({ type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index: part, delta: text })
  const events = decodeEvents(created, item('added', 0, { type: 'reasoning', id: 'rs' }), delta(0, 'one'), delta(0, ' two'), delta(1, 'three'),
    item('done', 0, { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'E' }), completed())
  assert.deepEqual(blocksOf(events), [{ type: 'thinking', text: 'one two\n\nthree', seal: { origin: 'responses', value: 'E', id: 'rs' } }])
})

test('O21: raw reasoning and its summary are not shown twice', () => {
  const events = decodeEvents(created,
    { type: 'response.reasoning_text.delta', output_index: 0, delta: 'raw' },
    { type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index: 0, delta: 'summary' }, completed())
  assert.deepEqual(blocksOf(events), [{ type: 'thinking', text: 'raw' }])
})

test('O21: reasoning with neither text nor proof is no block', () => {
  assert.deepEqual(blocksOf(decodeEvents(created, item('done', 0, { type: 'reasoning', summary: [] }), completed())), [])
})

test('O22: several message items and refusal parts keep their order', () => {
  const events = decodeEvents(created, textDelta(0, 'a'), item('done', 0, { type: 'message', content: [] }),
    { type: 'response.refusal.delta', output_index: 1, content_index: 0, delta: 'no' }, completed())
  assert.deepEqual(blocksOf(events), [{ type: 'text', text: 'a' }, { type: 'refusal', text: 'no' }])
  assert.equal(foldEvents(events).stop, 'refusal')
})

test('O22: an error event followed by response.failed is one error', () => {
  const events = decodeEvents(created, { type: 'error', code: 'rate_limit_exceeded', message: 'slow down' },
    { type: 'response.failed', response: { error: { code: 'server_error', message: 'x' } } })
  assertGrammar(events)
  const last = events.at(-1)!
  assert.equal(last.type === 'error' && last.error.code, 'rate_limited')
})

test('O22: queued and in_progress are nothing, keepalive is a ping', () => {
  const events = decodeEvents({ type: 'response.queued', response: {} }, created, { type: 'keepalive' }, textDelta(0, 'a'), completed())
  assert.deepEqual(events.map((event) => event.type), ['start', 'ping', 'block_start', 'delta', 'block_end', 'end'])
})

test('O23: items of server tools are opaque blocks', () => {
  const search = { type: 'web_search_call', id: 'ws', status: 'completed' }
  assert.deepEqual(blocksOf(decodeEvents(created, item('added', 0, { type: 'web_search_call', id: 'ws' }), item('done', 0, search), completed())),
    [{ type: 'opaque', origin: 'responses', value: search }])
})

test('R13: each reason of an incomplete answer has its stop reason', () => {
  const stopOf = (reason: string): string => {
    const events = decodeEvents(created, textDelta(0, 'a'), { type: 'response.incomplete', response: { incomplete_details: { reason } } })
    assertGrammar(events)
    const { stop, rawStop } = foldEvents(events)
    return `${stop} ${rawStop}`
  }
  assert.equal(stopOf('max_output_tokens'), 'max_tokens max_output_tokens')
  assert.equal(stopOf('content_filter'), 'refusal content_filter')
  assert.equal(stopOf('max_tool_calls'), 'pause_turn max_tool_calls')
  assert.equal(stopOf('a new word'), 'max_tokens a new word') // S14
})

test('R13: completed with status incomplete is a cut answer', () => {
  assert.equal(foldEvents(decodeEvents(created, completed([], { status: 'incomplete' }))).stop, 'max_tokens')
})

test('S15: a stream cut before its end is an error, wherever it is cut', () => {
  const all = [created, item('added', 0, call('a')), { type: 'response.function_call_arguments.delta', output_index: 0, delta: '{}' }, item('done', 0, call('a'))]
  for (let length = 0; length <= all.length; length++) {
    const last = decodeEvents(...all.slice(0, length)).at(-1)!
    assert.equal(last.type === 'error' && last.error.code, 'upstream_protocol', `cut after ${length}`)
  }
})

test('S16: [DONE] after finished items is a whole answer, inside an item it is not', () => {
  const finished = toSse([created, item('added', 0, call('a')), item('done', 0, call('a', { arguments: '{}' }))])
  assert.equal(decodePieces([finished, 'data: [DONE]\n\n']).at(-1)?.type, 'end')
  const open = toSse([created, item('added', 0, call('a'))])
  assert.equal(decodePieces([open, 'data: [DONE]\n\n']).at(-1)?.type, 'error')
})

test('R10: two items under one index are two items', () => {
  const events = decodeEvents(created, item('added', 0, { type: 'message' }), textDelta(0, 'a'), item('added', 0, call('x')),
    { type: 'response.function_call_arguments.delta', output_index: 0, delta: '{}' }, textDelta(0, 'late'), completed())
  assertGrammar(events)
  assert.deepEqual(foldEvents(events).blocks.map((block) => block.type), ['text', 'tool_use', 'text'])
})

/** Two calls as bridges really send them: one after the other, or both begun before either is done. */
function twoCalls(interleaved: boolean, index: (value: number) => object): JsonObject[] {
  const parts = ['a', 'b'].map((id, position) => {
    const value = call(id, { arguments: `{"${id}":1}` })
    return [
      { type: 'response.output_item.added', ...index(position), item: call(id) },
      { type: 'response.function_call_arguments.done', ...index(position), item_id: `fc_${id}`, arguments: value['arguments'] },
      { type: 'response.output_item.done', ...index(position), item: value },
    ] as JsonObject[]
  })
  const [[addA, ...a], [addB, ...b]] = parts as [[JsonObject, ...JsonObject[]], [JsonObject, ...JsonObject[]]]
  return [created, ...interleaved ? [addA, addB, ...a, ...b] : parts.flat(), completed()]
}

test('R10: two calls under one index are two calls, each with its own input', () => {
  for (const interleaved of [false, true]) {
    const events = decodeEvents(...twoCalls(interleaved, () => ({ output_index: 0 })))
    assert.deepEqual(inputs(events), ['{"a":1}', '{"b":1}'])
  }
})

test('O19: items without an index are told apart by their ids', () => {
  assert.deepEqual(inputs(decodeEvents(...twoCalls(true, () => ({})))), ['{"a":1}', '{"b":1}'])
  const done = twoCalls(false, () => ({})).filter((event) => event['type'] !== 'response.output_item.added')
  assert.deepEqual(inputs(decodeEvents(...done.filter((event) => !String(event['type']).includes('arguments')))), ['{"a":1}', '{"b":1}'])
})

test('O20: a call in the final object fills in its own item, wherever it stands', () => {
  const both = ['a', 'b'].map((id) => call(id, { arguments: `{"${id}":1}` }))
  assert.deepEqual(inputs(decodeEvents(created, item('added', 0, call('b')), item('added', 1, call('a')), completed(both))), ['{"b":1}', '{"a":1}'])
})

test('O19: items without an index are taken in their order', () => {
  const bare = ({ output_index: _, ...event }: JsonObject): JsonObject => event
  const events = decodeEvents(...[created, item('added', 0, { type: 'message' }), textDelta(0, 'a'), item('done', 0, { type: 'message' }),
    item('added', 1, call('x')), item('done', 1, call('x', { arguments: '{}' })), completed()].map(bare))
  assert.deepEqual(inputs(events), ['text', '{}'])
})

test('S7: empty deltas and empty parts are no block', () => {
  const events = decodeEvents(created, textDelta(0, ''), { type: 'response.output_text.done', output_index: 0, text: '' },
    item('done', 0, { type: 'message', content: [{ type: 'output_text', text: '' }] }), completed())
  assert.deepEqual(blocksOf(events), [])
})

test('responses stream: whatever events come in whatever order, the grammar holds', async () => {
  const parts = [item('added', 0, call('x')), item('done', 0, call('x')), item('added', 1, { type: 'message' }), item('done', 1, { type: 'message' }),
    item('added', 1, { type: 'reasoning' }), item('done', 2, { type: 'reasoning', encrypted_content: 'E' }), item('added', 2, {}), textDelta(1, 'a'), textDelta(0, 'b'),
    { type: 'response.reasoning_text.delta', output_index: 2, delta: 'c' }, { type: 'response.reasoning_summary_text.delta', output_index: 0, delta: 'd' },
    { type: 'response.function_call_arguments.delta', output_index: 1, delta: '{' }, { type: 'response.function_call_arguments.done', output_index: 0, arguments: '{}' },
    { type: 'response.refusal.done', output_index: 1, refusal: 'no' }, { type: 'response.output_item.done' }, { type: 'unknown' }, created,
    completed([call('y', { arguments: '{}' })]), { type: 'error', message: 'x' }]
  await forAll((random) => Array.from({ length: random(12) }, () => parts[random(parts.length)]!), (events) => assertGrammar(decodeEvents(...events)), 2000)
})

test('S10: a call that is announced twice is one call', () => {
  const events = decodeEvents(created, item('done', 0, call('a', { arguments: '{}' })), item('done', 1, call('a', { arguments: '{}' })), completed())
  assert.deepEqual(inputs(events), ['{}'])
})

test('S11: a call without an id gets one, and input before the name is kept', () => {
  const events = decodeEvents(created, item('added', 0, { type: 'function_call', name: '' }),
    { type: 'response.function_call_arguments.delta', output_index: 0, delta: '{"x":1}' },
    item('done', 0, { type: 'function_call', name: 'f', arguments: '{"x":1}' }), completed())
  assert.deepEqual(blocksOf(events), [{ type: 'tool_use', id: 'call_1', name: 'f', input: '{"x":1}', kind: 'function' }])
})

test('S24: a line that is no JSON does not end a good answer', () => {
  assert.equal(decodePieces([toSse([created]), 'data: {oops\n\n', toSse([textDelta(0, 'a'), completed()])]).at(-1)?.type, 'end')
})

test('S23: nothing counts after the end', () => {
  const events = decodeEvents(created, completed(), textDelta(0, 'late'), completed())
  assertGrammar(events)
  assert.equal(events.length, 2)
})

test('S26: two decoders share nothing', () => {
  const one = responsesDialect.createStreamDecoder(context())
  const two = responsesDialect.createStreamDecoder(context())
  const frame = (event: JsonObject) => ({ event: undefined, data: JSON.stringify(event) })
  one.push(frame(created))
  one.push(frame(item('added', 0, call('a'))))
  assert.deepEqual(two.push(frame(created)), [{ type: 'start', id: 'resp_1', model: 'm' }])
  assert.equal(one.push(frame(textDelta(1, 'a')))[0]?.type, 'block_start')
})

test('K1, R6: names that were changed on the way out are restored', () => {
  const toolNames = new Map([['ns__f', { name: 'f', kind: 'function' as const, namespace: 'ns' }]])
  const events = decodePieces([toSse([created, item('done', 0, call('a', { name: 'ns__f', arguments: '{}' })), completed()])], toolNames)
  assert.deepEqual(blocksOf(events), [{ type: 'tool_use', id: 'a', name: 'f', input: '{}', kind: 'function', namespace: 'ns' }])
})

test('R5: a custom call is raw text', () => {
  const custom = { type: 'custom_tool_call', id: 'ctc', call_id: 'a', name: 'apply_patch', input: '' }
  const events = decodeEvents(created, item('added', 0, custom),
    { type: 'response.custom_tool_call_input.delta', output_index: 0, delta: '*** Begin' },
    item('done', 0, { ...custom, input: '*** Begin' }), completed())
  assert.deepEqual(blocksOf(events), [{ type: 'tool_use', id: 'a', name: 'apply_patch', input: '*** Begin', kind: 'custom' }])
})

test('U2, U4: cached tokens are taken out of the input, null details are zero', () => {
  assert.deepEqual(responsesDialect.readUsage({ usage: { input_tokens: 10, output_tokens: 3, input_tokens_details: { cached_tokens: 8 }, output_tokens_details: { reasoning_tokens: 2 } } }),
    { input: 2, cacheRead: 8, cacheWrite: 0, output: 3, reasoning: 2 })
  assert.deepEqual(responsesDialect.readUsage({ response: { usage: { input_tokens: 4, output_tokens: 3, input_tokens_details: null } } }),
    { input: 4, cacheRead: 0, cacheWrite: 0, output: 3 })
  assert.equal(responsesDialect.readUsage({ usage: { input_tokens: 1, input_tokens_details: { cached_tokens: 5 } } })?.input, 0)
  assert.equal(responsesDialect.readUsage({ response: { usage: null } }), undefined)
})

test('responses reply: an answer that is not finished, or none, is an error', () => {
  for (const body of [{}, { status: 'queued', output: [] }, { status: 'failed', error: { code: 'server_error', message: 'x' } }, { error: { message: 'x' } }]) {
    assert.equal(responsesDialect.decodeReply(body, context()).at(-1)?.type, 'error')
  }
})

test('F1: only what holds no content yet is preamble', () => {
  const is = (event: JsonObject, named: boolean): boolean => {
    return responsesDialect.isPreamble({ event: named ? event['type'] as string : undefined, data: JSON.stringify(event) })
  }
  for (const named of [true, false]) {
    for (const type of ['response.created', 'response.in_progress', 'response.queued']) assert.equal(is({ type }, named), true)
    for (const type of ['response.output_item.added', 'response.output_text.delta', 'response.failed', 'error']) assert.equal(is({ type }, named), false)
  }
})

test('S15: the end of a stream is told with and without event lines', () => {
  const end = (event: JsonObject, named: boolean) => responsesDialect.endOf({ event: named ? event['type'] as string : undefined, data: JSON.stringify(event) })
  for (const named of [true, false]) {
    assert.equal(end({ response: { status: 'in_progress' }, type: 'response.completed' }, named), 'complete')
    assert.equal(end({ type: 'response.incomplete' }, named), 'complete')
    assert.equal(end({ type: 'response.failed' }, named), 'error')
    assert.equal(end({ type: 'error' }, named), 'error')
    assert.equal(end({ type: 'response.output_text.delta', delta: 'says "response.completed"' }, named), undefined)
  }
  assert.equal(responsesDialect.endOf({ event: undefined, data: '[DONE]' }), undefined)
})
