/**
 * Errors: the hub's codes and Anthropic's envelope, both ways, and what may be repaired after a refusal.
 * @see https://docs.claude.com/en/api/errors
 * @module
 */
import type { DarioError, ErrorCode } from '../../errors.ts'
import type { Json, JsonObject } from '../../hub/types.ts'
import { encodeSse } from '../../sse.ts'
import type { Repair } from '../dialect.ts'
import { decodeVendorError, findRepair, readOverflow } from '../error.ts'
import type { Lessons } from '../error.ts'
import { defined, isObject, objectsIn, optionalArr, optionalObj, optionalStr } from '../read.ts'

const TYPES: Partial<Record<ErrorCode, string>> = {
  authentication: 'authentication_error', payment_required: 'billing_error', permission: 'permission_error',
  not_found: 'not_found_error', model_not_found: 'not_found_error', request_too_large: 'request_too_large',
  rate_limited: 'rate_limit_error', timeout: 'timeout_error', upstream_timeout: 'timeout_error',
  overloaded: 'overloaded_error',
}

export function encodeError(error: DarioError, requestId: string): { status: number; body: JsonObject } {
  // pitfall E4
  const status = error.code === 'overloaded' ? 529 : error.code === 'context_length_exceeded' ? 400 : error.status
  const details = error.details as JsonObject | undefined
  const type = TYPES[error.code] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
  const inner = defined({ type, message: toMessage(error), details })
  return { status, body: defined({ type: 'error', error: inner, request_id: requestId || undefined }) }
}

export function encodeStreamError(error: DarioError, requestId: string): string {
  return encodeSse('error', encodeError(error, requestId).body)
}

/** Clients compact their history on these very words (pitfall E1). */
function toMessage(error: DarioError): string {
  if (error.code !== 'context_length_exceeded' || /^prompt is too long/i.test(error.message)) return error.message
  const { limit, requested } = readOverflow(error.message) ?? {}
  const isKnown = limit !== undefined && requested !== undefined
  return `prompt is too long: ${isKnown ? `${requested} tokens > ${limit} maximum` : error.message}`
}

export function decodeError(status: number, text: string): DarioError {
  return decodeVendorError(status, text, {
    words: ['type', 'code', 'status'],
    page: (_, title) => `the upstream answered with a web page${title && ` (${title})`}; check the backend's baseUrl`,
    nothing: (status, unread) => unread || `the upstream answered ${status} without a readable reason`,
  })
}

const REPAIRS: Lessons = [
  // Without earlier thoughts a tool turn goes without thinking too, which is what the first of these words ask for.
  [/must start with a thinking block|expected `?thinking|signature|redacted_thinking/i, 'no_thinking_history'],
  [/cache_control[\s\S]*ttl|ttl[\s\S]*cache/i, 'no_cache_ttl'], [/cache_control|cache breakpoint/i, 'no_cache_marks'],
  [/disable_parallel_tool_use/i, 'no_parallel_tools'], [/\bstrict\b/i, 'no_strict'],
  [/output_config\.format|output_format|structured output|grammar|json_schema/i, 'no_format'],
  // A number out of its range is one client's mistake, and must not take the setting from all the others.
  [/^(?!.*(?:Input should be|range:)).*(?:temperature|top_p|top_k)/is, 'no_sampling'],
  [/thinking|budget_tokens|effort|output_config/i, 'no_thinking'],
  [/stop_sequences/i, 'no_stop'],
]

export function readRepairs(error: DarioError): Repair[] {
  return error.code === 'invalid_request' ? findRepair(REPAIRS, error.message) : []
}

export function isThought(block: Json | undefined): boolean {
  return isObject(block) && (block['type'] === 'thinking' || block['type'] === 'redacted_thinking')
}

/**
 * The client's own body without reasoning that this backend cannot verify (pitfall T2). Signed blocks go whole or not at
 * all; a turn that held nothing else goes with them.
 */
export function repairBody(body: JsonObject, repairs: ReadonlySet<Repair>): JsonObject {
  if (!repairs.has('no_thinking_history')) return body
  const messages = objectsIn(body['messages']).flatMap((message) => {
    const blocks = optionalArr(message['content'])
    const left = blocks?.filter((block) => !isThought(block))
    return left === undefined ? [message] : left.length === 0 ? [] : [{ ...message, content: left }]
  })
  const answersCalls = objectsIn(messages.at(-1)?.['content']).some((block) => block['type'] === 'tool_result')
  // With a budget, the turn whose calls are being answered must open with its thought, which is gone (pitfall T1).
  if (!answersCalls || optionalObj(body['thinking'])?.['type'] !== 'enabled') return { ...body, messages }
  const { context_management: context, ...rest } = body
  const edits = objectsIn(optionalObj(context)?.['edits'])
    .filter(({ type }) => optionalStr(type)?.startsWith('clear_thinking') !== true) // refused without thinking
  const kept = edits.length === 0 ? {} : { context_management: { ...optionalObj(context), edits } }
  return { ...rest, ...kept, messages, thinking: { type: 'disabled' } }
}
