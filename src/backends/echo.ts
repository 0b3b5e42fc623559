/**
 * The built-in backend: it needs nothing and answers with what it was asked, in Anthropic's dialect, word by word.
 * A user text `call NAME {json}` calls the client's tool NAME, so that a tool's wiring can be tried without a token.
 * @module
 */
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { parseObject } from '../hub/json.ts'
import type { JsonObject } from '../hub/types.ts'
import { encodeSse } from '../sse.ts'
import type { Backend, Call, Signal, Upstream } from './backend.ts'
import { createBody, fromReadable } from './source.ts'

export interface EchoDependencies {
  newId: (prefix: string) => string
  /** Tokens of a Messages request body. */
  estimateTokens: (body: JsonObject) => number
}

type Answer = { text: string } | { tool: string; input: JsonObject }

const MODEL = { type: 'model', id: 'echo', display_name: 'Echo', created_at: '2026-01-01T00:00:00Z' }

export function createEcho(id: string, { newId, estimateTokens }: EchoDependencies): Backend {
  function answer(call: Call, signal: Signal): Upstream {
    const path = call.path.split('?')[0] ?? ''
    if (path === '/v1/models') return toJson(200, { data: [MODEL], has_more: false, first_id: MODEL.id, last_id: MODEL.id })
    if (path.startsWith('/v1/models/'))
      return toJson(200, { ...MODEL, id: decodeURIComponent(path.slice('/v1/models/'.length)) })
    if (path !== '/v1/messages' && path !== '/v1/messages/count_tokens') {
      const sentence = `echo has no ${path}; it answers /v1/messages, /v1/messages/count_tokens and /v1/models`
      return toJson(404, toError('not_found_error', sentence))
    }
    const body = parseObject(String(call.body))
    if (body === undefined) return toJson(400, toError('invalid_request_error', 'the body must be a JSON object'))
    const input = estimateTokens(body)
    if (path.endsWith('/count_tokens')) return toJson(200, { input_tokens: input })
    const said = toAnswer(body)
    const output = estimateTokens({ messages: [{ role: 'assistant', content: 'text' in said ? said.text : JSON.stringify(said) }] })
    const usage = { input_tokens: input, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: output }
    const block = 'text' in said ? { type: 'text', text: said.text }
      : { type: 'tool_use', id: newId('toolu_'), name: said.tool, input: said.input }
    const ending = { stop_reason: 'text' in said ? 'end_turn' : 'tool_use', stop_sequence: null }
    const message = { id: newId('msg_'), type: 'message', role: 'assistant', model: call.model, content: [block], ...ending, usage }
    if (body['stream'] !== true) return toJson(200, message)
    const opening = { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } }
    const frames = toFrames(opening, block, ending, usage)
    const readable = Readable.from(frames, { objectMode: false })
    const abort = (): void => void readable.destroy(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    readable.once('close', () => signal.removeEventListener('abort', abort))
    return { status: 200, headers: { 'content-type': 'text/event-stream; charset=utf-8' }, body: fromReadable(readable) }
  }

  return {
    id, type: 'echo', speaks: ['anthropic'], keys: [], host: undefined,
    async send(call, _key, signal) {
      signal.throwIfAborted()
      return answer(call, signal)
    },
    async close() {},
  }
}

/** One word per turn of the event loop, so that it arrives as a stream does; the reader sets the pace. */
async function* toFrames(message: JsonObject, block: JsonObject, ending: JsonObject, usage: JsonObject): AsyncGenerator<string> {
  const text = typeof block['text'] === 'string' ? block['text'] : undefined
  yield toFrame({ type: 'message_start', message })
  const empty = text === undefined ? { input: {} } : { text: '' }
  yield toFrame({ type: 'content_block_start', index: 0, content_block: { ...block, ...empty } })
  for (const piece of (text ?? JSON.stringify(block['input'])).split(/(?<=\s)(?=\S)/)) {
    await setImmediate()
    const delta = text === undefined ? { type: 'input_json_delta', partial_json: piece } : { type: 'text_delta', text: piece }
    yield toFrame({ type: 'content_block_delta', index: 0, delta })
  }
  yield toFrame({ type: 'content_block_stop', index: 0 })
  yield toFrame({ type: 'message_delta', delta: ending, usage })
  yield toFrame({ type: 'message_stop' })
}

function toAnswer(body: JsonObject): Answer {
  const last = toObjects(body['messages']).findLast((message) => message['role'] === 'user')
  const content = last?.['content']
  const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : toObjects(content)
  const results = blocks.filter((block) => block['type'] === 'tool_result')
  if (results.length > 0)
    return { text: results.map((result) => toText(result['content'])).join('\n') || 'The tool returned no text.' }
  const asked = blocks.findLast((block) => block['type'] === 'text')?.['text']
  const [, tool, json] = /^call (\S{1,200})\s*(\{.*\})?$/s.exec(String(asked).trim()) ?? []
  if (tool === undefined) return { text: typeof asked === 'string' && asked !== '' ? asked : 'There was no text to echo.' }
  const names = toObjects(body['tools']).map((entry) => entry['name'])
  if (!names.includes(tool)) return { text: `There is no tool ${tool}. The tools are: ${names.join(', ') || 'none'}.` }
  const input = parseObject(json ?? '{}')
  return input === undefined ? { text: `The input of ${tool} is not a JSON object: ${json}` } : { tool, input }
}

function toText(content: unknown): string {
  if (typeof content === 'string') return content
  return toObjects(content).map((block) => (typeof block['text'] === 'string' ? block['text'] : `[${String(block['type'])}]`)).join('\n')
}

function toObjects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'object' && entry !== null) as JsonObject[] : []
}

function toError(type: string, message: string): JsonObject {
  return { type: 'error', error: { type, message } }
}

function toJson(status: number, body: JsonObject): Upstream {
  const bytes = Buffer.from(JSON.stringify(body))
  return { status, headers: { 'content-type': 'application/json' }, body: createBody(bytes) }
}

function toFrame(event: JsonObject): string {
  return encodeSse(String(event['type']), event)
}
