/**
 * One upstream that speaks all three dialects and counts, in the normal form, what it told of each answer's usage.
 * @module
 */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import type { Usage } from '../../src/index.ts'
import { sendJson, startUpstream } from './upstream.ts'
import type { TestUpstream } from './upstream.ts'

type Counted = Required<Omit<Usage, 'cacheWriteHour'>>

export interface Vendors extends TestUpstream {
  /** Sums of what was told. */
  told: Counted
}

type Json = Record<string, unknown>

/** A user text of `wait` gets the beginning of a stream and then nothing more; `fail` gets a 400. */
export async function startVendors(context: TestContext, random: () => number = Math.random): Promise<Vendors> {
  const told: Counted = { input: 0, cacheRead: 0, cacheWrite: 0, output: 0, reasoning: 0 }
  const upstream = await startUpstream(context, async (request, response) => {
    if (request.method === 'GET') return sendJson(response, 404, { error: { message: 'no list' } })
    const body = JSON.parse(request.body.toString()) as Json
    if (request.body.includes('"fail"')) return sendJson(response, 400, { type: 'error', error: { type: 'invalid_request_error', message: 'as asked' } })
    const wait = request.body.includes('"wait"')
    const count = (): number => 1 + Math.floor(random() * 1000)
    const usage = { input: count(), cacheRead: count(), cacheWrite: count(), output: 1 + count(), reasoning: 1 }
    const answer = request.url.startsWith('/v1/messages') ? anthropic(usage) : request.url.startsWith('/v1/chat') ? chat(usage, body) : responses(usage)
    if (wait) return await hold(response, answer)
    for (const [name, value] of Object.entries(answer.all)) told[name as keyof Counted] += value ?? 0
    if (body['stream'] !== true) return sendJson(response, 200, answer.whole)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(answer.events.map(toSse).join('') + answer.last)
  })
  
  async function hold(response: ServerResponse, { begin, events }: Answer): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(events.slice(0, 3).map(toSse).join(''))
    for (const [name, value] of Object.entries(begin)) told[name as keyof Counted] += value ?? 0
    await once(response, 'close')
  }
  return { ...upstream, told }
}

interface Answer {
  whole: Json
  events: Json[]
  last: string
  /** What a whole answer tells, and what its first events do. */
  all: Partial<Usage>
  begin: Partial<Usage>
}

function toSse(event: Json): string {
  return `${typeof event['type'] === 'string' ? `event: ${event['type']}\n` : ''}data: ${JSON.stringify(event)}\n\n`
}

function anthropic({ reasoning: _, ...all }: Counted): Answer {
  const tokens = { input_tokens: all.input, cache_read_input_tokens: all.cacheRead, cache_creation_input_tokens: all.cacheWrite }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', stop_sequence: null }
  return {
    all, begin: { ...all, output: 1 }, last: '',
    whole: { ...message, content: [{ type: 'text', text: 'hi' }], stop_reason: 'end_turn', usage: { ...tokens, output_tokens: all.output } },
    events: [
      { type: 'message_start', message: { ...message, content: [], stop_reason: null, usage: { ...tokens, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'hi' } },
      { type: 'content_block_stop', index: 0 },
      // Newer servers repeat the input here: a snapshot, not an increment.
      { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { ...tokens, output_tokens: all.output } },
      { type: 'message_stop' },
    ],
  }
}

function chat(counted: Counted, body: Json): Answer {
  const { cacheWrite: _, ...all } = counted
  const usage = {
    prompt_tokens: all.input + all.cacheRead, completion_tokens: all.output, total_tokens: all.input + all.cacheRead + all.output,
    prompt_tokens_details: { cached_tokens: all.cacheRead }, completion_tokens_details: { reasoning_tokens: all.reasoning },
  }
  const base = { id: 'chatcmpl-1', created: 1, model: 'm' }
  const chunk = (delta: Json, finish: string | null): Json => (
    { ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })
  const asked = (body['stream_options'] as { include_usage?: boolean } | undefined)?.include_usage === true
  const told = body['stream'] === true && !asked ? {} : all
  return {
    all: told, begin: {}, last: 'data: [DONE]\n\n',
    whole: { ...base, object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }], usage },
    events: [
      chunk({ role: 'assistant', content: '' }, null), chunk({ content: 'h' }, null), chunk({ content: 'i' }, null), chunk({}, 'stop'),
      ...(asked ? [{ ...base, object: 'chat.completion.chunk', choices: [], usage }] : []),
    ],
  }
}

function responses(counted: Counted): Answer {
  const { cacheWrite: _, ...all } = counted
  const usage = {
    input_tokens: all.input + all.cacheRead, output_tokens: all.output, total_tokens: all.input + all.cacheRead + all.output,
    input_tokens_details: { cached_tokens: all.cacheRead }, output_tokens_details: { reasoning_tokens: all.reasoning },
  }
  const part = { type: 'output_text', text: 'hi', annotations: [] }
  const item = { id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [part] }
  const open = { id: 'resp_1', object: 'response', created_at: 1, model: 'm', status: 'in_progress', output: [] }
  const whole = { ...open, status: 'completed', output: [item], usage }
  const at = { item_id: 'msg_1', output_index: 0, content_index: 0 }
  return {
    all, begin: {}, last: '', whole,
    events: [
      { type: 'response.created', response: open, sequence_number: 0 },
      { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] }, sequence_number: 1 },
      { type: 'response.output_text.delta', ...at, delta: 'hi', sequence_number: 2 },
      { type: 'response.output_text.done', ...at, text: 'hi', sequence_number: 3 },
      { type: 'response.output_item.done', output_index: 0, item, sequence_number: 4 },
      { type: 'response.completed', response: whole, sequence_number: 5 },
    ],
  }
}
