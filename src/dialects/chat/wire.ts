/**
 * Chat Completions: the shapes that we emit, and the words that both directions share: usage, finish reasons, errors.
 * https://platform.openai.com/docs/api-reference/chat
 * @module
 */
import type { DarioError } from '../../errors.ts'
import type { JsonObject, StopReason, Usage } from '../../hub/types.ts'
import { findChoiceError } from '../error.ts'
import { CODES, decodeUsage, encodeEnvelope } from '../openai.ts'
import { isObject, optionalArr, optionalObj } from '../read.ts'

// Type aliases, not interfaces: only an alias is assignable to JsonObject.
export type ChatPart = { type: string; [field: string]: string | JsonObject | undefined }

export type ChatCall = {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
  extra_content?: JsonObject | undefined
}

export type ChatMessage = {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string | ChatPart[] | null
  reasoning_content?: string
  reasoning_details?: JsonObject[]
  tool_calls?: ChatCall[]
  tool_call_id?: string
}

const FINISH_REASONS: Record<StopReason, 'stop' | 'length' | 'tool_calls' | 'content_filter'> = {
  end_turn: 'stop',
  stop_sequence: 'stop', // lossy: Chat does not say which stop sequence was hit
  pause_turn: 'stop', // lossy: Chat has no word for "ask me to continue"
  tool_use: 'tool_calls',
  max_tokens: 'length',
  model_context_window_exceeded: 'length', // lossy: Chat has one word for both limits
  refusal: 'content_filter',
}

/** Derived from what was really emitted (pitfalls S12, S13): clients run their tool loop by this word. */
export function encodeFinishReason(stop: StopReason, seen: { tools: boolean; refusal: boolean }, legacy = false): string {
  if (stop === 'refusal' && seen.refusal) return 'stop' // OpenAI's own form: the refusal has its own field
  const word = FINISH_REASONS[stop]
  if (word !== 'stop' && word !== 'tool_calls') return word
  if (!seen.tools) return 'stop'
  return legacy ? 'function_call' : 'tool_calls' // clients of the form before `tools` wait for its own word
}

/** A filter's doing. Gemini adds its own word to OpenAI's (`content_filter: PROHIBITED_CONTENT`), or writes that alone. */
const FILTERED = /^content_filter|^(?:refusal|sensitive|blocklist|spii|(?:image_)?(?:safety|recitation|prohibited_content))$/i

/** Lenient: a new vendor word is an ordinary end (pitfall S14), and tools that were called win over `stop` (S12). */
export function decodeFinishReason(word: string | undefined, seen: { tools: boolean; refusal: boolean }): StopReason {
  if (FILTERED.test(word ?? '')) return 'refusal'
  switch (word?.toLowerCase()) {
    case 'length':
    case 'max_tokens':
    case 'model_length': return 'max_tokens'
    case 'model_context_window_exceeded': return 'model_context_window_exceeded'
    default: return seen.tools ? 'tool_use' : seen.refusal ? 'refusal' : 'end_turn'
  }
}

/** vLLM's `stop_reason` is the sequence that was hit, or a token's id; elsewhere it may repeat Anthropic's word. */
export function readStopSequence({ stop_reason: found, finish_reason: word }: JsonObject): string | undefined {
  const isOwn = typeof found === 'string' && found !== '' && found !== word && !Object.hasOwn(FINISH_REASONS, found)
  return isOwn ? found : undefined
}

/** Usage of a chunk or of a whole answer, wherever this vendor puts it (pitfalls O1, U2 to U4). */
export function readUsage(data: JsonObject): Partial<Usage> | undefined {
  const choice = optionalArr(data['choices'])?.[0]
  const usage = optionalObj(data['usage']) ?? optionalObj(optionalObj(data['x_groq'])?.['usage'])
    ?? (isObject(choice) ? optionalObj(choice['usage']) : undefined) // Moonshot
  return decodeUsage(usage)
}

export function encodeError(error: DarioError): { status: number; body: JsonObject } {
  // OpenAI's word for 401 and 404 is `invalid_request_error` too: its `code` tells them apart.
  return encodeEnvelope(error, error.code === 'overloaded' ? 'server_overloaded' : CODES[error.code] ?? null)
}

/** A data frame with `error` and no `[DONE]`: a broken answer must not look whole (pitfall S17). */
export function encodeStreamError(error: DarioError): string {
  return `data: ${JSON.stringify(encodeError(error).body)}\n\n`
}

/** Whether this is an error that a vendor puts into a stream or a 200 (pitfall O7). */
export function isErrorObject(data: JsonObject): boolean {
  return Boolean(data['error']) || data['object'] === 'error' || findChoiceError(data) !== undefined
}
