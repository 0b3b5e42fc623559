/**
 * Words of the OpenAI Responses API that both directions share: usage, stop reasons, errors, framing;
 * and the response object with its items.
 * https://platform.openai.com/docs/api-reference/responses
 * @module
 */
import type { DarioError } from '../../errors.ts'
import { packSeal, unpackSeal } from '../../hub/seal.ts'
import type { BlockOf, Json, JsonObject, Seal, StopReason, Usage } from '../../hub/types.ts'
import { encodeSse } from '../../sse.ts'
import type { ReplyContext } from '../dialect.ts'
import { CODES, encodeEnvelope, encodeUsage } from '../openai.ts'
import { defined, given, joinTexts, optionalObj, optionalStr, toText } from '../read.ts'

/** Items that the client's side puts into the input; every other item of a server tool is part of an answer. */
export const isClientItem = (type: string): boolean => type.endsWith('_output') || type === 'mcp_approval_response'

export function encodeEvent(type: string, sequence: number, fields: JsonObject): string {
  return encodeSse(type, { type, sequence_number: sequence, ...fields })
}

/** Why an answer is incomplete; undefined: it is complete (pitfalls R13, S14). */
export const INCOMPLETE: Record<StopReason, 'max_output_tokens' | 'content_filter' | undefined> = {
  end_turn: undefined,
  stop_sequence: undefined, // lossy: this API knows no stop sequences
  tool_use: undefined,
  pause_turn: undefined, // lossy: no word for "ask me to continue"
  max_tokens: 'max_output_tokens',
  model_context_window_exceeded: 'max_output_tokens', // lossy: no word of its own
  refusal: 'content_filter',
}

/** The stop reason of a finished response, from its status and from what it holds (pitfalls S12, S13). */
export function decodeStop(response: JsonObject, saw: { tool: boolean; refusal: boolean }): StopReason {
  if (response['status'] === 'incomplete') {
    const reason = optionalStr(optionalObj(response['incomplete_details'])?.['reason'])
    if (reason === 'content_filter') return 'refusal'
    return reason === 'max_tool_calls' ? 'pause_turn' : 'max_tokens'
  }
  if (saw.tool) return 'tool_use'
  return saw.refusal ? 'refusal' : 'end_turn'
}

/** The `error` member of a failed response; clients decide by its code whether to retry or to compact. */
export function encodeFailure(error: DarioError): JsonObject {
  return { code: FAILURE[error.code] ?? 'server_error', message: error.message }
}

const FAILURE: Partial<Record<DarioError['code'], string>> = {
  context_length_exceeded: 'context_length_exceeded', rate_limited: 'rate_limit_exceeded',
  payment_required: 'insufficient_quota', overloaded: 'server_is_overloaded', invalid_request: 'invalid_prompt',
  unsupported_across_dialects: 'invalid_prompt',
}

export const isCall = ({ type }: JsonObject): boolean => type === 'function_call' || type === 'custom_tool_call'

/** Whether two sights of an item, under one index, can be of the same (pitfall R10). */
export function isSameItem(known: JsonObject, seen: JsonObject): boolean {
  const { type, call_id: callId } = known
  return type === seen['type'] && !(isCall(known) && callId && seen['call_id'] && callId !== seen['call_id'])
}

/** A call's input as text; some send the object itself (pitfall O9). */
export function readInput(call: JsonObject): string {
  return given(call[call['type'] === 'custom_tool_call' ? 'input' : 'arguments'], '', toText) ?? ''
}

/** The words of a reasoning item: its summary, else the thought itself. */
export function readThought(item: JsonObject): string {
  return joinTexts(item['summary'], '\n\n') || joinTexts(item['content'], '')
}

/** What another vendor's seal is called that never had words. Clients drop empty summaries, so those cannot tell. */
const WORDLESS = 'redacted'

export const encodeSeal = (seal: Seal, redacted: boolean): string =>
  seal.origin === 'responses' ? seal.value : packSeal(redacted ? { ...seal, id: WORDLESS } : seal)

/** Proof of a reasoning item: this API's own, or another vendor's that travelled in its place. */
export function readProof(item: JsonObject): { seal: Seal; redacted?: true } | undefined {
  const value = optionalStr(item['encrypted_content']) ?? '', packed = unpackSeal(value)
  if (value === '') return undefined
  const { id, ...seal } = packed ?? { origin: 'responses', value, id: optionalStr(item['id']) }
  if (packed !== undefined && id === WORDLESS) return { seal, redacted: true }
  const proof = { seal: defined<Seal>({ ...seal, id }) }
  return packed === undefined && readThought(item) === '' ? { ...proof, redacted: true } : proof
}

export function encodePart(type: 'output_text' | 'refusal' | 'summary_text', text: string): JsonObject {
  if (type === 'refusal') return { type, refusal: text }
  return type === 'summary_text' ? { type, text } : { type, text, annotations: [], logprobs: [] }
}

export function encodeMessage(id: Json | undefined, content: JsonObject[], status: string): JsonObject {
  return { id, type: 'message', status, role: 'assistant', content }
}

export function encodeCall(id: Json | undefined, block: BlockOf<'tool_use'>, input: string, status: string): JsonObject {
  const custom = block.kind === 'custom', type = custom ? 'custom_tool_call' : 'function_call'
  const called = { id, type, status, call_id: block.id, name: block.name, namespace: block.namespace }
  return defined({ ...called, [custom ? 'input' : 'arguments']: input })
}

export interface Outcome {
  status: 'in_progress' | 'completed' | 'incomplete' | 'failed'
  output: JsonObject[]
  usage?: Usage | undefined
  /** Why it is incomplete. */
  reason?: string | undefined
  error?: DarioError | undefined
}

/** What a field reads in the answer when the request did not set it. Typed SDKs refuse an answer without them. */
const DEFAULTS: JsonObject = {
  background: false, completed_at: null, frequency_penalty: 0, instructions: null, max_output_tokens: null,
  max_tool_calls: null, metadata: {}, parallel_tool_calls: true, presence_penalty: 0, previous_response_id: null,
  prompt_cache_key: null, safety_identifier: null, service_tier: 'default', store: true, temperature: 1,
  tool_choice: 'auto', tools: [], top_logprobs: 0, top_p: 1, truncation: 'disabled', user: null,
}

/** The response object: what was asked, echoed as strict clients expect it, and what came of it. */
export function encodeResponse(context: ReplyContext, id: string, outcome: Outcome): JsonObject {
  const asked = optionalObj(context.request.extra.responses) ?? {}
  const echo = Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, asked[key] ?? value]))
  return {
    id,
    object: 'response',
    created_at: context.created,
    status: outcome.status,
    ...echo,
    model: context.model, // M5: as the client wrote it
    reasoning: { effort: null, summary: null, ...optionalObj(asked['reasoning']) },
    text: { format: { type: 'text' }, ...optionalObj(asked['text']) },
    error: outcome.error === undefined ? null : encodeFailure(outcome.error),
    incomplete_details: outcome.reason === undefined ? null : { reason: outcome.reason },
    output: outcome.output,
    usage: outcome.usage === undefined ? null : encodeUsage(outcome.usage, 'input', 'output'),
  }
}

export function encodeError(error: DarioError, requestId: string): { status: number; body: JsonObject } {
  const code = error.code === 'overloaded' ? 'server_is_overloaded' : CODES[error.code] ?? error.code
  const { status, body } = encodeEnvelope(error, code)
  return { status, body: { ...body, request_id: requestId } }
}

/** For a stream whose encoder is not at hand (a relayed one): the smallest response object that clients accept. */
export function encodeStreamError(error: DarioError, requestId: string): string {
  const response = {
    id: `resp_${requestId}`, object: 'response', created_at: 0, model: '', status: 'failed', output: [],
    error: encodeFailure(error), incomplete_details: null, usage: null,
  }
  return encodeEvent('response.failed', 0, { response })
}
