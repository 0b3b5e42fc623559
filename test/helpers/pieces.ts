/**
 * Small honest answers in each dialect, streamed and whole, and the pieces of which broken ones are made.
 * @module
 */
import type { DialectName, JsonObject } from '../../src/hub/types.ts'

/** Where each dialect is asked. */
export const PATHS: Record<DialectName, string> = {
  anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses',
}

function frame(data: JsonObject): string {
  const { type } = data
  return `${typeof type === 'string' ? `event: ${type}\n` : ''}data: ${JSON.stringify(data)}\n\n`
}

function chatChunk(delta: JsonObject, finish: string | null = null): string {
  return frame({ id: 'chatcmpl_1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })
}

/** What comes before any content. */
export function preamble(dialect: DialectName): string {
  switch (dialect) {
    case 'anthropic': return frame({
      type: 'message_start',
      message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 5, output_tokens: 1 } },
    }) + frame({ type: 'ping' })
    case 'chat': return chatChunk({ role: 'assistant', content: '' })
    case 'responses': return frame({ type: 'response.created', sequence_number: 0, response: response('in_progress', []) })
      + frame({ type: 'response.in_progress', sequence_number: 1, response: response('in_progress', []) })
  }
}

/** The first part of the content: `preamble + content + ending` is a whole stream. */
export function content(dialect: DialectName, text: string): string {
  switch (dialect) {
    case 'anthropic': return frame({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
      + frame({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
    case 'chat': return chatChunk({ content: text })
    case 'responses': return frame({ type: 'response.output_item.added', sequence_number: 2, output_index: 0, item: { ...message(''), status: 'in_progress', content: [] } })
      + frame({ type: 'response.content_part.added', sequence_number: 3, item_id: 'msg_1', output_index: 0, content_index: 0, part: part('') })
      + frame({ type: 'response.output_text.delta', sequence_number: 4, item_id: 'msg_1', output_index: 0, content_index: 0, delta: text })
  }
}

export function ending(dialect: DialectName, text: string): string {
  switch (dialect) {
    case 'anthropic': return frame({ type: 'content_block_stop', index: 0 })
      + frame({ type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 3 } })
      + frame({ type: 'message_stop' })
    case 'chat': return `${chatChunk({}, 'stop')}data: [DONE]\n\n`
    case 'responses': return frame({ type: 'response.output_text.done', sequence_number: 5, item_id: 'msg_1', output_index: 0, content_index: 0, text })
      + frame({ type: 'response.content_part.done', sequence_number: 6, item_id: 'msg_1', output_index: 0, content_index: 0, part: part(text) })
      + frame({ type: 'response.output_item.done', sequence_number: 7, output_index: 0, item: message(text) })
      + frame({ type: 'response.completed', sequence_number: 8, response: response('completed', [message(text)]) })
  }
}

export function stream(dialect: DialectName, text: string): string {
  return preamble(dialect) + content(dialect, text) + ending(dialect, text)
}

export function whole(dialect: DialectName, text: string): JsonObject {
  switch (dialect) {
    case 'anthropic': return {
      id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [{ type: 'text', text }], stop_reason: 'end_turn', stop_sequence: null,
      usage: { input_tokens: 5, output_tokens: 3 },
    }
    case 'chat': return {
      id: 'chatcmpl_1', object: 'chat.completion', created: 1, model: 'm',
      choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    }
    case 'responses': return response('completed', [message(text)])
  }
}

export function errorBody(dialect: DialectName, type: string, message: string): JsonObject {
  return dialect === 'anthropic' ? { type: 'error', error: { type, message } } : { error: { message, type, code: type, param: null } }
}

/** An error event inside a stream, in the vendor's words. */
export function errorEvent(dialect: DialectName): string {
  switch (dialect) {
    case 'anthropic': return frame(errorBody('anthropic', 'overloaded_error', 'Overloaded'))
    case 'chat': return frame(errorBody('chat', 'server_error', 'The server had an error'))
    case 'responses': return frame({
      type: 'response.failed', sequence_number: 2,
      response: { ...response('failed', []), error: { code: 'server_is_overloaded', message: 'Overloaded' } },
    })
  }
}

/** A minimal request that every dialect's API takes. */
export function request(dialect: DialectName, text: string, options: { model?: string; stream?: boolean; session?: string } = {}): JsonObject {
  const { model = 'm', stream = false, session } = options
  const common = { model, stream }
  if (dialect === 'responses') return { ...common, input: text, ...(session !== undefined && { prompt_cache_key: session }) }
  const messages = [{ role: 'user', content: text }]
  if (dialect === 'chat') return { ...common, messages, ...(session !== undefined && { prompt_cache_key: session }) }
  return { ...common, max_tokens: 100, messages, ...(session !== undefined && { metadata: { user_id: session } }) }
}

function response(status: string, output: JsonObject[]): JsonObject {
  const usage = status === 'completed' ? { input_tokens: 5, output_tokens: 3, total_tokens: 8 } : null
  return { id: 'resp_1', object: 'response', created_at: 1, model: 'm', status, output, error: null, incomplete_details: null, usage }
}

function message(text: string): JsonObject {
  return { id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [part(text)] }
}

function part(text: string): JsonObject {
  return { type: 'output_text', text, annotations: [] }
}
