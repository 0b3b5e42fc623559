/**
 * A short answer, "Hello world", as each dialect's vendor sends it, cut where tests like to cut; and how to ask for it.
 * @module
 */
import type { DialectName, JsonObject } from '../../src/hub/types.ts'
import { encodeSse } from '../../src/sse.ts'

export const PATHS: Readonly<Record<DialectName, string>> = {
  anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses',
}
export const DIALECTS = Object.keys(PATHS) as DialectName[]
/** All nine pairs: who asks, who answers. */
export const PAIRS: (readonly [client: DialectName, backend: DialectName])[] = DIALECTS.flatMap((client) =>
  DIALECTS.map((backend) => [client, backend] as const))

/** What a client of the dialect waits for before it believes that an answer is whole. */
export const END_MARKS: Readonly<Record<DialectName, RegExp>> = {
  anthropic: /message_stop/, chat: /\[DONE\]|"finish_reason":"stop"/, responses: /response\.completed/,
}
/** An error inside a stream, in the dialect's own words. */
export const STREAM_ERRORS: Readonly<Record<DialectName, RegExp>> = {
  anthropic: /event: error\ndata: \{"type":"error"/, chat: /data: \{"error":\{"message":/, responses: /event: response\.failed\n/,
}

interface Parts { preamble: string; content: string[]; end: string }

const frame = (data: JsonObject): string => encodeSse(data['type'] as string, data)
const message = { id: 'msg_up', type: 'message', role: 'assistant', model: 'm', content: [], stop_reason: null, stop_sequence: null }
const usage = { input_tokens: 3, output_tokens: 2 }
const chunk = (delta: JsonObject, finish: string | null = null): string => encodeSse(undefined, {
  id: 'chatcmpl-up', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }],
})
const item = { id: 'msg_up', type: 'message', role: 'assistant' }
const text = { type: 'output_text', text: 'Hello world', annotations: [] }
const response = { id: 'resp_up', object: 'response', created_at: 1, model: 'm' }
const at = { item_id: 'msg_up', output_index: 0, content_index: 0 }

export const STREAMS: Readonly<Record<DialectName, Parts>> = {
  anthropic: {
    preamble: frame({ type: 'message_start', message: { ...message, usage } }),
    content: [
      frame({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }) +
        frame({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hello' } }),
      frame({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: ' world' } }),
    ],
    end: frame({ type: 'content_block_stop', index: 0 }) +
      frame({ type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage }) + frame({ type: 'message_stop' }),
  },
  chat: {
    preamble: chunk({ role: 'assistant', content: '' }),
    content: [chunk({ content: 'Hello' }), chunk({ content: ' world' })],
    end: `${chunk({}, 'stop')}data: [DONE]\n\n`,
  },
  responses: {
    preamble: frame({ type: 'response.created', response: { ...response, status: 'in_progress', output: [] } }),
    content: [
      frame({ type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } }) +
        frame({ type: 'response.content_part.added', ...at, part: { ...text, text: '' } }) +
        frame({ type: 'response.output_text.delta', ...at, delta: 'Hello' }),
      frame({ type: 'response.output_text.delta', ...at, delta: ' world' }),
    ],
    end: frame({ type: 'response.output_text.done', ...at, text: 'Hello world' }) +
      frame({ type: 'response.content_part.done', ...at, part: text }) +
      frame({ type: 'response.output_item.done', output_index: 0, item: { ...item, status: 'completed', content: [text] } }) +
      frame({ type: 'response.completed', response: { ...response, status: 'completed', output: [{ ...item, status: 'completed', content: [text] }], usage } }),
  },
}

export const WHOLES: Readonly<Record<DialectName, JsonObject>> = {
  anthropic: { ...message, content: [{ type: 'text', text: 'Hello world' }], stop_reason: 'end_turn', usage },
  chat: {
    id: 'chatcmpl-up', object: 'chat.completion', created: 1, model: 'm', usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hello world' }, finish_reason: 'stop' }],
  },
  responses: { ...response, status: 'completed', output: [{ ...item, status: 'completed', content: [text] }], usage },
}

export const wholeStream = (dialect: DialectName): string => {
  const { preamble, content, end } = STREAMS[dialect]
  return preamble + content.join('') + end
}

/** A request that every backend would take. */
export function makeRequest(dialect: DialectName, model: string, more: JsonObject = {}): JsonObject {
  const turn = [{ role: 'user', content: 'Hi' }]
  if (dialect === 'responses') return { model, input: turn, ...more }
  return dialect === 'anthropic' ? { model, max_tokens: 100, messages: turn, ...more } : { model, messages: turn, ...more }
}

export function ask(
  url: string, dialect: DialectName, model: string, more: JsonObject = {}, init: RequestInit = {},
): Promise<Response> {
  return fetch(url + PATHS[dialect], {
    method: 'POST', body: JSON.stringify(makeRequest(dialect, model, more)), ...init,
    headers: { 'content-type': 'application/json', ...init.headers as Record<string, string> },
  })
}

/** The vendor's error body and the words that a client of the dialect looks for. */
export function makeError(dialect: DialectName, type: string, message: string): JsonObject {
  return dialect === 'anthropic' ? { type: 'error', error: { type, message } } : { error: { message, type, code: null, param: null } }
}
