/**
 * Chat Completions answers into hub events: recorded traffic, and each odd vendor habit by its pitfall number.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { chatDialect } from '../src/dialects/chat/dialect.ts'
import type { ToolIdentity } from '../src/dialects/dialect.ts'
import { foldEvents } from './helpers/fold.ts'
import { packSeal } from '../src/hub/seal.ts'
import type { Block, HubEvent, HubReply, JsonObject } from '../src/hub/types.ts'
import { createSseDecoder } from '../src/sse.ts'
import { listFixtures, readEvents, readSse, readWhole } from './helpers/fixtures.ts'
import { assertGrammar } from './helpers/grammar.ts'
import { cutAnywhere, forAll } from './helpers/property.ts'

const NO_NAMES: ReadonlyMap<string, ToolIdentity> = new Map()

function createContext(toolNames = NO_NAMES): { toolNames: typeof NO_NAMES; newId: (prefix: string) => string } {
  let count = 0
  return { toolNames, newId: (prefix) => `${prefix}${++count}` }
}

function decodeText(chunks: Iterable<string>, toolNames = NO_NAMES): HubEvent[] {
  const sse = createSseDecoder(), decoder = chatDialect.createStreamDecoder(createContext(toolNames))
  const events: HubEvent[] = []
  for (const chunk of chunks) for (const event of sse.push(chunk)) events.push(...decoder.push(event))
  for (const event of sse.end()) events.push(...decoder.push(event))
  return [...events, ...decoder.end()]
}

function decode(chunks: JsonObject[], { done = true, toolNames = NO_NAMES } = {}): HubEvent[] {
  const events = decodeText([...chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`), done ? 'data: [DONE]\n\n' : ''], toolNames)
  assertGrammar(events)
  return events
}

const fold = (chunks: JsonObject[], options = {}): HubReply => foldEvents(decode(chunks, options))
const delta = (part: JsonObject, finish: string | null = null): JsonObject => {
  return { id: 'c1', model: 'm', choices: [{ index: 0, delta: part, finish_reason: finish }] }
}
const call = (part: JsonObject, finish: string | null = null): JsonObject => delta({ tool_calls: [part] }, finish)
const STOP = delta({}, 'stop')
const textOf = (reply: HubReply, type: Block['type'] = 'text'): string => {
  return reply.blocks.map((block) => block.type === type && 'text' in block ? block.text : '').join('')
}
const callsOf = (reply: HubReply): [string, string, string][] => {
  return reply.blocks.flatMap((block) => block.type === 'tool_use' ? [[block.id, block.name, block.input] as [string, string, string]] : [])
}
function errorOf(events: HubEvent[]): Extract<HubEvent, { type: 'error' }>['error'] {
  const last = events.at(-1)
  ok(last?.type === 'error', `ends in an error, not ${last?.type}`)
  return last.error
}

/** A second, naive reading of the same JSON: knows only these recordings. */
interface Naive { text: string; reasoning: string; calls: [string, string][]; finish: string; prompt: number; cached: number; total: number }

type Loose = { [field: string]: Loose } & string & number & Loose[]

function readNaively(chunks: JsonObject[]): Naive {
  const naive: Naive = { text: '', reasoning: '', calls: [], finish: '', prompt: 0, cached: 0, total: 0 }
  for (const chunk of chunks as unknown as Loose[]) {
    if (chunk['usage']) {
      naive.prompt = chunk['usage']['prompt_tokens'] as number
      naive.cached = (chunk['usage']['prompt_tokens_details']?.['cached_tokens'] ?? chunk['usage']['cached_tokens'] ?? 0) as number
      naive.total = chunk['usage']['total_tokens'] as number
    }
    const choice = chunk['choices']?.[0]
    const part = choice?.['delta'] ?? choice?.['message']
    naive.finish = (choice?.['finish_reason'] ?? naive.finish) as string
    for (const one of (part?.['tool_calls'] ?? []) as Loose[]) {
      naive.calls.push([one['function']?.['name'] as string, one['function']?.['arguments'] as string])
    }
    naive.reasoning += part?.['reasoning_content'] ?? part?.['reasoning'] ?? ''
    if (typeof part?.['content'] === 'string') naive.text += part['content']
    else {
      for (const piece of (part?.['content'] ?? []) as Loose[]) {
        naive.text += piece['text'] ?? ''
        for (const thought of (piece['thinking'] ?? []) as Loose[]) naive.reasoning += thought['text']
      }
    }
  }
  return naive
}

function assertLikeNaive(reply: HubReply, naive: Naive): void {
  const { input, cacheRead, cacheWrite, output } = reply.usage
  deepStrictEqual(
    {
      text: textOf(reply),
      reasoning: textOf(reply, 'thinking'),
      calls: callsOf(reply).map(([, name, value]) => [name, value]),
      finish: reply.rawStop,
      prompt: input + cacheRead + cacheWrite,
      cached: cacheRead,
      total: input + cacheRead + cacheWrite + output,
    },
    naive,
  )
}

for (const name of listFixtures('chat', 'stream')) {
  test(`chat stream ${name}: says what the recording says, however it is cut`, async () => {
    const text = readSse('chat', name), whole = decodeText([text])
    assertGrammar(whole)
    assertLikeNaive(foldEvents(whole), readNaively(readEvents('chat', name)))
    deepStrictEqual(decodeText(text), whole, 'character by character')
    await forAll((random) => cutAnywhere(text, random), (pieces) => deepStrictEqual(decodeText(pieces), whole), 10)
  })
}

for (const name of listFixtures('chat', 'whole')) {
  test(`chat answer ${name}: says what the recording says`, () => {
    const body = readWhole('chat', name), events = chatDialect.decodeReply(body, createContext())
    assertGrammar(events)
    if (body['error']) return void strictEqual(errorOf(events).code, 'invalid_request')
    assertLikeNaive(foldEvents(events), readNaively([body]))
  })
}

test('S1: bytes cut inside a character are the same text', () => {
  const bytes = Buffer.from(`data: ${JSON.stringify(delta({ content: 'Grüße 🍓' }))}\n\ndata: ${JSON.stringify(STOP)}\n\n`)
  const utf8 = new TextDecoder()
  const pieces = [...bytes].map((byte) => utf8.decode(Uint8Array.of(byte), { stream: true }))
  strictEqual(textOf(foldEvents(decodeText(pieces))), 'Grüße 🍓')
})

test('S2: empty, null and missing choices are no content', () => {
  const reply = fold([{ id: '', choices: [] }, { choices: null }, {}, delta({ content: 'a' }), STOP, { choices: [], usage: null }])
  strictEqual(textOf(reply), 'a')
  strictEqual(reply.id, 'c1', 'O2: an empty first id is not the id')
})

test('S3: usage after the finish reason counts', () => {
  const reply = fold([delta({ content: 'a' }), STOP, { choices: [], usage: { prompt_tokens: 9, completion_tokens: 3 } }, { choices: [] }])
  deepStrictEqual(reply.usage, { input: 9, cacheRead: 0, cacheWrite: 0, output: 3 })
})

test('S4, S5: interleaved parallel calls get their own block and their own arguments', () => {
  const reply = fold([
    call({ index: 0, id: 'a', function: { name: 'x', arguments: '{"q":' } }),
    call({ index: 1, id: 'b', function: { name: 'y', arguments: '{"r":' } }),
    call({ index: 0, function: { arguments: '1}' } }),
    call({ index: 1, function: { arguments: '2}' } }, 'tool_calls'),
  ])
  deepStrictEqual(callsOf(reply), [['a', 'x', '{"q":1}'], ['b', 'y', '{"r":2}']])
})

test('S6, S8: a change of kind opens a new block and keeps the text that caused it', () => {
  const reply = fold([delta({ reasoning_content: 'hm' }), delta({ content: 'a' }), delta({ reasoning: 'oh' }), delta({ content: 'b' }), STOP])
  deepStrictEqual(reply.blocks.map((block) => [block.type, 'text' in block && block.text]),
    [['thinking', 'hm'], ['text', 'a'], ['thinking', 'oh'], ['text', 'b']])
})

test('S7: an empty tool_calls list beside text is no call', () => {
  const reply = fold([delta({ content: 'a', tool_calls: [] }), delta({ content: 'b', tool_calls: [] }), STOP])
  deepStrictEqual(reply.blocks, [{ type: 'text', text: 'ab' }])
  strictEqual(reply.stop, 'end_turn')
})

test('S10: a call that is sent whole twice runs once', () => {
  const piece = { index: 0, id: 'a', function: { name: 'x', arguments: '{"q":1}' } }
  deepStrictEqual(callsOf(fold([call(piece), call(piece, 'tool_calls')])), [['a', 'x', '{"q":1}']])
  deepStrictEqual(callsOf(fold([call(piece), call({ ...piece, index: 1 }, 'tool_calls')])), [['a', 'x', '{"q":1}']])
})

test('S10: a stream that closes with the whole message once more says it once', () => {
  const message = { role: 'assistant', content: 'Hello', tool_calls: [{ id: 'a', function: { name: 'x', arguments: '{}' } }] }
  const whole = { id: 'c1', model: 'm', choices: [{ index: 0, message, finish_reason: 'tool_calls' }] }
  const reply = fold([delta({ content: 'Hel' }), delta({ content: 'lo' }), call({ index: 0, ...message.tool_calls[0] }), whole])
  deepStrictEqual([textOf(reply), callsOf(reply), reply.stop], ['Hello', [['a', 'x', '{}']], 'tool_use'])
})

test('S11: calls without ids or indexes are told apart by their names, and get ids', () => {
  const reply = fold([
    call({ function: { name: 'x', arguments: '{"q":1}' } }),
    call({ function: { name: 'y', arguments: '{"r"' } }),
    call({ function: { arguments: ':2}' } }, 'tool_calls'),
  ])
  deepStrictEqual(callsOf(reply), [['call_1', 'x', '{"q":1}'], ['call_2', 'y', '{"r":2}']])
})

test('S11: servers that number every call 0 still make several calls', () => {
  const reply = fold([
    call({ index: 0, id: 'a', function: { name: 'x', arguments: '{}' } }),
    call({ index: 0, id: 'b', function: { name: 'x', arguments: '{"q":1}' } }, 'tool_calls'),
  ])
  deepStrictEqual(callsOf(reply), [['a', 'x', '{}'], ['b', 'x', '{"q":1}']])
})

test('S11: calls that share an id, an index or both stay apart, and get ids of their own', () => {
  const part = (index: number, name: string, text: string): JsonObject => ({ index, id: 'same', function: { ...(name && { name }), arguments: text } })
  const apart = fold([part(0, 'x', '{"q"'), part(1, 'y', '{"r"'), part(0, '', ':1}'), part(1, '', ':2}')].map((piece) => call(piece)).concat(STOP))
  deepStrictEqual(callsOf(apart), [['same', 'x', '{"q":1}'], ['call_1', 'y', '{"r":2}']])
  const oneTool = fold([part(0, 'x', '{"q":1}'), part(1, 'x', '{"q":2}')].map((piece) => call(piece)).concat(STOP))
  deepStrictEqual(callsOf(oneTool), [['same', 'x', '{"q":1}'], ['call_1', 'x', '{"q":2}']])
  const onePlace = fold([part(0, 'x', '{"q":1}'), part(0, 'y', '{"q":2}'), part(0, 'y', '{"q":3}')].map((piece) => call(piece)).concat(STOP))
  deepStrictEqual(callsOf(onePlace), [['same', 'x', '{"q":1}'], ['call_1', 'y', '{"q":2}'], ['call_2', 'y', '{"q":3}']])
  const oneInput = fold([part(0, 'x', '{"q":1}'), part(1, 'y', '{"q":1}')].map((piece) => call(piece)).concat(STOP))
  deepStrictEqual(callsOf(oneInput), [['same', 'x', '{"q":1}'], ['call_1', 'y', '{"q":1}']])
  const noIds = fold(['{"q":1}', '{"q":2}'].map((text) => call({ index: 0, id: '', function: { name: 'x', arguments: text } })).concat(STOP))
  deepStrictEqual(callsOf(noIds), [['call_1', 'x', '{"q":1}'], ['call_2', 'x', '{"q":2}']])
})

test('S4: very many calls take linear time', () => {
  const pieces = Array.from({ length: 40_000 }, (_, index) => call({ index, id: `call_${index}`, function: { name: 'x', arguments: '{}' } }))
  const began = process.cpuUsage()
  strictEqual(callsOf(fold([...pieces, STOP])).length, pieces.length)
  const { user } = process.cpuUsage(began)
  ok(user < 4_000_000, `${user / 1000} ms`)
})

test('S12, S13: the stop reason follows what was really called', () => {
  strictEqual(fold([call({ index: 0, id: 'a', function: { name: 'x' } }), STOP]).stop, 'tool_use')
  strictEqual(fold([delta({ content: 'a' }, 'tool_calls')]).stop, 'end_turn')
})

for (const [word, stop] of [
  ['length', 'max_tokens'], ['content_filter', 'refusal'], ['sensitive', 'refusal'], ['a_word_of_next_year', 'end_turn'],
  ['model_context_window_exceeded', 'model_context_window_exceeded'], ['MAX_TOKENS', 'max_tokens'],
  ['content_filter: PROHIBITED_CONTENT', 'refusal'], ['RECITATION', 'refusal'], ['IMAGE_SAFETY', 'refusal'],
] as const) {
  test(`S14: finish_reason ${word} is ${stop}, and the raw word is kept`, () => {
    const reply = fold([delta({ content: 'a' }, word)])
    deepStrictEqual([reply.stop, reply.rawStop], [stop, word])
  })
}

test('S14: the stop sequence that vLLM names is told, but no token id, no word of another API and none beside a call', () => {
  const stopped = (part: JsonObject, word: unknown): HubReply =>
    fold([{ id: 'c1', model: 'm', choices: [{ index: 0, delta: part, finish_reason: 'stop', stop_reason: word as string }] }])
  const reply = stopped({ content: 'a' }, '</answer>')
  deepStrictEqual([reply.stop, reply.stopSequence, reply.rawStop], ['stop_sequence', '</answer>', 'stop'])
  for (const word of [128_009, null, 'stop', 'end_turn', '']) {
    const { stop, stopSequence } = stopped({ content: 'a' }, word)
    deepStrictEqual([stop, stopSequence], ['end_turn', undefined], String(word))
  }
  const called = stopped({ tool_calls: [{ index: 0, id: 'a', function: { name: 'x', arguments: '{}' } }] }, '</answer>')
  deepStrictEqual([called.stop, called.stopSequence], ['tool_use', undefined])
})

test('S15: a stream that just stops is an error', () => {
  strictEqual(errorOf(decode([delta({ content: 'half' })], { done: false })).code, 'upstream_protocol')
  strictEqual(errorOf(decode([], { done: false })).code, 'upstream_protocol')
  strictEqual(errorOf(decode([], { done: true })).code, 'upstream_protocol', '[DONE] alone is no answer')
})

test('S16, O3: a finish reason without [DONE], and [DONE] without a finish reason, are complete', () => {
  strictEqual(fold([delta({ content: 'a' }), STOP], { done: false }).stop, 'end_turn')
  strictEqual(fold([delta({ content: 'a' })]).stop, 'end_turn')
  strictEqual(fold([delta({ content: 'a' }, 'length'), STOP]).stop, 'max_tokens', 'the more telling of two words')
  strictEqual(fold([delta({ content: 'a' }, 'stop'), delta({}, 'length')]).stop, 'max_tokens', 'in either order')
})

test('S22, O8: comments, CRLF, no space after the colon and no final blank line', () => {
  const text = `: OPENROUTER PROCESSING\r\n\r\ndata:${JSON.stringify(delta({ content: 'a' }))}\r\n\r\ndata: ${JSON.stringify(STOP)}`
  strictEqual(textOf(foldEvents(decodeText([text]))), 'a')
})

test('S23: whatever follows [DONE] is ignored', () => {
  const text = `data: ${JSON.stringify(delta({ content: 'a' }, 'stop'))}\n\ndata: [DONE]\n\ndata: ${JSON.stringify(delta({ content: 'b' }))}\n\n`
  const events = decodeText([text])
  assertGrammar(events)
  strictEqual(textOf(foldEvents(events)), 'a')
})

test('S24: one unreadable event does not end the answer', () => {
  const text = `data: {broken\n\ndata: ${JSON.stringify(delta({ content: 'a' }, 'stop'))}\n\n`
  strictEqual(textOf(foldEvents(decodeText([text]))), 'a')
  match(errorOf(decodeText(['data: {broken\n\n'])).message, /1 events were not JSON/)
})

test('S34: several choices are one turn', () => {
  const reply = fold([
    { id: 'c', choices: [{ index: 0, delta: { content: 'a' } }] },
    { id: 'c', choices: [{ index: 1, delta: { tool_calls: [{ index: 0, id: 't', function: { name: 'x', arguments: '{}' } }] } }] },
    { id: 'c', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }, { index: 1, delta: {}, finish_reason: 'tool_calls' }] },
  ])
  deepStrictEqual([textOf(reply), callsOf(reply), reply.stop], ['a', [['t', 'x', '{}']], 'tool_use'])
})

const USAGES: [string, JsonObject, object][] = [
  ['U2: cached tokens are part of OpenAI\'s prompt', { prompt_tokens: 10, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4 } }, { input: 6, cacheRead: 4, output: 2 }],
  ['U2: more cached than prompt tokens is clamped', { prompt_tokens: 1, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4 } }, { input: 0, cacheRead: 4, output: 2 }],
  ['O1: DeepSeek\'s prompt_cache_hit_tokens', { prompt_tokens: 10, completion_tokens: 2, prompt_cache_hit_tokens: 3 }, { input: 7, cacheRead: 3, output: 2 }],
  ['U3: Moonshot\'s cached_tokens', { prompt_tokens: 10, completion_tokens: 2, cached_tokens: 3 }, { input: 7, cacheRead: 3, output: 2 }],
  ['U4: null details', { prompt_tokens: 10, completion_tokens: 2, prompt_tokens_details: null, completion_tokens_details: null }, { input: 10, cacheRead: 0, output: 2 }],
  ['O1: xAI counts reasoning outside', { prompt_tokens: 10, completion_tokens: 2, total_tokens: 20, completion_tokens_details: { reasoning_tokens: 8 } }, { input: 10, cacheRead: 0, output: 10, reasoning: 8 }],
  ['O1: Gemini counts reasoning outside, without a name', { prompt_tokens: 20, completion_tokens: 151, total_tokens: 553 }, { input: 20, cacheRead: 0, output: 533, reasoning: 382 }],
  ['U2: a cache that is counted beside the input is no reasoning', { prompt_tokens: 10, completion_tokens: 2, total_tokens: 112, cache_read_input_tokens: 100 }, { input: 0, cacheRead: 100, output: 2 }],
  ['T12: others count it inside', { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20, completion_tokens_details: { reasoning_tokens: 8 } }, { input: 10, cacheRead: 0, output: 10, reasoning: 8 }],
]
for (const [title, usage, expected] of USAGES) {
  test(`${title}`, () => deepStrictEqual(chatDialect.readUsage({ usage }), { cacheWrite: 0, ...expected }))
}

test('O1: usage is found in x_groq, beside choices, in a choice, and is absent without harm', () => {
  const usage = { prompt_tokens: 1, completion_tokens: 2 }
  for (const place of [{ x_groq: { usage } }, { usage }, { choices: [{ usage }] }]) strictEqual(chatDialect.readUsage(place)?.output, 2)
  strictEqual(chatDialect.readUsage({ usage: null, choices: [] }), undefined)
})

test('O1: cumulative usage in every chunk is a snapshot', () => {
  const reply = fold([1, 2, 3].map((count) => ({ ...delta({ content: 'a' }, count === 3 ? 'stop' : null), usage: { prompt_tokens: 5, completion_tokens: count } })))
  strictEqual(reply.usage.output, 3)
})

test('O4: a role in every chunk and nulls everywhere are no content', () => {
  const nulls = { role: 'assistant', content: null, refusal: null, tool_calls: null, function_call: null, reasoning_content: null }
  deepStrictEqual(fold([delta(nulls), delta({ ...nulls, content: 'a' }), delta(nulls, 'stop')]).blocks, [{ type: 'text', text: 'a' }])
})

test('O5: later pieces that repeat the id and the name continue the call, whatever its first index', () => {
  const reply = fold([
    call({ index: 1, id: 'llm_1:0', function: { name: 'x', arguments: null } }),
    call({ index: 1, id: 'llm_1:0', function: { name: 'x', arguments: '{"q"' } }),
    call({ index: 1, id: '', function: { name: '', arguments: ':1}' } }, 'tool_calls'),
  ])
  deepStrictEqual(callsOf(reply), [['llm_1:0', 'x', '{"q":1}']])
})

test('O5: an empty object before the real arguments is no part of them', () => {
  const first = call({ index: 0, id: 'a', function: { name: 'x', arguments: '{}' } })
  const rest = ['{"q":', '{}', '}'].map((text) => call({ index: 0, function: { arguments: text } }))
  const reply = fold([first, ...rest, delta({}, 'tool_calls')])
  deepStrictEqual(callsOf(reply), [['a', 'x', '{"q":{}}']])
  deepStrictEqual(callsOf(fold([first, delta({}, 'tool_calls')])), [['a', 'x', '{}']])
})

test('O5: a name that comes late holds the call back until then', () => {
  const events = decode([
    call({ index: 0, id: 'a', function: { arguments: '{"q"' } }),
    call({ index: 0, function: { name: 'x', arguments: ':1}' } }, 'tool_calls'),
  ])
  deepStrictEqual(callsOf(foldEvents(events)), [['a', 'x', '{"q":1}']])
})

test('O6: the same reasoning in three fields is read once', () => {
  const reply = fold([
    delta({ reasoning_content: 'hm', reasoning: 'hm', reasoning_details: [{ type: 'reasoning.text', text: 'hm', index: 0 }] }),
    delta({ content: 'a' }, 'stop'),
  ])
  deepStrictEqual(reply.blocks[0], { type: 'thinking', text: 'hm' })
})

test('O6: reasoning details alone are reasoning, and their proof becomes a seal of this dialect', () => {
  const reply = fold([
    delta({ reasoning_details: [{ type: 'reasoning.text', text: 'h', index: 0 }] }),
    delta({ reasoning_details: [{ type: 'reasoning.text', text: 'm', index: 0 }] }),
    delta({ reasoning_details: [{ type: 'reasoning.text', signature: 'sig', index: 0 }] }),
    delta({ content: 'a' }, 'stop'),
  ])
  const value = JSON.stringify([{ type: 'reasoning.text', text: 'hm', index: 0, signature: 'sig' }])
  deepStrictEqual(reply.blocks[0], { type: 'thinking', text: 'hm', seal: { origin: 'chat', value } })
})

test('O6: encrypted reasoning without text is a redacted block', () => {
  const seal = { origin: 'anthropic', value: 'secret' } as const
  const reply = fold([delta({ reasoning_details: [{ type: 'reasoning.encrypted', data: packSeal(seal) }] }), delta({ content: 'a' }, 'stop')])
  deepStrictEqual(reply.blocks[0], { type: 'thinking', text: '', redacted: true, seal })
})

test('O6: the proof that Gemini puts beside a call is a redacted thought before it, in stream and whole answer', () => {
  const extra_content = { google: { thought_signature: 'c2ln' } }
  const calls = [
    { id: 'a', type: 'function', function: { name: 'x', arguments: '{"q":1}' }, extra_content },
    { id: 'b', type: 'function', function: { name: 'x', arguments: '{"q":2}' } },
  ]
  const proof = { type: 'thinking', text: '', redacted: true, seal: { origin: 'chat', value: JSON.stringify({ extra_content }) } }
  const uses = ['a', 'b'].map((id, index) => ({ type: 'tool_use', id, name: 'x', input: `{"q":${index + 1}}` }))
  deepStrictEqual(fold([call(calls[0]!), call(calls[1]!, 'tool_calls')]).blocks, [proof, ...uses])
  const body = { choices: [{ message: { role: 'assistant', content: null, tool_calls: calls }, finish_reason: 'tool_calls' }] }
  deepStrictEqual(foldEvents(chatDialect.decodeReply(body, createContext())).blocks, [proof, ...uses])
})

test('O7: errors inside a 200 end the answer, in every vendor\'s shape', () => {
  const groq = decodeText([`data: ${JSON.stringify(delta({ content: 'a' }))}\n\nevent: error\ndata: {"error":{"message":"no","type":"invalid_request_error","code":"tool_use_failed"}}\n\n`])
  strictEqual(errorOf(groq).code, 'invalid_request')
  strictEqual(errorOf(decode([{ error: { code: 502, message: 'bad' }, choices: [{ index: 0, delta: { content: '' }, finish_reason: 'error' }] }])).code, 'upstream_error')
  for (const word of ['error', 'network_error', 'insufficient_system_resource', 'abort', 'function_call_filter: MALFORMED_FUNCTION_CALL']) {
    strictEqual(errorOf(decode([delta({ content: 'a' }, word)])).code, 'upstream_error', word)
  }
  strictEqual(errorOf(decode([{ error: { message: 'Rate limit reached', type: 'rate_limit_error' } }])).code, 'rate_limited')
  strictEqual(errorOf(decode([{ error: { message: 'Slow down', code: '429' } }])).status, 429)
  strictEqual(errorOf(decode([{ error: 'overloaded, try later' }])).code, 'overloaded')
})

test('O7: an error that is no text and no object leaves the message beside it', () => {
  for (const error of [true, 1, { message: null }, ['x']]) {
    strictEqual(errorOf(decode([{ error, message: 'the model is not loaded' }])).message, 'the model is not loaded')
  }
  strictEqual(errorOf(decode([{ choices: [{ index: 0, delta: {}, error: { message: 'lost its GPU' } }] }])).message, 'lost its GPU')
})

test('O8: a refusal is its own block and its own stop reason', () => {
  const reply = fold([delta({ refusal: 'I will' }), delta({ refusal: ' not' }), STOP])
  deepStrictEqual([reply.blocks, reply.stop], [[{ type: 'refusal', text: 'I will not' }], 'refusal'])
})

test('O9: whole answers with arguments as an object, no content and no ids', () => {
  const body = { choices: [{ message: { tool_calls: [{ function: { name: 'x', arguments: { q: 1 } } }] }, finish_reason: 'stop' }] }
  const reply = foldEvents(chatDialect.decodeReply(body, createContext()))
  deepStrictEqual([callsOf(reply), reply.stop], [[['call_2', 'x', '{"q":1}']], 'tool_use'])
})

test('S33: a whole answer without a finish reason is complete, an empty object is not', () => {
  const reply = foldEvents(chatDialect.decodeReply({ choices: [{ message: { content: 'a' } }] }, createContext()))
  deepStrictEqual([textOf(reply), reply.stop], ['a', 'end_turn'])
  strictEqual(errorOf(chatDialect.decodeReply({}, createContext())).code, 'upstream_protocol')
})

test('B14: a call that never gets a name is left out', () => {
  deepStrictEqual(fold([delta({ content: 'a' }), call({ index: 0, id: 'a', function: { arguments: '{}' } }), STOP]).blocks, [{ type: 'text', text: 'a' }])
})

test('the old function_call is a call', () => {
  const reply = fold([delta({ function_call: { name: 'x', arguments: '{"q"' } }), delta({ function_call: { arguments: ':1}' } }, 'function_call')])
  deepStrictEqual([callsOf(reply), reply.stop], [[['call_1', 'x', '{"q":1}']], 'tool_use'])
})

const THINKS: [string, string, string, string][] = [
  ['a leading tag is reasoning', '<think>\nhm</think>\n\nyes', '\nhm', 'yes'],
  ['white space before the leading tag goes with it', '\n <think>hm</think>yes', 'hm', 'yes'],
  ['white space before text stays', `${'\n '.repeat(20)}<think>`, '', `${'\n '.repeat(20)}<think>`],
  ['a tag later on stays text', 'use <think>x</think>', '', 'use <think>x</think>'],
  ['a closing tag alone stays text', 'a</think>b', '', 'a</think>b'],
  ['a tag that is never closed is reasoning to the end', '<think>hm </thi', 'hm </thi', ''],
  ['the beginning of a tag is text', '<thin', '', '<thin'],
  ['only the first pair counts', '<think>a</think>b<think>c</think>', 'a', 'b<think>c</think>'],
]
for (const [title, content, thinking, text] of THINKS) {
  test(`T6: ${title}`, async () => {
    await forAll((random) => cutAnywhere(content, random, 6), (pieces) => {
      const reply = fold([...pieces.map((piece) => delta({ content: piece })), STOP])
      deepStrictEqual([textOf(reply, 'thinking'), textOf(reply)], [thinking, text])
    }, 40)
  })
}

test('T6: a tag after reasoning in its own field stays text', () => {
  strictEqual(textOf(fold([delta({ reasoning_content: 'hm' }), delta({ content: '<think>' }), STOP])), '<think>')
})

test('K1, R6: changed names come back as the client knows them', () => {
  const toolNames = new Map([['ns__run_ab12', { name: 'run', kind: 'function', namespace: 'ns' } as const]])
  const [block] = fold([call({ index: 0, id: 'a', function: { name: 'ns__run_ab12', arguments: '{}' } }, 'tool_calls')], { toolNames }).blocks
  deepStrictEqual(block, { type: 'tool_use', id: 'a', name: 'run', input: '{}', namespace: 'ns' })
})

test('R5: a wrapped custom tool gives its raw text back', () => {
  const toolNames = new Map([['patch', { name: 'patch', kind: 'custom' } as const]])
  const pieces = ['{"inp', 'ut":"*** Begin\\n', 'end"}'].map((text, index) => call({ index: 0, ...(index === 0 ? { id: 'a' } : {}), function: { ...(index === 0 ? { name: 'patch' } : {}), arguments: text } }))
  const [block] = fold([...pieces, delta({}, 'tool_calls')], { toolNames }).blocks
  deepStrictEqual(block, { type: 'tool_use', id: 'a', name: 'patch', kind: 'custom', input: '*** Begin\nend' })
})

const sse = (data: JsonObject | string, event?: string): { event: string | undefined; data: string } => {
  return { event, data: typeof data === 'string' ? data : JSON.stringify(data) }
}

test('F1: only what holds content ends the preamble', () => {
  for (const data of [delta({ role: 'assistant', content: '' }), { choices: [] }, delta({ content: null, reasoning_content: '' }), delta({ tool_calls: [] })]) {
    ok(chatDialect.isPreamble(sse(data)), JSON.stringify(data))
  }
  for (const data of [delta({ content: 'a' }), delta({ reasoning: 'a' }), STOP, call({ index: 0 }), { error: { message: 'no' } }, '[DONE]']) {
    ok(!chatDialect.isPreamble(sse(data)), JSON.stringify(data))
  }
})

test('the relay is told how an answer ended', () => {
  strictEqual(chatDialect.endOf(sse('[DONE]')), 'complete')
  strictEqual(chatDialect.endOf(sse(STOP)), 'complete')
  strictEqual(chatDialect.endOf(sse(delta({ content: 'the "finish_reason":"stop" of it' }))), undefined)
  strictEqual(chatDialect.endOf(sse({ error: { message: 'no' } })), 'error')
  strictEqual(chatDialect.endOf(sse('x', 'error')), 'error')
  for (const data of [{ object: 'error', message: 'no', code: 500 }, { choices: [{ index: 0, delta: {}, error: { message: 'no' } }] }]) {
    deepStrictEqual([chatDialect.endOf(sse(data)), chatDialect.isPreamble(sse(data))], ['error', false])
    strictEqual(chatDialect.decodeError(200, JSON.stringify(data)).message, 'no')
  }
  strictEqual(chatDialect.endOf(sse(delta({}, 'error'))), 'error')
})
