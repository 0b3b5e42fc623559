/**
 * Errors of Chat Completions: our envelope, any vendor's body as a DarioError, and what can be learned from a 400.
 * https://platform.openai.com/docs/guides/error-codes
 * @module
 */
import type { DarioError, ErrorCode } from '../../errors.ts'
import type { JsonObject } from '../../hub/types.ts'
import type { Repair } from '../dialect.ts'
import { decodeVendorError, findChoiceError, findRepair } from '../error.ts'
import type { Lessons } from '../error.ts'
import { encodeEnvelope } from '../openai.ts'

/** `error.code` as OpenAI spells it; clients branch on these words. */
const WIRE_CODES: Partial<Record<ErrorCode, string>> = {
  context_length_exceeded: 'context_length_exceeded', authentication: 'invalid_api_key',
  payment_required: 'insufficient_quota', model_not_found: 'model_not_found', rate_limited: 'rate_limit_exceeded',
  overloaded: 'server_overloaded',
}

export function encodeError(error: DarioError): { status: number; body: JsonObject } {
  // OpenAI's word for 401 and 404 is `invalid_request_error` too: its `code` tells them apart.
  return encodeEnvelope(error, WIRE_CODES[error.code] ?? null)
}

/** A data frame with `error` and no `[DONE]`: a broken answer must not look whole (pitfall S17). */
export function encodeStreamError(error: DarioError): string {
  return `data: ${JSON.stringify(encodeError(error).body)}\n\n`
}

export function decodeError(status: number, text: string): DarioError {
  return decodeVendorError(status, text, {
    words: ['code', 'type'],
    page: (status, title) => `the upstream answered ${status} with a web page${title && `: ${title}`}`,
    nothing: (status) => `the upstream answered ${status} without a message`,
  })
}

/** Whether this is an error that a vendor puts into a stream or a 200 (pitfall O7). */
export function isErrorObject(data: JsonObject): boolean {
  return Boolean(data['error']) || data['object'] === 'error' || findChoiceError(data) !== undefined
}

/** What a refusal of a field looks like: not of its value, which would be the client's own mistake. */
const REFUSES =
  /unsupported|not (?:supported|permitted|allowed)|n[o']t support|unknown|unrecogni[sz]ed|unexpected|extra/i

const REPAIRS: Lessons = [
  [/\bmax_completion_tokens\b.*\binstead\b|\bmax_tokens\b.*\bmax_completion_tokens\b/i, 'max_completion_tokens'],
  [/\bmax_completion_tokens\b/i, 'max_tokens'],
  [/\bmax_tokens\b/i, 'max_completion_tokens'],
  [/\b(?:temperature|top_p|presence_penalty|frequency_penalty)\b/i, 'no_sampling'],
  [/['"`.]stop['"`:]|\bstop(?: sequences?)? (?:is|are) not\b/i, 'no_stop'],
  [/\bstream_options\b/i, 'no_stream_options'],
  [/\bparallel_tool_calls\b/i, 'no_parallel_tools'],
  [/\bresponse_format\b|\bjson_schema\b/i, 'no_format'],
  [/\bstrict\b/i, 'no_strict'],
  [/\bcache_control\b.*\bttl\b/i, 'no_cache_ttl'],
  [/\bcache_control\b/i, 'no_cache_marks'],
  [/\breasoning_(?:content|details)\b/i, 'no_thinking_history'],
  [/\breasoning(?:_effort)?\b|\benable_thinking\b|['"`.]thinking['"`:]|\bthinking (?:is|are) not\b/i, 'no_thinking'],
]

export function readRepairs(error: DarioError): Repair[] {
  if (error.status !== 400 && error.status !== 422) return []
  const wantsReasoning = /reasoning_content\b.*(?:passed back|missing|required|must be)/i
  if (wantsReasoning.test(error.message)) return ['replay_reasoning'] // T4
  const text = `'${error.path ?? ''}' ${error.message}`
  if (!REFUSES.test(`${error.upstreamType ?? ''} ${error.message}`)) return []
  return findRepair(REPAIRS, text)
}
