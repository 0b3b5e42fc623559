/**
 * Size: a tool argument of megabytes in many deltas costs time in proportion to its size, in every pair of dialects.
 * @module
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createAnswer } from '../src/exchange/translated-answer.ts'
import type { DialectName, HubRequest, JsonObject } from '../src/hub/types.ts'
import { ask, END_MARKS, wholeStream } from './helpers/answers.ts'
import { DIALECTS } from './helpers/dialects.ts'
import { toSse } from './helpers/fixtures.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { readAnswer, toEvents } from './helpers/read-answer.ts'
import { until } from './helpers/until.ts'
import { sendSse, startUpstream } from './helpers/upstream.ts'

const REQUEST: HubRequest = { model: 'm', turns: [], tools: [], stop: [], stream: true, streamUsage: true, extra: {} }
const PIECE = 'abcdefghijklmnopqrstuvwxyz0123456789 abcdefghijkl ' // 50 characters

const STREAMS: Record<DialectName, (pieces: number) => JsonObject[]> = {
  anthropic: (pieces) => [
    { type: 'message_start', message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], usage: { input_tokens: 1, output_tokens: 1 } } },
    { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 'toolu_1', name: 'write', input: {} } },
    ...many(pieces, (text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: text } })),
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 9 } },
    { type: 'message_stop' },
  ],
  chat: (pieces) => [
    { id: 'c', choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'toolu_1', type: 'function', function: { name: 'write', arguments: '' } }] } }] },
    ...many(pieces, (text) => ({ id: 'c', choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: text } }] } }] })),
    { id: 'c', choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }], usage: { prompt_tokens: 1, completion_tokens: 9, total_tokens: 10 } },
  ],
  responses: (pieces) => [
    { type: 'response.created', response: { id: 'resp_1', model: 'm', output: [] } },
    { type: 'response.output_item.added', output_index: 0, item: { type: 'function_call', id: 'fc_1', call_id: 'toolu_1', name: 'write', arguments: '' } },
    ...many(pieces, (text) => ({ type: 'response.function_call_arguments.delta', output_index: 0, item_id: 'fc_1', delta: text })),
    { type: 'response.output_item.done', output_index: 0, item: { type: 'function_call', id: 'fc_1', call_id: 'toolu_1', name: 'write', arguments: `{"text":"${PIECE.repeat(pieces)}"}` } },
    { type: 'response.completed', response: { id: 'resp_1', model: 'm', status: 'completed', output: [], usage: { input_tokens: 1, output_tokens: 9 } } },
  ],
}

/** One delta of plain text. */
const TEXTS: Record<'anthropic' | 'chat', JsonObject> = {
  anthropic: { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: PIECE } },
  chat: { id: 'c', choices: [{ index: 0, delta: { content: PIECE } }] },
}

function many(pieces: number, make: (text: string) => JsonObject): JsonObject[] {
  return ['{"text":"', ...Array<string>(pieces).fill(PIECE), '"}'].map(make)
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function translate(from: DialectName, to: DialectName, bytes: Buffer, stream: boolean): { text: string; ms: number } {
  const context = { request: REQUEST, model: 'm', created: 0, newId: (prefix: string) => `${prefix}1` }
  const began = process.cpuUsage()
  const answer = createAnswer({ from: DIALECTS[from], to: DIALECTS[to], encoded: undefined, context, stream, upstreamStreams: true, watch: () => undefined })
  const out: string[] = []
  for (let at = 0; at < bytes.length; at += 65_536) out.push(answer.push(bytes.subarray(at, at + 65_536)))
  out.push(answer.finish())
  if (!stream) out.push(JSON.stringify(DIALECTS[to].encodeReply(answer.reply(), context)))
  const spent = process.cpuUsage(began)
  return { text: out.join(''), ms: (spent.user + spent.system) / 1000 }
}

for (const [from, to] of [['anthropic', 'chat'], ['chat', 'responses'], ['responses', 'anthropic']] as const) {
  test(`large: a 5 MB argument in 100,000 deltas from ${from} to ${to} costs what its size says`, () => {
    for (const stream of [true, false]) {
      let base = NaN
      for (const pieces of [2_000, 2_000, 20_000, 100_000]) { // a quadratic decoder fails at the third in seconds
        const { text, ms } = translate(from, to, Buffer.from(toSse(from, STREAMS[from](pieces))), stream)
        const perPiece = ms / pieces
        ok(!(perPiece > 5 * Math.max(base, 0.01)), `${perPiece} ms per delta of ${pieces}, against ${base}`)
        if (pieces === 2_000) base = perPiece
        const seen = readAnswer(to, toEvents(text))
        equal(seen.stop, 'tools')
        deepEqual(seen.calls, [{ id: 'toolu_1', name: 'write', input: { text: PIECE.repeat(pieces) } }])
      }
    }
  })
}

for (const [from, to] of [['anthropic', 'chat'], ['chat', 'anthropic']] as const) {
  test(`large: a streamed answer of 200,000 deltas from ${from} to ${to} is not kept`, () => {
    const heap = (): number => {
      collect()
      return process.memoryUsage().heapUsed
    }
    const context = { request: REQUEST, model: 'm', created: 0, newId: (prefix: string) => `${prefix}1` }
    const answer = createAnswer({ from: DIALECTS[from], to: DIALECTS[to], encoded: undefined, context, stream: true, upstreamStreams: true, watch: () => undefined })
    const text = TEXTS[from]
    const chunk = Buffer.from(toSse(from, Array<JsonObject>(10_000).fill(text)).replace('data: [DONE]\n\n', ''))
    answer.push(Buffer.from(toSse(from, from === 'anthropic' ? STREAMS[from](1).slice(0, 1) : []).replace('data: [DONE]\n\n', '')))
    answer.push(chunk)
    const before = heap()
    for (let round = 0; round < 20; round++) answer.push(chunk)
    ok(heap() - before < 4_000_000, 'under 4 MB for 10 MB of text')
  })
}

for (const [client, backend] of [['anthropic', 'chat'], ['chat', 'anthropic']] as const) {
  test(`large: conversations are held only as they were sent while a model answers (${client} client, ${backend} backend)`, async (context) => {
    const waiting: ServerResponse[] = []
    const upstream = await startUpstream(context, (_, response) => void waiting.push(response))
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
    const messages = [{ role: 'user', content: PIECE.repeat(20_000) }]
    const body = Buffer.from(JSON.stringify({ model: `${backend}/m`, max_tokens: 9, stream: true, messages }))
    const heap = (): number => {
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = heap()
    const asked = Array.from({ length: 20 }, () => ask(url, client, `${backend}/m`, {}, { body }))
    await until(() => waiting.length === asked.length)
    ok(heap() - before < 25_000_000, 'under 25 MB for 20 MB of text')
    for (const response of waiting) void sendSse(response, [wholeStream(backend)])
    for (const answer of asked) match(await (await answer).text(), END_MARKS[client])
  })
}
