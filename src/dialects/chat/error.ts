/**
 * Errors of Chat Completions: our envelope, any vendor's body as a DarioError, and what can be learned from a 400.
 * https://platform.openai.com/docs/guides/error-codes
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { ErrorCode } from '../../errors.ts'
import type { JsonObject } from '../../hub/types.ts'
import type { Repair } from '../dialect.ts'
import { findRepair, parseErrorBody, readOverflow, readPlaces, toCode, toLine } from '../error.ts'
import type { Lessons } from '../error.ts'
import { isObject, objectsIn, optionalObj, optionalStr, toText } from '../read.ts'

/** `error.code` as OpenAI spells it; clients branch on these words. */
const WIRE_CODES: Partial<Record<ErrorCode, string>> = {
  context_length_exceeded: 'context_length_exceeded', authentication: 'invalid_api_key',
  payment_required: 'insufficient_quota', model_not_found: 'model_not_found', rate_limited: 'rate_limit_exceeded',
  overloaded: 'server_overloaded',
}

export function encodeError(error: DarioError): { status: number; body: JsonObject } {
  const status = error.status === 529 ? 503 : error.status // 529 is Anthropic's alone (pitfall E4)
  const type = status >= 500 ? 'server_error'
    : error.code === 'payment_required' ? 'insufficient_quota'
    : status === 429 ? 'rate_limit_error'
    : status === 403 ? 'permission_error'
    : 'invalid_request_error' // OpenAI's word for 401 and 404 too: its `code` tells them apart
  const details = error.details as JsonObject | undefined
  const code = WIRE_CODES[error.code] ?? null
  return { status, body: { error: { message: error.message, type, param: error.path ?? null, code, ...details } } }
}

/** A data frame with `error` and no `[DONE]`: a broken answer must not look whole (pitfall S17). */
export function encodeStreamError(error: DarioError): string {
  return `data: ${JSON.stringify(encodeError(error).body)}\n\n`
}

/** @param status HTTP status; 200 for an error that arrived inside an answer, where only its words can tell. */
export function decodeError(status: number, text: string): DarioError {
  const root = parseErrorBody(text)
  return root === undefined ? createError(status, toLine(summarise(status, text)), {}) : decodeErrorObject(root, status)
}

const findChoice = (data: JsonObject): JsonObject | undefined =>
  objectsIn(data['choices']).find(({ error }) => isObject(error))

/** Whether this is an error that a vendor puts into a stream or a 200 (pitfall O7). */
export function isErrorObject(data: JsonObject): boolean {
  return Boolean(data['error']) || data['object'] === 'error' || findChoice(data) !== undefined
}

export function decodeErrorObject(root: JsonObject, status = 200): DarioError {
  const detail = optionalObj(root['error']) ?? optionalObj(findChoice(root)?.['error']) ?? root
  return createError(status, toLine(readMessage(root, detail) || summarise(status, '')), detail)
}

function readMessage(root: JsonObject, detail: JsonObject): string | undefined {
  const said = [detail['message'], root['error'], root['message'], root['detail'], detail['msg']]
  const message = said.find((text) => typeof text === 'string')
  const raw = optionalObj(detail['metadata'])?.['raw'] // OpenRouter: the vendor's own body, the only part that helps
  if (message !== undefined) return typeof raw === 'string' && raw !== '' ? `${message}: ${raw}` : message
  return readPlaces(root['detail']) ?? readPlaces(optionalObj(root['message'])?.['detail'])
}

/** An HTML page or bare text as one sentence (E8); the pattern never looks past a `<`: it takes linear time. */
function summarise(status: number, text: string): string {
  const title = /<title[^<>]*>([^<]*)</i.exec(text)?.[1]?.trim()
  const isPage = /<html|<!doctype/i.test(text)
  if (isPage) return `the upstream answered ${status} with a web page${title ? `: ${title}` : ''}`
  return text.trim() === '' ? `the upstream answered ${status} without a message` : text.trim()
}

/** @param message cut already: the search for an overflow takes quadratic time, and an upstream may send megabytes */
function createError(status: number, message: string, detail: JsonObject): DarioError {
  const words = [detail['code'], detail['type']].filter((word) => typeof word === 'string').map(toLine)
  const coded = Math.trunc(Number(toText(detail['code'])) || 0) // Azure writes it as text
  const real = status !== 200 ? status : coded >= 400 && coded <= 599 ? coded : readStatus(`${words.join(' ')} ${message}`)
  const overflow = [400, 413, 422].includes(real)
    && (words.includes('context_length_exceeded') || readOverflow(message) !== undefined)
  const noModel = real === 404 && /model/i.test(`${words.join(' ')} ${message}`)
  const code = overflow ? 'context_length_exceeded' : noModel ? 'model_not_found' : toCode(real)
  return new DarioError(code, message, {
    status: overflow ? 400 : real,
    path: optionalStr(detail['param']),
    upstreamType: words[0],
  })
}

function readStatus(words: string): number {
  if (readOverflow(words) !== undefined) return 400
  if (/rate.?limit|too many requests|quota/i.test(words)) return 429
  if (/overload|unavailable|capacity/i.test(words)) return 529
  if (/invalid_request|unsupported|bad.?request|failed_generation|tool_use_failed/i.test(words)) return 400
  return /authentication|invalid_api_key/i.test(words) ? 401 : 502
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
