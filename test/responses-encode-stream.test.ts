/**
 * Hub events as Responses streams and objects, read back by a strict client and by our own decoder.
 * @module
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { responsesDialect } from '../src/dialects/responses/dialect.ts'
import type { ReplyContext } from '../src/dialects/dialect.ts'
import { DarioError } from '../src/errors.ts'
import { foldEvents } from './helpers/fold.ts'
import { packSeal } from '../src/hub/seal.ts'
import type { Block, HubEvent, HubReply, JsonObject, StopReason, Usage } from '../src/hub/types.ts'
import { listFixtures, readWhole } from './helpers/fixtures.ts'
import { assertGrammar } from './helpers/grammar.ts'
import { forAll } from './helpers/property.ts'
import type { Random } from './helpers/property.ts'
import { checkChain, countingIds, decodePieces, readEmitted, replyContext } from './helpers/responses.ts'

const USAGE: Usage = { input: 3, cacheRead: 5, cacheWrite: 2, output: 7 }
const START: HubEvent = { type: 'start', id: 'msg_up', model: 'up' }
const end = (stop: StopReason = 'end_turn'): HubEvent => ({ type: 'end', stop, usage: USAGE })

const emptyOf = (block: Block): Block => {
  if (block.type === 'tool_use') return { ...block, input: '' }
  if (block.type === 'text' || block.type === 'refusal') return { ...block, text: '' }
  return block.type === 'thinking' ? { ...block, text: '' } : block
}
const textOf = (block: Block): string => block.type === 'tool_use' ? block.input : 'text' in block ? block.text : ''

/** A block as it streams, two characters at a time. */
function streamBlock(index: number, block: Block): HubEvent[] {
  const deltas = (textOf(block).match(/.{1,2}/gsu) ?? []).map((text): HubEvent => ({ type: 'delta', index, text }))
  return [{ type: 'block_start', index, block: emptyOf(block) }, ...deltas, { type: 'block_end', index }]
}

const stream = (blocks: Block[], stop?: StopReason): HubEvent[] => [START, ...blocks.flatMap((block, index) => streamBlock(index, block)), end(stop)]

function encode(events: HubEvent[], context: ReplyContext = replyContext()): string {
  const encoder = responsesDialect.createStreamEncoder(context)
  return events.map((event) => encoder(event)).join('')
}

const emit = (events: HubEvent[], context?: ReplyContext): JsonObject[] => readEmitted(encode(events, context))
const final = (events: HubEvent[], context?: ReplyContext): JsonObject => checkChain(emit(events, context))
const call = (id: string, input: string, more: Partial<Extract<Block, { type: 'tool_use' }>> = {}): Block => ({ type: 'tool_use', id, name: 'f', input, kind: 'function', ...more })
const typesOf = (response: JsonObject): unknown[] => (response['output'] as JsonObject[]).map((item) => item['type'])

test('responses encode: text, thought and calls make the whole chain of events', () => {
  const types = emit(stream([{ type: 'thinking', text: 'hm' }, { type: 'text', text: 'hi' }, call('a', '{}')], 'tool_use')).map((event) => event['type'])
  assert.deepEqual(types, [
    'response.created', 'response.in_progress',
    'response.output_item.added', 'response.reasoning_summary_part.added', 'response.reasoning_summary_text.delta',
    'response.reasoning_summary_text.done', 'response.reasoning_summary_part.done', 'response.output_item.done',
    'response.output_item.added', 'response.content_part.added', 'response.output_text.delta',
    'response.output_text.done', 'response.content_part.done', 'response.output_item.done',
    'response.output_item.added', 'response.function_call_arguments.delta', 'response.function_call_arguments.done', 'response.output_item.done',
    'response.completed',
  ])
})

test('R2: every stop reason ends with exactly one final event', () => {
  const statusOf = (stop: StopReason): string => {
    const response = final(stream([{ type: 'text', text: 'hi' }], stop))
    return `${String(response['status'])} ${String((response['incomplete_details'] as JsonObject | null)?.['reason'])}`
  }
  for (const stop of ['end_turn', 'stop_sequence', 'tool_use', 'pause_turn'] as const) assert.equal(statusOf(stop), 'completed undefined')
  for (const stop of ['max_tokens', 'model_context_window_exceeded'] as const) assert.equal(statusOf(stop), 'incomplete max_output_tokens')
  assert.equal(statusOf('refusal'), 'incomplete content_filter')
  assert.equal(final(stream([{ type: 'refusal', text: 'no' }], 'refusal'))['status'], 'completed') // OpenAI's own form
})

test('R2: an answer without a block is complete with an empty output', () => {
  assert.deepEqual(final([START, end()])['output'], [])
})

test('S17: an error is response.failed, keeps what was finished, and nothing follows', () => {
  const error = new DarioError('context_length_exceeded', 'prompt is too long')
  const events = emit([START, ...streamBlock(0, call('a', '{}')), ...streamBlock(1, { type: 'text', text: 'hi' }), { type: 'error', error }, end(), { type: 'error', error }])
  const response = checkChain(events)
  assert.equal(events.at(-1)?.['type'], 'response.failed')
  assert.deepEqual(response['error'], { code: 'context_length_exceeded', message: 'prompt is too long' })
  assert.equal(response['status'], 'failed')
})

test('S17: an error before anything else is a stream that strict clients can read', () => {
  assert.equal(final([{ type: 'error', error: new DarioError('overloaded', 'busy') }])['status'], 'failed')
})

test('R13: a call that was cut is never finished, one that is whole is', () => {
  const events = emit(stream([call('a', '{"x":1}'), call('b', '{"x":')], 'max_tokens'))
  const response = checkChain(events)
  const finished = events.flatMap((event) => event['type'] === 'response.output_item.done' ? [(event['item'] as JsonObject)['call_id']] : [])
  assert.deepEqual(finished, ['a'])
  assert.deepEqual((response['output'] as JsonObject[]).map((item) => item['status']), ['completed', 'incomplete'])
})

test('R13: a call in the middle of a broken stream is never finished', () => {
  const broken: HubEvent[] = [START, { type: 'block_start', index: 0, block: call('a', '') }, { type: 'delta', index: 0, text: '{"x' },
    { type: 'error', error: new DarioError('upstream_protocol', 'cut') }]
  assert.equal(emit(broken).some((event) => String(event['type']).endsWith('.done')), false)
  // An upstream that ends the block and then fails left nothing to run either.
  const ended: HubEvent[] = [...broken.slice(0, 3), { type: 'block_end', index: 0 }, broken[3]!]
  assert.equal(emit(ended).some((event) => String(event['type']).endsWith('.done')), false)
})

test('R9: redacted and hidden thought come back as they were', () => {
  const blocks: Block[] = [
    { type: 'thinking', text: '', redacted: true, seal: { origin: 'anthropic', value: 'data' } },
    { type: 'thinking', text: '', seal: { origin: 'anthropic', value: 'signature' } },
    { type: 'thinking', text: 'hm', seal: { origin: 'anthropic', value: 'sig' } },
  ]
  const output = final(stream(blocks))['output'] as JsonObject[]
  // As the AI SDK returns them: without the parts that are empty.
  const input = output.map((item) => ({ ...item, summary: (item['summary'] as JsonObject[]).filter((part) => part['text'] !== '') }))
  const { request } = responsesDialect.decodeRequest({ model: 'm', input })
  assert.deepEqual(request.turns[0]?.blocks, blocks)
  assert.deepEqual(foldEvents(decodePieces([encode(stream(blocks))])).blocks, blocks)
})

test('R9: a seal that comes as an event is packed into encrypted_content', () => {
  const seal = { origin: 'anthropic' as const, value: 'sig' }
  const response = final([START, { type: 'block_start', index: 0, block: { type: 'thinking', text: '' } }, { type: 'delta', index: 0, text: 'hm' },
    { type: 'seal', index: 0, seal }, { type: 'block_end', index: 0 }, end()])
  assert.equal((response['output'] as JsonObject[])[0]?.['encrypted_content'], packSeal(seal))
})

test('R10: interleaved blocks keep their own items and indexes', () => {
  const block = (index: number, value: Block): HubEvent => ({ type: 'block_start', index, block: value })
  const delta = (index: number, text: string): HubEvent => ({ type: 'delta', index, text })
  const response = final([START, block(0, { type: 'text', text: '' }), block(1, call('a', '')), block(2, call('b', '')),
    delta(1, '{"a"'), delta(0, 'he'), delta(2, '{"b"'), delta(1, ':1}'), delta(0, 'llo'), delta(2, ':2}'),
    { type: 'block_end', index: 2 }, { type: 'block_end', index: 1 }, { type: 'block_end', index: 0 }, end('tool_use')])
  const [message, a, b] = response['output'] as JsonObject[]
  assert.equal(((message?.['content'] as JsonObject[])[0])?.['text'], 'hello')
  assert.deepEqual([a?.['arguments'], b?.['arguments']], ['{"a":1}', '{"b":2}'])
})

test('responses encode: neighbouring texts are parts of one message, text after a call is another message', () => {
  const response = final(stream([{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }, call('c', '{}'), { type: 'text', text: 'd' }]))
  assert.deepEqual(typesOf(response), ['message', 'function_call', 'message'])
})

test('R5, R6: custom and namespaced calls come as the client declared them', () => {
  const [custom, spaced] = final(stream([call('a', '*** Begin Patch', { kind: 'custom', name: 'apply_patch' }), call('b', '{}', { namespace: 'agents' })], 'tool_use'))['output'] as JsonObject[]
  assert.deepEqual({ ...custom, id: '' }, { id: '', type: 'custom_tool_call', status: 'completed', call_id: 'a', name: 'apply_patch', input: '*** Begin Patch' })
  assert.equal(spaced?.['namespace'], 'agents')
})

test('K8: a call without input has the empty object, in deltas too', () => {
  assert.equal((final(stream([call('a', '')], 'tool_use'))['output'] as JsonObject[])[0]?.['arguments'], '{}')
})

test('S6: text that comes with the start of its block is not lost', () => {
  const response = final([START, { type: 'block_start', index: 0, block: { type: 'text', text: 'whole' } }, { type: 'block_end', index: 0 }, end()])
  assert.match(JSON.stringify(response['output']), /"whole"/)
})

test('O23: blocks of other vendors leave no trace and no hole', () => {
  const response = final(stream([{ type: 'opaque', origin: 'anthropic', value: { type: 'server_tool_use' } }, { type: 'text', text: 'a' }]))
  assert.deepEqual(typesOf(response), ['message'])
})

test('R12: usage counts cached input as input and always has its details', () => {
  assert.deepEqual(final(stream([]))['usage'], {
    input_tokens: 10, input_tokens_details: { cached_tokens: 5, cache_write_tokens: 2 }, output_tokens: 7, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 17,
  })
})

test('M5: the answer echoes what was asked, model and tools as the client wrote them', () => {
  const body = {
    model: 'plan:opus[1m]', instructions: 'be brief', temperature: 0.5, metadata: { a: 'b' }, store: false, user: 'u',
    tools: [{ type: 'namespace', name: 'ns', tools: [] }], tool_choice: 'none', parallel_tool_calls: false,
    text: { verbosity: 'low' }, reasoning: { effort: 'high' }, max_output_tokens: 99,
  }
  const response = final(stream([]), replyContext(body))
  const echoed = Object.fromEntries(Object.keys(body).map((key) => [key, response[key]]))
  assert.deepEqual(echoed, { ...body, text: { format: { type: 'text' }, verbosity: 'low' }, reasoning: { effort: 'high', summary: null } })
})

test('S19, S21: a ping is a comment', () => {
  assert.equal(responsesDialect.createStreamEncoder(replyContext())({ type: 'ping' }), ': keep-alive\n\n')
})

test('S9: a second start is nothing', () => {
  final([START, START, end()])
})

test('responses encode: what is kept of an answer is what the client got, and a broken one is not kept', () => {
  const kept: JsonObject[] = []
  const keep = (reply: JsonObject): void => void kept.push(reply)
  const response = final(stream([{ type: 'text', text: 'hi' }]), replyContext({}, { keep }))
  assert.deepEqual(kept, [response])
  emit([START, { type: 'error', error: new DarioError('internal', 'x') }], replyContext({}, { keep }))
  assert.equal(kept.length, 1)
})

test('responses encode: 100,000 deltas of 5 MB cost linear time', () => {
  const encoder = responsesDialect.createStreamEncoder(replyContext())
  const piece = 'x'.repeat(50)
  const started = process.cpuUsage()
  encoder(START)
  encoder({ type: 'block_start', index: 0, block: call('a', '') })
  for (let count = 0; count < 100_000; count++) encoder({ type: 'delta', index: 0, text: piece })
  encoder({ type: 'block_end', index: 0 })
  const text = encoder(end('tool_use'))
  assert.ok(text.length > 15_000_000) // done, item done and the final object
  const { user } = process.cpuUsage(started)
  assert.ok(user < 5_000_000, `${user} µs of CPU`) // quadratic joining takes minutes
})

function makeBlocks(random: Random): Block[] {
  const text = (): string => ['a', 'héllo', '{"x":"\\n"}', 'a\n\ndata: b', '👩‍💻 end'][random(5)]!
  return Array.from({ length: random(6) }, (_, index): Block => {
    switch (random(5)) {
      case 0: return { type: 'refusal', text: text() }
      case 1: return { type: 'thinking', text: text(), seal: { origin: 'anthropic', value: `s${index}` } }
      case 2: return call(`c${index}`, '{"n":1.0}', random(2) === 0 ? { namespace: 'ns' } : {})
      case 3: return call(`c${index}`, text(), { kind: 'custom' })
      default: return { type: 'text', text: text() }
    }
  })
}

/** The blocks streamed with their deltas shuffled into each other, each block in its own order. */
function interleave(blocks: Block[], random: Random): HubEvent[] {
  const queues = blocks.map((block, index) => streamBlock(index, block))
  const events: HubEvent[] = []
  let opened = 0
  while (queues.some((queue) => queue.length > 0)) {
    const live = queues.filter((queue, index) => queue.length > 0 && index <= opened)
    const queue = live[random(live.length)]!
    if (queue[0]!.type === 'block_start') opened++
    events.push(queue.shift()!)
  }
  return [START, ...events, end('tool_use')]
}

test('responses: any answer that we encode decodes to the same blocks, and its chain is whole', async () => {
  await forAll((random) => {
    const blocks = makeBlocks(random)
    return { blocks, events: random(2) === 0 ? stream(blocks, 'tool_use') : interleave(blocks, random) }
  }, ({ blocks, events }) => {
    const text = encode(events)
    checkChain(readEmitted(text))
    const decoded = decodePieces([text])
    assertGrammar(decoded)
    const reply = foldEvents(decoded)
    const plain = (list: Block[]): string[] => list.map((block) => JSON.stringify([block.type, textOf(block), 'seal' in block ? block.seal?.value : '', 'id' in block ? block.id : ''])).sort()
    assert.deepEqual(plain(reply.blocks), plain(blocks))
    assert.deepEqual(reply.usage, { input: 3, cacheRead: 5, cacheWrite: 2, output: 7, reasoning: 0 })
  })
})

test('responses: a whole answer is the object that ends the stream', async () => {
  await forAll((random) => ({ blocks: makeBlocks(random), stop: (['end_turn', 'tool_use', 'max_tokens', 'refusal'] as const)[random(4)]! }), ({ blocks, stop }) => {
    const reply: HubReply = { id: 'x', model: 'up', blocks, stop, usage: USAGE }
    assert.deepEqual(responsesDialect.encodeReply(reply, replyContext()), final(stream(blocks, stop)))
  })
})

for (const name of listFixtures('responses', 'whole').filter((name) => !name.endsWith('-error'))) {
  test(`responses: the recording ${name} survives decoding and encoding`, () => {
    const body = readWhole('responses', name)
    const events = responsesDialect.decodeReply(body, { toolNames: new Map(), newId: countingIds() })
    const response = final(events)
    const said = (body['output'] as JsonObject[]).filter((item) => item['type'] !== 'reasoning' || item['encrypted_content'] !== undefined)
    assert.deepEqual(typesOf(response), said.map((item) => item['type']))
    const again = decodePieces([encode(events)])
    const blocksOf = (list: HubEvent[]): string => JSON.stringify(foldEvents(list).blocks.map((block) => ({ ...block, seal: 'seal' in block ? block.seal?.value : '' })))
    assert.equal(blocksOf(again), blocksOf(events))
  })
}
