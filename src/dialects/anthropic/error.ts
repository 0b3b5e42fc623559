/**
 * Errors: the hub's codes and Anthropic's envelope, both ways, and what may be repaired after a refusal.
 * @see https://docs.claude.com/en/api/errors
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { ErrorCode } from '../../errors.ts'
import type { Json, JsonObject } from '../../hub/types.ts'
import { encodeSse } from '../../sse.ts'
import type { Repair } from '../dialect.ts'
import { readOverflow } from '../overflow.ts'
import { isObject, optionalArr, optionalObj, optionalStr } from '../read.ts'

const MAX_MESSAGE = 2000 // characters; enough for any sentence, too short for a page

const TYPES = {
  invalid_request: 'invalid_request_error',
  invalid_json: 'invalid_request_error',
  unsupported_across_dialects: 'invalid_request_error',
  context_length_exceeded: 'invalid_request_error',
  conflict: 'invalid_request_error',
  method_not_allowed: 'invalid_request_error',
  unsupported_media_type: 'invalid_request_error',
  client_closed: 'invalid_request_error',
  authentication: 'authentication_error',
  payment_required: 'billing_error',
  permission: 'permission_error',
  not_found: 'not_found_error',
  model_not_found: 'not_found_error',
  request_too_large: 'request_too_large',
  rate_limited: 'rate_limit_error',
  timeout: 'timeout_error',
  upstream_timeout: 'timeout_error',
  overloaded: 'overloaded_error',
  internal: 'api_error',
  upstream_error: 'api_error',
  upstream_unreachable: 'api_error',
  upstream_protocol: 'api_error',
  config_invalid: 'api_error',
} as const satisfies Record<ErrorCode, string>

/** By the status first, whatever the body says (pitfall E5). */
const CODES: Record<number, ErrorCode> = {
  400: 'invalid_request', 401: 'authentication', 402: 'payment_required', 403: 'permission', 404: 'not_found',
  405: 'method_not_allowed', 408: 'timeout', 409: 'conflict', 413: 'request_too_large',
  415: 'unsupported_media_type', 422: 'invalid_request', 429: 'rate_limited', 503: 'overloaded',
  504: 'upstream_timeout', 529: 'overloaded',
}

/** Inside a stream there is no status, only the vendor's word. */
const STATUSES: Record<string, number> = {
  invalid_request_error: 400, authentication_error: 401, billing_error: 402, permission_error: 403,
  not_found_error: 404, request_too_large: 413, rate_limit_error: 429, timeout_error: 504, overloaded_error: 529,
}

export function encodeError(error: DarioError, requestId: string): { status: number; body: JsonObject } {
  // pitfall E4
  const status = error.code === 'overloaded' ? 529 : error.code === 'context_length_exceeded' ? 400 : error.status
  const details = error.details === undefined ? {} : { details: error.details as JsonObject }
  return {
    status,
    body: {
      type: 'error',
      error: { type: TYPES[error.code], message: toMessage(error), ...details },
      ...(requestId === '' ? {} : { request_id: requestId }),
    },
  }
}

export function encodeStreamError(error: DarioError, requestId: string): string {
  return encodeSse('error', encodeError(error, requestId).body)
}

/** Clients compact their history on these very words (pitfall E1). */
function toMessage(error: DarioError): string {
  if (error.code !== 'context_length_exceeded' || /^prompt is too long/i.test(error.message)) return error.message
  const { limit, requested } = readOverflow(error.message) ?? {}
  if (limit !== undefined && requested !== undefined)
    return `prompt is too long: ${requested} tokens > ${limit} maximum`
  return `prompt is too long: ${error.message}`
}

/** An upstream's refusal, whatever it looks like. */
export function decodeError(status: number, text: string): DarioError {
  const { message, type } = readBody(text)
  const words = message || `the upstream answered ${status} without a readable reason`
  const found = words.slice(0, MAX_MESSAGE)
  // Overflow comes as 400 and 413, from local servers as 422 and 500 too.
  if ([400, 413, 422, 500].includes(status) && readOverflow(`${found} ${type ?? ''}`) !== undefined) {
    return new DarioError('context_length_exceeded', found, { upstreamType: type })
  }
  const code =
    CODES[status] ?? (status >= 500 ? 'upstream_error' : status >= 400 ? 'invalid_request' : 'upstream_protocol')
  const isModel = code === 'not_found' && /model/i.test(`${type ?? ''} ${found}`)
  return new DarioError(isModel ? 'model_not_found' : code, found, {
    status: status >= 400 ? status : undefined,
    upstreamType: type,
  })
}

/** The `error` event of a stream, or an error body that came with a 200. */
export function decodeErrorObject(body: JsonObject): DarioError {
  const error = optionalObj(body['error'])
  const type = optionalStr(error?.['type']) ?? optionalStr(error?.['code']) ?? ''
  const status = Object.hasOwn(STATUSES, type)
    ? (STATUSES[type] ?? 502)
    : /overload/i.test(type)
      ? 529
      : /rate_?limit/i.test(type)
        ? 429
        : 502
  return decodeError(status, JSON.stringify(body))
}

function readBody(text: string): { message: string; type: string | undefined } {
  const body = parse(text)
  if (body === undefined) return { message: toSentence(text), type: undefined }
  const error = body['error'] ?? body['errors'] ?? body['detail'] ?? body
  const first = Array.isArray(error) ? error[0] : error
  if (typeof first === 'string') return { message: first, type: optionalStr(body['type']) ?? optionalStr(body['code']) }
  if (!isObject(first)) return { message: '', type: undefined }
  const message = optionalStr(first['message']) ??
    optionalStr(first['msg']) ??
    optionalStr(first['detail']) ??
    optionalStr(body['message'])
  return {
    message: message ?? JSON.stringify(first),
    type: optionalStr(first['type']) ?? optionalStr(first['code']) ?? optionalStr(first['status']),
  }
}

function parse(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as Json // Gemini wraps its error in an array
    return optionalObj(Array.isArray(value) ? value[0] : value)
  } catch {
    return undefined
  }
}

/** A page of markup becomes its title (pitfall E8). */
function toSentence(text: string): string {
  if (!/<html|<!doctype|<head/i.test(text.slice(0, 1000))) return text.trim()
  const title = /<title[^>]*>([^<]*)<\/title>/i.exec(text)?.[1]?.trim()
  const named = title === undefined || title === '' ? '' : ` (${title})`
  return `the upstream answered with a web page${named}; check the backend's baseUrl`
}

const REPAIRS: readonly [words: RegExp, repair: Repair][] = [
  [/expected `?(?:redacted_)?thinking`?.*(?:found|but)|must start with a thinking block/is, 'no_thinking'],
  [/signature|thinking` or `redacted_thinking` blocks.*cannot be modified|redacted_thinking/is, 'no_thinking_history'],
  [/cache_control[\s\S]*ttl|ttl[\s\S]*cache/i, 'no_cache_ttl'], [/cache_control|cache breakpoint/i, 'no_cache_marks'],
  [/disable_parallel_tool_use/i, 'no_parallel_tools'], [/\bstrict\b/i, 'no_strict'],
  [/output_config\.format|output_format|structured output|grammar|json_schema/i, 'no_format'],
  [/temperature|top_p|top_k/i, 'no_sampling'], [/thinking|budget_tokens|effort|output_config/i, 'no_thinking'],
  [/stop_sequences/i, 'no_stop'],
]

/** The first that fits: a refusal is about one thing, and a retry that changes more than that hides mistakes. */
export function readRepairs(error: DarioError): Repair[] {
  if (error.code !== 'invalid_request') return []
  const found = REPAIRS.find(([words]) => words.test(error.message))
  return found === undefined ? [] : [found[1]]
}

/**
 * The client's own body without reasoning that this backend cannot verify (pitfall T2). Signed blocks go whole or not at
 * all; a turn that held nothing else goes with them.
 */
export function repairBody(body: JsonObject, repairs: ReadonlySet<Repair>): JsonObject {
  if (!repairs.has('no_thinking_history')) return body
  const messages = (optionalArr(body['messages']) ?? []).filter(isObject).flatMap((message) => {
    const blocks = optionalArr(message['content'])
    const left = blocks?.filter((block) => !isObject(block) || !/^(?:redacted_)?thinking$/.test(optionalStr(block['type']) ?? ''))
    return left === undefined ? [message] : left.length === 0 ? [] : [{ ...message, content: left }]
  })
  const answersCalls = optionalArr(messages.at(-1)?.['content'])?.some((block) => isObject(block) && block['type'] === 'tool_result')
  // With a budget, the turn whose calls are being answered must open with its thought, which is gone (pitfall T1).
  if (answersCalls && optionalObj(body['thinking'])?.['type'] === 'enabled') return { ...body, messages, thinking: { type: 'disabled' } }
  return { ...body, messages }
}
