import { deepStrictEqual, notStrictEqual, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../src/hub/types.ts'
import { createAnswer, encodeMessage } from '../src/plan/answer.ts'
import type { Answer } from '../src/plan/answer.ts'
import { createLineReader } from '../src/plan/claude.ts'
import { hashTurns, readTurns } from '../src/plan/history.ts'
import { encodeRetryAfter, readLimits } from '../src/plan/limits.ts'
import { toSentName } from '../src/plan/request.ts'
import { createSseDecoder } from '../src/sse.ts'
import { listFixtures, readEvents } from './helpers/fixtures.ts'
import { cutAnywhere, forAll } from './helpers/property.ts'

const wrap = (event: JsonObject): JsonObject => ({ type: 'stream_event', event, uuid: 'x', parent_tool_use_id: null })
const toEvents = (text: string): unknown[] => createSseDecoder().push(text).map(({ data }) => JSON.parse(data))

function play(answer: Answer, events: JsonObject[]): unknown[] {
  return toEvents(events.map((event) => answer.push(wrap(event))).join(''))
}

const textEvents = (pieces: string[]): JsonObject[] => [
  { type: 'message_start', message: { id: 'm', role: 'assistant', content: [], stop_reason: null, usage: { input_tokens: 3, output_tokens: 1 } } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  ...pieces.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
  { type: 'content_block_stop', index: 0 },
  { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 9 } },
  { type: 'message_stop' },
]

for (const name of listFixtures('anthropic', 'stream')) {
  test(`answer: a recorded stream passes as it is: ${name}`, () => {
    const events = readEvents('anthropic', name)
    const known = new Set(events.map((event) => (event['content_block'] as { name?: string } | undefined)?.name ?? ''))
    const answer = createAnswer([], new Map([...known].map((tool) => [tool, tool])))
    deepStrictEqual(play(answer, events), events.slice(0, events.findIndex(({ type }) => type === 'message_stop') + 1))
  })
}

test('answer: a stop sequence ends the text at the same place however the text is cut', async () => {
  const whole = 'the quick brown STOP fox END jumps'
  await forAll((random) => cutAnywhere(whole, random), (pieces) => {
    const answer = createAnswer(['END', 'STOP', 'brown fox'], new Map())
    const text = play(answer, textEvents(pieces)).map((event) => (event as { delta?: { text?: string } }).delta?.text ?? '').join('')
    strictEqual(text, 'the quick brown ')
    strictEqual(answer.message['stop_sequence'], 'STOP')
    deepStrictEqual(encodeMessage(answer)['content'], [{ type: 'text', text }])
    deepStrictEqual(answer.end, { type: 'whole', over: true })
  })
})

test('answer: without a hit no character is lost or late, however the text is cut', async () => {
  const whole = 'aabaabaaab and the tail aab'
  await forAll((random) => cutAnywhere(whole, random), (pieces) => {
    const answer = createAnswer(['aabaac', 'tail aabc', 'zz'], new Map())
    const text = play(answer, textEvents(pieces)).map((event) => (event as { delta?: { text?: string } }).delta?.text ?? '').join('')
    strictEqual(text, whole)
    deepStrictEqual(answer.end, { type: 'whole', over: false })
  })
})

test('answer: of two stop sequences the one that comes first in the text wins', () => {
  const answer = createAnswer(['cd', 'ab'], new Map())
  play(answer, textEvents(['xabcd']))
  strictEqual(answer.message['stop_sequence'], 'ab')
})

test('answer: a stream that was cut is not whole', () => {
  const answer = createAnswer([], new Map())
  const events = textEvents(['a']).map((event) =>
    event['type'] === 'message_delta' ? { type: 'message_delta', delta: { stop_reason: null }, usage: {} } : event)
  strictEqual(play(answer, events).some((event) => (event as JsonObject)['type'] === 'message_stop'), false)
  strictEqual(answer.end, undefined)
  const failed = toEvents(answer.push({ type: 'result', is_error: true, result: '' }))
  strictEqual((failed[0] as JsonObject)['type'], 'error')
})

test('answer: a failure report with a status that is no failure is a 502', () => {
  for (const status of [undefined, null, 0, 200, 999, 'x']) {
    const answer = createAnswer([], new Map())
    answer.push({ type: 'result', is_error: true, result: 'no', ...(status === undefined ? {} : { api_error_status: status }) })
    strictEqual(answer.end?.type === 'failed' && answer.end.status, 502)
  }
})

test('answer: an answer that did not come as a stream is not the message of an error', () => {
  const answer = createAnswer([], new Map())
  answer.push({ type: 'assistant', message: { model: 'claude', content: [{ type: 'text', text: 'words' }] } })
  answer.push({ type: 'result', is_error: false, result: 'words' })
  const error = answer.end?.type === 'failed' ? answer.end.body['error'] as JsonObject : {}
  strictEqual(error['message'], 'the claude program ended its turn without an answer; send the request again')
})

for (const [reason, over] of [['end_turn', false], ['tool_use', false], ['max_tokens', true], ['refusal', true], ['pause_turn', true], ['a_word_of_next_year', true]] as const) {
  test(`answer: after ${reason} the run ${over ? 'ends' : 'lives on'}`, () => {
    const answer = createAnswer([], new Map())
    const events = textEvents(['a']).map((event) =>
      event['type'] === 'message_delta' ? { type: 'message_delta', delta: { stop_reason: reason }, usage: {} } : event)
    strictEqual((play(answer, events).at(-1) as JsonObject)['type'], 'message_stop')
    deepStrictEqual(answer.end, { type: 'whole', over })
  })
}

test('plan: lines in any cutting are the same lines', async () => {
  const lines = [{ a: 'ü\u2028 😀' }, { b: '\n' }, { c: [1, { d: null }] }]
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('garbage\n[]\n\n')
  await forAll((random) => cutAnywhere(text, random), (pieces) => {
    const seen: JsonObject[] = []
    const push = createLineReader((line) => seen.push(line))
    for (const piece of pieces) push(piece)
    deepStrictEqual(seen, lines)
  })
})

test('plan: a line without an end is left out, and the lines after it are read', () => {
  const seen: JsonObject[] = []
  const push = createLineReader((line) => seen.push(line))
  const much = '{"a":'.padEnd(2 ** 25)
  for (let time = 0; time < 20; time++) push(much) // more than a text can hold
  push('1}\n{"b":2}\n')
  deepStrictEqual(seen, [{ b: 2 }])
})

const chain = (messages: unknown): string => hashTurns(readTurns(messages as never, [])).at(-1) ?? ''
const RESULT = { type: 'tool_result', tool_use_id: 't', content: 'r' }

for (const [name, a, b] of [
  ['a text and a list of one text', [{ role: 'user', content: 'x' }], [{ role: 'user', content: [{ type: 'text', text: 'x' }] }]],
  ['cache marks', [{ role: 'user', content: [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }] }], [{ role: 'user', content: 'x' }]],
  ['thinking', [{ role: 'assistant', content: [{ type: 'thinking', thinking: 'h', signature: 's' }, { type: 'text', text: 'x' }] }], [{ role: 'assistant', content: 'x' }]],
  ['split and padded answers', [{ role: 'assistant', content: [{ type: 'text', text: 'x ' }, { type: 'text', text: 'y\n' }] }], [{ role: 'assistant', content: 'x y' }]],
  ['the input of a call', [{ role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'n', input: { a: 1 } }] }], [{ role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'n', input: {} }] }]],
  ['a result as text or list', [{ role: 'user', content: [RESULT] }], [{ role: 'user', content: [{ ...RESULT, content: [{ type: 'text', text: 'r' }], is_error: false }] }]],
  ['two user messages in a row', [{ role: 'user', content: 'x' }, { role: 'user', content: 'y' }], [{ role: 'user', content: [{ type: 'text', text: 'x' }, { type: 'text', text: 'y' }] }]],
] as const) {
  test(`history: ${name} make no difference`, () => strictEqual(chain(a), chain(b)))
}

for (const [name, a, b] of [
  ['the role', [{ role: 'user', content: 'x' }], [{ role: 'assistant', content: 'x' }]],
  ['a word', [{ role: 'user', content: 'x' }], [{ role: 'user', content: 'y' }]],
  ['an earlier turn', [{ role: 'user', content: 'x' }, { role: 'assistant', content: 'a' }], [{ role: 'user', content: 'z' }, { role: 'assistant', content: 'a' }]],
  ['a call id', [{ role: 'assistant', content: [{ type: 'tool_use', id: 't' }] }], [{ role: 'assistant', content: [{ type: 'tool_use', id: 'u' }] }]],
  ['a result', [{ role: 'user', content: [RESULT] }], [{ role: 'user', content: [{ ...RESULT, content: 'pruned' }] }]],
  ['an error mark', [{ role: 'user', content: [RESULT] }], [{ role: 'user', content: [{ ...RESULT, is_error: true }] }]],
  ['an image', [{ role: 'user', content: [{ type: 'image', source: { data: 'A' } }] }], [{ role: 'user', content: [{ type: 'image', source: { data: 'B' } }] }]],
  ['where blocks end', [{ role: 'user', content: [{ type: 'text', text: 'ab' }] }], [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }]],
] as const) {
  test(`history: ${name} makes another conversation`, () => notStrictEqual(chain(a), chain(b)))
}

test('limits: a report without windows, and one without anything', () => {
  deepStrictEqual(readLimits({ rate_limit_info: { status: 'allowed' } }), {
    status: 'allowed', utilization: undefined, resetsAt: undefined, fiveHour: undefined, sevenDay: undefined,
  })
  strictEqual(readLimits({}), undefined)
})

test('limits: retry-after is in seconds from now, at least one', () => {
  const at = (resetsAt: number | undefined): unknown => encodeRetryAfter({ status: 'rejected', resetsAt, utilization: 1, fiveHour: undefined, sevenDay: undefined }, 10_500)
  deepStrictEqual([at(20), at(5), at(undefined)], [{ 'retry-after': '10' }, { 'retry-after': '1' }, {}])
})

test('plan: tool names are legal, short and apart, whatever the client calls them', async () => {
  await forAll((random) => Array.from({ length: 1 + random(200) }, () => String.fromCharCode(32 + random(400))).join(''), (name) => {
    const sent = toSentName(name)
    strictEqual(/^[A-Za-z0-9_-]{1,116}$/.test(sent), true)
    if (name !== sent) notStrictEqual(toSentName(`${name}x`), sent)
  })
})
