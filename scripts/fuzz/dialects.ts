/**
 * Fuzzers of the dialects: what clients send and what upstreams answer, changed at random. Nothing but a DarioError may
 * come out, hub events always follow their grammar, and what one of our encoders writes, its own decoder reads.
 * @module
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { anthropicDialect } from '../../src/dialects/anthropic/dialect.ts'
import { chatDialect } from '../../src/dialects/chat/dialect.ts'
import type { Dialect, ReplyContext, Repair, Target } from '../../src/dialects/dialect.ts'
import { responsesDialect } from '../../src/dialects/responses/dialect.ts'
import { DarioError } from '../../src/errors.ts'
import { createAnswer } from '../../src/exchange/translated-answer.ts'
import { foldEvents } from '../../test/helpers/fold.ts'
import { repairToolTurns } from '../../src/hub/repair.ts'
import type { DialectName, HubEvent, HubRequest, Json, JsonObject, StopReason } from '../../src/hub/types.ts'
import { encodeResult } from '../../src/plan/bridge.ts'
import { callsOf, hashTurns } from '../../src/plan/history.ts'
import { readRequest } from '../../src/plan/request.ts'
import { encodeContent, encodeTranscript, isResult, quoteHistory } from '../../src/plan/transcript.ts'
import { createSseDecoder, encodeSse } from '../../src/sse.ts'
import { assertGrammar } from '../../test/helpers/grammar.ts'
import type { Random } from '../../test/helpers/property.ts'
import { cutAnywhere } from '../../test/helpers/property.ts'
import { makeJson, mutateBytes, mutateJson, mutateText, pick } from './make.ts'
import type { Check } from './make.ts'
import { DIALECT_NAMES, REQUESTS, STREAMS, WHOLES } from './seeds.ts'
import { tryDario } from './text.ts'

const DIALECTS: Readonly<Record<DialectName, Dialect>> = { anthropic: anthropicDialect, chat: chatDialect, responses: responsesDialect }
const REPAIRS: readonly Repair[] = ['max_completion_tokens', 'max_tokens', 'no_sampling', 'no_stop', 'no_thinking', 'no_thinking_history', 'replay_reasoning', 'no_cache_ttl', 'no_cache_marks', 'no_strict', 'no_format', 'no_parallel_tools', 'no_stream_options']
const MODELS = ['gpt-5', 'gpt-4o', 'o3', 'claude-opus-4-6', 'claude-3-haiku', 'deepseek-reasoner', 'gemini-3', 'kimi-k2', '', 'a/b:c[1m]']
const HOSTS = [undefined, 'api.openai.com', 'api.anthropic.com', 'openrouter.ai', 'api.deepseek.com', 'api.mistral.ai', 'localhost']

function makeTarget(random: Random): Target {
  const repairs = new Set(REPAIRS.filter(() => random(8) === 0))
  return { model: pick(random, MODELS), host: pick(random, HOSTS), repairs, session: pick(random, [undefined, 's'.repeat(100)]), maxOutputTokens: pick(random, [undefined, 10, 100_000]) }
}

function createIds(): (prefix: string) => string {
  let count = 0
  return (prefix) => `${prefix}${++count}`
}

const toObject = (value: Json): JsonObject => (typeof value === 'object' && value !== null && !Array.isArray(value) ? value : { value })

function makeRequest(random: Random): HubRequest | DarioError {
  const name = pick(random, DIALECT_NAMES)
  const seed = pick(random, REQUESTS[name])
  const body = random(20) === 0 ? toObject(makeJson(random)) : random(10) === 0 ? seed : toObject(mutateJson(random, seed, pick(random, REQUESTS[pick(random, DIALECT_NAMES)])))
  return tryDario(() => DIALECTS[name].decodeRequest(body).request)
}

const request: Check = (random) => {
  const decoded = makeRequest(random)
  if (decoded instanceof DarioError) return
  const { turns } = repairToolTurns(decoded.turns)
  const dialect = DIALECTS[pick(random, DIALECT_NAMES)]
  const target = makeTarget(random)
  const encoded = tryDario(() => dialect.encodeRequest({ ...decoded, turns, model: target.model, stream: true }, target))
  if (encoded instanceof DarioError) return
  const body = JSON.parse(JSON.stringify(encoded.body)) as JsonObject
  strictEqual(body['model'], target.model)
  const again = tryDario(() => dialect.decodeRequest(body))
  if (again instanceof DarioError) throw new Error(`${dialect.name} does not read what it wrote: ${again.message}\n${JSON.stringify(body)}`)
}

const repairs: Check = (random) => {
  const name = pick(random, DIALECT_NAMES)
  const body = toObject(mutateJson(random, pick(random, REQUESTS[name])))
  tryDario(() => DIALECTS[name].repairBody?.(body, new Set(REPAIRS.filter(() => random(2) === 0))))
}

const PLAIN = DIALECT_NAMES.flatMap((name) => REQUESTS[name].map((body) => DIALECTS[name].decodeRequest(body).request))

function makeContext(random: Random): ReplyContext {
  const decoded = random(10) === 0 ? makeRequest(random) : pick(random, PLAIN)
  const request = decoded instanceof DarioError ? pick(random, PLAIN) : decoded
  return { request, model: request.model, created: 1_700_000_000, newId: createIds() }
}

/** The events as the dialect's own decoder reads what its encoder makes of them. */
function throughWire(dialect: Dialect, events: readonly HubEvent[], context: ReplyContext): HubEvent[] {
  const encode = dialect.createStreamEncoder(context)
  const sse = createSseDecoder()
  const decoder = dialect.createStreamDecoder({ toolNames: new Map(), newId: createIds() })
  const texts = events.map(encode)
  const read = [...texts.flatMap((text) => sse.push(text)), ...sse.end()]
  return [...read.flatMap((event) => decoder.push(event)), ...decoder.end()]
}

const last = (events: readonly HubEvent[]): HubEvent | undefined => events.findLast(({ type }) => type === 'end' || type === 'error')

/** Whole answers stay whole and broken ones broken, in every dialect, streamed and folded. */
function checkEvents(random: Random, events: readonly HubEvent[]): void {
  assertGrammar(events)
  const context = makeContext(random)
  const dialect = DIALECTS[pick(random, DIALECT_NAMES)]
  const again = throughWire(dialect, events, context)
  assertGrammar(again)
  strictEqual(last(again)?.type, last(events)?.type, `in ${dialect.name}: ${JSON.stringify(last(again))} of ${JSON.stringify(last(events))}`)
  const reply = tryDario(() => foldEvents(events))
  if (reply instanceof DarioError) return void strictEqual(last(events)?.type, 'error')
  const whole = JSON.parse(JSON.stringify(dialect.encodeReply(reply, context))) as JsonObject
  const fromWhole = dialect.decodeReply(whole, { toolNames: new Map(), newId: createIds() })
  assertGrammar(fromWhole)
  strictEqual(last(fromWhole)?.type, 'end', JSON.stringify(whole))
}

function makeStream(random: Random, name: DialectName): Json[] {
  const seed = pick(random, STREAMS[name])
  const events: Json[] = [...seed]
  for (let left = random(4); left > 0; left--) {
    const at = random(events.length), event = events[at] ?? null
    switch (random(6)) {
      case 0: events.splice(at, 1); break
      case 1: events.splice(random(events.length + 1), 0, event); break
      case 2: events.length = at; break
      case 3: events.splice(at, 0, pick(random, pick(random, STREAMS[pick(random, DIALECT_NAMES)])) ?? null); break
      default: events[at] = mutateJson(random, event, pick(random, seed) ?? null)
    }
  }
  return events
}

const typeOf = (event: Json): string | undefined => {
  const type = toObject(event)['type']
  return typeof type === 'string' && !/[\r\n]/.test(type) && type !== '' ? type : undefined
}

const stream: Check = (random) => {
  const name = pick(random, DIALECT_NAMES)
  const dialect = DIALECTS[name]
  const decoder = dialect.createStreamDecoder({ toolNames: new Map(), newId: createIds() })
  const events: HubEvent[] = []
  for (const json of makeStream(random, name)) {
    const event = { event: name === 'chat' ? undefined : typeOf(json), data: random(100) === 0 ? mutateText(random, JSON.stringify(json)) : JSON.stringify(json) }
    dialect.isPreamble(event)
    dialect.endOf(event)
    dialect.readUsage(toObject(json))
    events.push(...decoder.push(event))
  }
  if (name === 'chat' && random(2) === 0) events.push(...decoder.push({ event: undefined, data: '[DONE]' }))
  checkEvents(random, [...events, ...decoder.end()])
}

const whole: Check = (random) => {
  const name = pick(random, DIALECT_NAMES)
  const body = random(20) === 0 ? makeJson(random) : mutateJson(random, pick(random, WHOLES[random(10) === 0 ? pick(random, DIALECT_NAMES) : name]))
  const decoded = tryDario(() => DIALECTS[name].decodeReply(toObject(body), { toolNames: new Map(), newId: createIds() }))
  if (decoded instanceof DarioError) return
  checkEvents(random, decoded)
}

/** The bridge as the exchange drives it: bytes cut anywhere, broken anywhere, from any dialect to any. */
const bridge: Check = (random) => {
  const [from, to] = [pick(random, DIALECT_NAMES), pick(random, DIALECT_NAMES)]
  const upstreamStreams = random(4) > 0
  const text = upstreamStreams
    ? makeStream(random, from).map((event) => encodeSse(typeOf(event), JSON.stringify(event))).join('') + (from === 'chat' ? 'data: [DONE]\n\n' : '')
    : JSON.stringify(random(10) === 0 ? makeJson(random) : mutateJson(random, pick(random, WHOLES[from])))
  const bytes = mutateBytes(random, Buffer.from(random(3) === 0 ? mutateText(random, text) : text))
  const options = { from: DIALECTS[from], to: DIALECTS[to], encoded: undefined, context: makeContext(random), stream: random(2) === 0, upstreamStreams, watch: () => {} }
  const answer = createAnswer(options)
  const out = tryDario(() => cutAnywhere(bytes, random, 8).map((piece) => answer.push(piece)).join('') + answer.finish())
  if (out instanceof DarioError) return
  ok(answer.complete !== (answer.error !== undefined), 'an answer is either complete or broken')
  if (!options.stream) return void strictEqual(tryDario(() => answer.reply()) instanceof DarioError, !answer.complete)
  const read = createSseDecoder()
  const decoder = DIALECTS[to].createStreamDecoder({ toolNames: new Map(), newId: createIds() })
  const rest = answer.error === undefined ? '' : answer.fail(answer.error)
  const events = [...read.push(out + rest), ...read.end()].flatMap((event) => decoder.push(event))
  strictEqual(last([...events, ...decoder.end()])?.type, answer.complete ? 'end' : 'error', out + rest)
}

const ERRORS: readonly Json[] = [
  { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' }, request_id: 'r' }, { error: { message: 'no', type: 'invalid_request_error', code: 'context_length_exceeded', param: 'messages' } },
  { error: 'text' }, { message: 'm', code: 400 }, { detail: [{ loc: ['a'], msg: 'm', type: 't' }] }, [{ error: { code: 429, message: 'm', status: 'RESOURCE_EXHAUSTED' } }], { error: { metadata: { raw: '{"error":{}}' } } }, '<html><body>502</body></html>',
]

const errors: Check = (random) => {
  const seed = mutateJson(random, pick(random, ERRORS), pick(random, ERRORS))
  const text = mutateText(random, typeof seed === 'string' ? seed : JSON.stringify(seed))
  const error = DIALECTS[pick(random, DIALECT_NAMES)].decodeError(pick(random, [200, 400, 401, 403, 404, 413, 429, 500, 503, 529, 599]), text)
  ok(error instanceof DarioError && error.message !== '')
  const dialect = DIALECTS[pick(random, DIALECT_NAMES)]
  dialect.readRepairs(error, pick(random, MODELS))
  const { status, body } = dialect.encodeError(error, 'req_1')
  ok(Number.isInteger(status) && status >= 400 && status <= 599, `status ${status}`)
  JSON.stringify(body)
  const sse = createSseDecoder()
  const decoder = dialect.createStreamDecoder({ toolNames: new Map(), newId: createIds() })
  const events = sse.push(dialect.encodeStreamError(error, 'req_1')).flatMap((event) => decoder.push(event))
  strictEqual(last([...events, ...decoder.end()])?.type, 'error')
}

/** What the plan backend makes of a request: argv, environment, transcript, results for the bridge. */
const plan: Check = (random) => {
  const body = mutateJson(random, REQUESTS.anthropic[0] ?? null)
  const read = tryDario(() => readRequest(Buffer.from(JSON.stringify(body)), pick(random, ['opus', 'claude-x', '../x', '--evil', 'a b', 'x\n'])))
  if (read instanceof DarioError) return
  ok(/^[A-Za-z0-9][^\s]*$/.test(read.settings.model), read.settings.model)
  for (const line of encodeTranscript(read.turns, 'm', 0, createIds().bind(undefined, 'u')).trim().split('\n')) JSON.parse(line)
  strictEqual(hashTurns(read.turns).length, read.turns.length)
  for (const { blocks } of read.turns) {
    callsOf(blocks)
    JSON.stringify([encodeContent(blocks), quoteHistory(read.turns)])
    for (const block of blocks) if (isResult(block)) encodeResult(block)
  }
}

const STOPS: readonly StopReason[] = ['end_turn', 'max_tokens', 'tool_use', 'refusal']

/** A good answer of texts and calls keeps them, whatever dialect carries it. */
const roundTrip: Check = (random) => {
  const events: HubEvent[] = [{ type: 'start', id: 'id_1', model: 'm' }]
  const calls: [string, Json][] = []
  let said = ''
  for (let index = 0, count = 1 + random(4); index < count; index++) {
    const isCall = random(2) === 0
    const input = JSON.parse(JSON.stringify(toObject(makeJson(random, 2)))) as JsonObject // without -0
    const text = isCall ? JSON.stringify(input) : Buffer.from(mutateText(random, pick(random, ['Hello world', 'x\ny', '💥é']))).toString()
    if (text.trim() === '') continue
    events.push({ type: 'block_start', index, block: isCall ? { type: 'tool_use', id: `call_${index}`, name: 'get', input: '' } : { type: 'text', text: '' } })
    for (const piece of cutAnywhere(text, random, 5)) events.push({ type: 'delta', index, text: piece })
    events.push({ type: 'block_end', index })
    if (isCall) calls.push([`call_${index}`, input])
    else said += text
  }
  const stop = calls.length > 0 ? 'tool_use' : pick(random, STOPS.filter((word) => word !== 'tool_use'))
  events.push({ type: 'end', stop, usage: { input: 5, cacheRead: 2, cacheWrite: 0, output: 3 } })
  const dialect = DIALECTS[pick(random, DIALECT_NAMES)]
  const context = makeContext(random)
  const reply = foldEvents(random(2) === 0 ? throughWire(dialect, events, context)
    : dialect.decodeReply(JSON.parse(JSON.stringify(dialect.encodeReply(foldEvents(events), context))) as JsonObject, { toolNames: new Map(), newId: createIds() }))
  const found = reply.blocks.flatMap((block) => (block.type === 'tool_use' ? [[block.id, JSON.parse(block.input) as Json]] : []))
  deepStrictEqual(found, calls)
  strictEqual(reply.blocks.map((block) => (block.type === 'text' || block.type === 'refusal' ? block.text : '')).join(''), said)
  if (context.request.streamUsage) strictEqual(reply.usage.output, 3)
}

export const DIALECT_CHECKS: Readonly<Record<string, Check>> = { request, repairs, stream, whole, bridge, errors, plan, 'answer round trip': roundTrip }
