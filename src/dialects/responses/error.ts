/**
 * Errors of the Responses API: its envelope, failures inside an answer, and what a refusal teaches about a backend.
 * https://platform.openai.com/docs/guides/error-codes
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { ErrorCode } from '../../errors.ts'
import type { JsonObject } from '../../hub/types.ts'
import type { Repair } from '../dialect.ts'
import { findRepair, parseErrorBody, readOverflow, readPlaces, toCode, toLine } from '../error.ts'
import type { Lessons } from '../error.ts'
import { isObject, optionalNum, optionalObj, optionalStr } from '../read.ts'
import { encodeEvent, encodeFailure } from './wire.ts'

/** Codes that vendors put into a failed answer or an error event. */
const BY_WORD: ReadonlyMap<string, ErrorCode> = new Map(Object.entries<ErrorCode>({
  context_length_exceeded: 'context_length_exceeded', rate_limit_exceeded: 'rate_limited',
  insufficient_quota: 'payment_required', invalid_api_key: 'authentication', model_not_found: 'model_not_found',
  server_is_overloaded: 'overloaded', slow_down: 'overloaded', overloaded_error: 'overloaded',
  invalid_prompt: 'invalid_request', invalid_request_error: 'invalid_request',
}))

const TYPE_BY_CODE: Partial<Record<ErrorCode, string>> = {
  authentication: 'authentication_error', permission: 'permission_error', payment_required: 'insufficient_quota',
  rate_limited: 'rate_limit_error',
}

/** Names for `code` that OpenAI clients act upon; the others keep dario's own. */
const CODE_ON_WIRE: Partial<Record<ErrorCode, string>> = {
  authentication: 'invalid_api_key', payment_required: 'insufficient_quota', rate_limited: 'rate_limit_exceeded',
  overloaded: 'server_is_overloaded',
}

export function encodeError(error: DarioError, requestId: string): { status: number; body: JsonObject } {
  const status = error.status === 529 ? 503 : error.status // E4: OpenAI's word for overloaded
  const type = TYPE_BY_CODE[error.code] ?? (status < 500 ? 'invalid_request_error' : 'server_error')
  const code = CODE_ON_WIRE[error.code] ?? error.code
  const details = error.details as JsonObject | undefined
  const inner = { message: error.message, type, param: error.path ?? null, code, ...details }
  return { status, body: { error: inner, request_id: requestId } }
}

/** For a stream whose encoder is not at hand (a relayed one): the smallest response object that clients accept. */
export function encodeStreamError(error: DarioError, requestId: string): string {
  const response = {
    id: `resp_${requestId}`, object: 'response', created_at: 0, model: '', status: 'failed', output: [],
    error: encodeFailure(error), incomplete_details: null, usage: null,
  }
  return encodeEvent('response.failed', 0, { response })
}

/** The error of a failed response or of an `error` event (pitfalls O22, E4). */
export function decodeFailure(value: unknown): DarioError {
  const error = isObject(value) ? value : {}
  const word = optionalStr(error['code']) ?? (error['type'] === 'error' ? undefined : optionalStr(error['type']))
  const message = toLine(optionalStr(error['message']) ?? '') || 'the upstream could not finish its answer; try again'
  const overflow = readOverflow(`${word ?? ''} ${message}`) !== undefined
  const status = Number(optionalNum(error['code']) ?? word) // some servers put the status there
  const byStatus = status >= 400 && status < 600 ? toCode(status) : 'upstream_error'
  const code = overflow ? 'context_length_exceeded' : BY_WORD.get(word ?? '') ?? byStatus
  return new DarioError(code, message, { upstreamType: word })
}

export function decodeError(status: number, text: string): DarioError {
  const body = parseErrorBody(text) ?? {}
  const inner = optionalObj(body['error']) ?? body
  if (status === 200) return decodeFailure(optionalObj(body['response'])?.['error'] ?? inner) // an event inside a stream (F1)
  const said = toLine(readMessage(body, inner) ?? (isPage(text) ? '' : text.trim()))
  const sentence = said || `the upstream answered ${status} without a message`
  const word = optionalStr(inner['code']) ?? optionalStr(inner['type'])
  const options = { status, path: optionalStr(inner['param']), upstreamType: word }
  if ([400, 413, 422].includes(status) && readOverflow(`${word ?? ''} ${sentence}`)) {
    return new DarioError('context_length_exceeded', sentence, { ...options, status: 400 })
  }
  const byStatus = toCode(status)
  // E5: the status decides; only the two vague ones are refined by the body's own word.
  const refines = status === 400 || (status === 404 && word === 'model_not_found')
  return new DarioError(refines ? BY_WORD.get(word ?? '') ?? byStatus : byStatus, sentence, options)
}

function readMessage(body: JsonObject, inner: JsonObject): string | undefined {
  const said = [inner['message'], body['error'], body['message'], body['detail']]
  return said.find((message) => typeof message === 'string') ?? readPlaces(body['detail'])
}

/** E8: markup and unread JSON are no message. */
const isPage = (text: string): boolean => /^\s*[<{[]/.test(text)

/** What each refused parameter teaches; the first pattern that fits the error's `param`, code and message. */
const LESSONS: Lessons = [
  [/temperature|top_p/i, 'no_sampling'],
  [/encrypted[_ ]content.*(?:verif|decrypt|parse|invalid)|invalid_encrypted_content/i, 'no_thinking_history'],
  [/input\[\d+\].*reasoning|reasoning.*without its required|'rs_\S* not found/i, 'no_thinking_history'],
  [/^include|encrypted[_ ]content|reasoning(?:[_.](?:effort|summary))?\b/i, 'no_thinking'],
  [/text\.format|json_schema|response_format/i, 'no_format'],
  [/parallel_tool_calls/i, 'no_parallel_tools'],
  [/\bstrict\b/i, 'no_strict'],
]

const REFUSED = new RegExp([
  'unsupported', 'not support', 'unrecogni[sz]ed', 'unknown (?:parameter|field)', 'not permitted', 'not allowed',
  'extra inputs', 'unexpected', 'could not be (?:verified|decrypted|parsed)', 'must be verified', 'without its required',
  'item with id .* not found',
].join('|'), 'i')

export function readRepairs(error: DarioError): Repair[] {
  if (![400, 404, 422].includes(error.status)) return [] // 404: an item that another server, or nobody, kept
  if (error.code === 'context_length_exceeded' || !REFUSED.test(error.message)) return []
  return findRepair(LESSONS, `${error.path ?? ''} ${error.upstreamType ?? ''} ${error.message}`)
}
