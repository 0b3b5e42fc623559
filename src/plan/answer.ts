/**
 * The program's output lines as one answer in Anthropic's own stream events: unwrapped, tools renamed back, stop
 * sequences applied, failure reports turned into error envelopes. Pure: lines in, SSE text out.
 * https://docs.anthropic.com/en/docs/build-with-claude/streaming
 * @module
 */
import { isObject, parseObject, toFields } from '../hub/json.ts'
import type { Json, JsonObject } from '../hub/types.ts'
import { encodeSse } from '../sse.ts'
import { textOf } from './history.ts'
import { TOOL_PREFIX } from './request.ts'

export type AnswerEnd =
  /** `over`: the run cannot be asked again, since the program holds more, or would do more, than the client saw. */
  | { type: 'whole'; over: boolean }
  | { type: 'failed'; status: number; body: JsonObject }

export interface Answer {
  /** Takes one line; returns SSE text, '' for nothing. */
  push(line: JsonObject): string
  /** An event of the model was seen. */
  started: boolean
  end: AnswerEnd | undefined
  /** The answer so far, as a Messages object. */
  message: JsonObject
  /** Blocks so far, in order. */
  blocks: JsonObject[]
}

/** After any other reason the program would go on by itself: three more requests after `max_tokens`. */
const CALM = new Set(['end_turn', 'tool_use', 'stop_sequence'])

/** `names`: the client's name of each tool by the one that was sent. */
export function createAnswer(stop: readonly string[], names: ReadonlyMap<string, string>): Answer {
  const answer: Answer = { push, started: false, end: undefined, message: {}, blocks: [] }
  const parts = new Map<number, { block: JsonObject; input: string }>()
  let held = '' // text that may be the beginning of a stop sequence
  let foreign = false

  function push(line: JsonObject): string {
    if (answer.end !== undefined) return ''
    if (line['type'] === 'stream_event') return isObject(line['event']) ? take(line['event']) : ''
    const isSynthetic = line['type'] === 'assistant' && toFields(line['message'])['model'] === '<synthetic>'
    if (!isSynthetic && line['type'] !== 'result') return ''
    const failure = readFailure(line)
    answer.end = failure
    return answer.started ? frame(failure.body) : ''
  }

  function take(event: JsonObject): string {
    const index = Number(event['index'] ?? 0)
    switch (event['type']) {
      case 'message_start':
        answer.started = true
        answer.message = { ...toFields(event['message']) }
        return frame(event)
      case 'content_block_start': return frame({ ...event, content_block: open(index, event['content_block']) })
      case 'content_block_delta': return delta(index, event)
      case 'content_block_stop': return close(index) + frame(event)
      case 'message_delta': return conclude(event)
      case 'message_stop':
        // Without a stop reason the stream was cut: the program's failure report says why, or its `result` does.
        if (answer.message['stop_reason'] == null) return ''
        answer.end = { type: 'whole', over: foreign }
        return frame(event)
      default: return frame(event)
    }
  }

  function open(index: number, given: Json | undefined): JsonObject {
    const block = { ...toFields(given) }
    if (block['type'] === 'tool_use') {
      const sent = String(block['name']).replace(TOOL_PREFIX, '')
      foreign ||= !names.has(sent) // the program answers a tool that it does not know by itself
      block['name'] = names.get(sent) ?? sent
    }
    parts.set(index, { block, input: '' })
    answer.blocks.push(block)
    return block
  }

  function delta(index: number, event: JsonObject): string {
    const given = parts.get(index)
    const part = event['delta']
    if (given === undefined || !isObject(part)) return ''
    const { block } = given
    switch (part['type']) {
      case 'text_delta': {
        const words = held + String(part['text'])
        const cut = findStop(words, stop)
        const text = words.slice(0, cut.at)
        held = cut.word === undefined ? words.slice(cut.at) : ''
        const out = addText(block, text, { ...event, delta: { ...part, text } })
        return cut.word === undefined ? out : out + stopAt(index, cut.word)
      }
      case 'input_json_delta': given.input += String(part['partial_json']); break
      case 'thinking_delta': block['thinking'] = String(block['thinking'] ?? '') + String(part['thinking']); break
      case 'signature_delta': block['signature'] = part['signature']; break
      case 'citations_delta': {
        const before = Array.isArray(block['citations']) ? block['citations'] : []
        block['citations'] = [...before, part['citation'] ?? null]
      }
    }
    return frame(event)
  }

  function close(index: number): string {
    const part = parts.get(index)
    if (part === undefined) return ''
    if (part.input !== '') part.block['input'] = parseObject(part.input) ?? {} // what max_tokens has cut is no JSON
    const text = held
    held = ''
    return addText(part.block, text, { type: 'content_block_delta', index, delta: { type: 'text_delta', text } })
  }

  function addText(block: JsonObject, text: string, event: JsonObject): string {
    if (text === '') return ''
    block['text'] = String(block['text'] ?? '') + text
    return frame(event)
  }

  function conclude(event: JsonObject, ends = false): string {
    const part = toFields(event['delta'])
    if (part['stop_reason'] == null) return ''
    const usage = { ...toFields(answer.message['usage']), ...toFields(event['usage']) }
    Object.assign(answer.message, part, { usage })
    if (!ends && CALM.has(String(part['stop_reason']))) return frame(event)
    answer.end = { type: 'whole', over: true }
    return frame(event) + frame({ type: 'message_stop' })
  }

  function stopAt(index: number, word: string): string {
    // lossy: the count of the tokens up to here is not known; four characters are about one
    const words = answer.blocks.map(({ text, thinking }) => `${text ?? ''}${thinking ?? ''}`).join('')
    const usage = { output_tokens: Math.max(1, Math.ceil(words.length / 4)) }
    const delta = { stop_reason: 'stop_sequence', stop_sequence: word }
    return frame({ type: 'content_block_stop', index }) + conclude({ type: 'message_delta', delta, usage }, true)
  }

  return answer
}

/** The whole answer of a request that did not ask for a stream. */
export function encodeMessage(answer: Answer): JsonObject {
  return { ...answer.message, content: answer.blocks }
}

export function encodeFailure(type: string, message: string, more: JsonObject = {}): JsonObject {
  return { type: 'error', error: { type, message, ...more } }
}

const TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error', 401: 'authentication_error', 403: 'permission_error', 404: 'not_found_error',
  413: 'request_too_large', 429: 'rate_limit_error', 529: 'overloaded_error',
}

/** From a `<synthetic>` assistant line or a `result`: both mean that the model's answer will not come. */
function readFailure(line: JsonObject): AnswerEnd & { type: 'failed' } {
  const given = Number(line['api_error_status'])
  const status = given >= 400 && given < 600 ? given : line['error'] === 'authentication_failed' ? 401 : 502
  const message = isObject(line['message']) && Array.isArray(line['message']['content'])
    ? textOf(line['message']['content'] as JsonObject[])
    : String(line['result'] ?? (Array.isArray(line['errors']) ? line['errors'].join('; ') : ''))
  const type = typeof line['api_error_type'] === 'string' ? line['api_error_type'] : TYPES[status] ?? 'api_error'
  return { type: 'failed', status, body: encodeFailure(type, toRemedy(status, message, line)) }
}

function toRemedy(status: number, message: string, line: JsonObject): string {
  if (status === 401) return `${message}. Run "claude auth login" and send the request again`
  if (line['type'] === 'assistant' && line['is_api_error_message'] !== true) {
    return 'the claude program answered this text by itself instead of the model; put a word in front of it'
  }
  if (message === '' || line['is_error'] === false) return 'the claude program ended its turn without an answer; send the request again'
  return message.replace(/^Prompt is too long/, 'prompt is too long') // clients know it by these words (E1)
}

/** Where the first stop sequence begins, or the tail that could still become one. */
function findStop(text: string, stop: readonly string[]): { at: number; word: string | undefined } {
  const found = stop.map((word) => ({ at: text.indexOf(word), word })).filter(({ at }) => at !== -1)
  const [first] = found.sort((a, b) => a.at - b.at)
  if (first !== undefined) return first
  const longest = Math.max(0, ...stop.map(({ length }) => length))
  let at = Math.max(0, text.length - longest)
  while (at < text.length && !stop.some((word) => word.startsWith(text.slice(at)))) at++
  return { at, word: undefined }
}

function frame(event: JsonObject): string {
  return encodeSse(String(event['type']), event)
}
