/**
 * Independent readers for Responses tests: a strict client that checks the chain of every item, and the shortest
 * way to decode a stream.
 * @module
 */
import assert from 'node:assert/strict'
import { createStreamDecoder } from '../../src/dialects/responses/decode-stream.ts'
import type { ReplyContext, ToolIdentity } from '../../src/dialects/dialect.ts'
import { decodeRequest } from '../../src/dialects/responses/decode-request.ts'
import type { HubEvent, JsonObject } from '../../src/hub/types.ts'
import { createSseDecoder } from '../../src/sse.ts'

export function countingIds(): (prefix: string) => string {
  let count = 0
  return (prefix) => `${prefix}${++count}`
}

export function decodePieces(pieces: Iterable<string>, toolNames: ReadonlyMap<string, ToolIdentity> = new Map()): HubEvent[] {
  const sse = createSseDecoder()
  const decoder = createStreamDecoder({ toolNames, newId: countingIds() })
  const events: HubEvent[] = []
  for (const piece of pieces) for (const event of sse.push(piece)) events.push(...decoder.push(event))
  for (const event of sse.end()) events.push(...decoder.push(event))
  return [...events, ...decoder.end()]
}

export const toSse = (events: readonly JsonObject[]): string => {
  return events.map((event) => `event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}

export const decodeEvents = (...events: JsonObject[]): HubEvent[] => decodePieces([toSse(events)])

export function replyContext(body: JsonObject = {}, more: Partial<ReplyContext> = {}): ReplyContext {
  const { request } = decodeRequest({ model: 'sonnet', input: 'hi', ...body })
  return { request, model: request.model, created: 1_700_000_000, newId: countingIds(), ...more }
}

/** Parses our SSE text. */
export function readEmitted(text: string): JsonObject[] {
  return text.split('\n\n').filter((frame) => frame !== '' && !frame.startsWith(':')).map((frame) => {
    const [event, data, ...rest] = frame.split('\n')
    assert.equal(rest.length, 0, 'one event and one data line')
    const json = JSON.parse(data!.slice('data: '.length)) as JsonObject
    assert.equal(event, `event: ${String(json['type'])}`)
    return json
  })
}

/** The chain of one item as a strict client tracks it. */
interface Chain {
  item: JsonObject
  parts: Map<string, { text: string; done: boolean }>
  input: string
  inputDone: boolean
  done: boolean
}

const str = (value: unknown): string => {
  assert.equal(typeof value, 'string')
  return value as string
}

/** Fails on any event that a strict client would not expect there; returns the final response. */
export function checkChain(events: readonly JsonObject[]): JsonObject {
  const items: Chain[] = []
  let id: unknown
  let final: JsonObject | undefined
  assert.deepEqual(events.slice(0, 2).map((event) => event['type']), ['response.created', 'response.in_progress'])
  for (const [position, event] of events.entries()) {
    const type = str(event['type'])
    assert.equal(event['sequence_number'], position, 'sequence numbers ascend by one')
    assert.equal(final, undefined, `nothing after the end, yet ${type}`)
    const response = event['response'] as JsonObject | undefined
    if (response !== undefined) {
      id ??= response['id']
      assert.equal(response['id'], id, 'R11: one id')
      checkResponse(response)
      if (!['response.created', 'response.in_progress'].includes(type)) final = response
      continue
    }
    checkItemEvent(event, type, items)
  }
  assert.notEqual(final, undefined, 'R2: ends')
  if (final!['status'] !== 'completed') return final!
  assert.deepEqual(items.map((chain) => chain.done), items.map(() => true), 'R3: every item is done')
  assert.deepEqual(final!['output'], items.map((chain) => chain.item), 'the output repeats the finished items')
  return final!
}

function checkItemEvent(event: JsonObject, type: string, items: Chain[]): void {
  const index = event['output_index'] as number
  const item = event['item'] as JsonObject | undefined
  if (type === 'response.output_item.added') {
    assert.equal(index, items.length, 'R10: each item takes the next number')
    items.push({ item: item!, parts: new Map(), input: '', inputDone: false, done: false })
    return
  }
  const chain = items[index]
  assert.ok(chain !== undefined, `${type} belongs to an item that was added`)
  assert.equal(chain.done, false, `${type} comes before its item is done`)
  if (type === 'response.output_item.done') {
    assert.equal(item!['id'], chain.item['id'], 'one id per item')
    checkDone(item!, chain)
    chain.item = item!
    chain.done = true
    return
  }
  assert.equal(event['item_id'], chain.item['id'], 'one id per item')
  checkContent(event, type, chain)
}

function checkContent(event: JsonObject, type: string, chain: Chain): void {
  const key = String(event['content_index'] ?? event['summary_index'])
  const part = chain.parts.get(key)
  switch (type) {
    case 'response.content_part.added':
    case 'response.reasoning_summary_part.added':
      assert.equal(part, undefined, 'a part opens once')
      assert.equal(key, String(chain.parts.size), 'parts ascend')
      chain.parts.set(key, { text: '', done: false })
      return
    case 'response.output_text.delta':
    case 'response.refusal.delta':
    case 'response.reasoning_summary_text.delta':
      assert.ok(part !== undefined && !part.done, 'R9: a delta needs an open part')
      if (type === 'response.output_text.delta') assert.deepEqual(event['logprobs'], [])
      part.text += str(event['delta'])
      return
    case 'response.output_text.done':
    case 'response.refusal.done':
    case 'response.reasoning_summary_text.done':
      assert.equal(str(event['text'] ?? event['refusal']), part?.text, 'done repeats the deltas')
      return
    case 'response.content_part.done':
    case 'response.reasoning_summary_part.done': {
      const value = event['part'] as JsonObject
      assert.equal(value['text'] ?? value['refusal'], part?.text)
      part!.done = true
      return
    }
    case 'response.function_call_arguments.delta':
    case 'response.custom_tool_call_input.delta':
      assert.equal(chain.inputDone, false)
      chain.input += str(event['delta'])
      return
    case 'response.function_call_arguments.done':
    case 'response.custom_tool_call_input.done':
      assert.equal(str(event['arguments'] ?? event['input']), chain.input, 'done repeats the deltas')
      chain.inputDone = true
      return
    default: assert.fail(`unknown event ${type}`)
  }
}

function checkDone(item: JsonObject, chain: Chain): void {
  for (const part of chain.parts.values()) assert.equal(part.done, true, 'parts are done before their item')
  if (item['type'] === 'message') {
    const content = item['content'] as JsonObject[]
    assert.deepEqual(content.map((part) => part['text'] ?? part['refusal']), [...chain.parts.values()].map((part) => part.text))
    assert.equal(item['role'], 'assistant')
  }
  if (item['type'] === 'reasoning') {
    assert.deepEqual((item['summary'] as JsonObject[]).map((part) => part['text']), [...chain.parts.values()].map((part) => part.text))
  }
  if (item['type'] === 'function_call' || item['type'] === 'custom_tool_call') {
    assert.equal(chain.inputDone, true)
    assert.equal(item['arguments'] ?? item['input'], chain.input)
    assert.ok(str(item['call_id']) !== '' && str(item['name']) !== '')
  }
}

/** Members that typed SDKs insist on. */
function checkResponse(response: JsonObject): void {
  assert.equal(response['object'], 'response')
  assert.equal(typeof response['created_at'], 'number')
  assert.equal(typeof response['model'], 'string')
  for (const field of ['error', 'incomplete_details', 'instructions', 'metadata', 'parallel_tool_calls', 'temperature',
    'tool_choice', 'tools', 'top_p', 'usage', 'text', 'reasoning', 'store', 'previous_response_id', 'completed_at',
    'presence_penalty', 'frequency_penalty']) {
    assert.equal(field in response, true, `the response has ${field}`)
  }
  const usage = response['usage'] as JsonObject | null
  if (usage === null) return
  assert.equal(typeof (usage['input_tokens_details'] as JsonObject)['cached_tokens'], 'number', 'R12')
  assert.equal(typeof (usage['output_tokens_details'] as JsonObject)['reasoning_tokens'], 'number', 'R12')
  assert.equal(usage['total_tokens'], (usage['input_tokens'] as number) + (usage['output_tokens'] as number))
}
