/**
 * What vendors' errors have in common, whatever API they speak: codes by status, bodies, the words for an overflow of
 * the context, and what a refusal teaches.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.5
 * @module
 */
import type { ErrorCode } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import type { Repair } from './dialect.ts'
import { defined, isObject, optionalArr, optionalObj, parseObject, toText } from './read.ts'

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'authentication', 402: 'payment_required', 403: 'permission', 404: 'not_found', 405: 'method_not_allowed',
  408: 'timeout', 409: 'conflict', 413: 'request_too_large', 415: 'unsupported_media_type', 429: 'rate_limited',
  503: 'overloaded', 504: 'upstream_timeout', 529: 'overloaded',
}

/** By the status first, whatever the body says (pitfall E5). */
export function toCode(status: number): ErrorCode {
  return BY_STATUS[status] ?? (status < 500 ? 'invalid_request' : 'upstream_error')
}

/** undefined for what is no JSON object. */
export function parseErrorBody(text: string): JsonObject | undefined {
  const body = parseObject(`{"body":${text}}`)?.['body'] // any JSON, not only an object
  return optionalObj(Array.isArray(body) ? body[0] : body) // Gemini wraps its error in an array
}

/** A list of refused places as one sentence: Mistral, and FastAPI behind vLLM and other Python servers. */
export function readPlaces(list: unknown): string | undefined {
  return optionalArr(list)?.filter(isObject)
    .map((entry) => `${optionalArr(entry['loc'])?.map(toText).join('.') ?? ''}: ${toText(entry['msg'])}`).join('; ')
}

/** lossy: over 2,000 characters an error is somebody's prompt or page; control characters would forge log lines. */
export function toLine(message: string): string {
  return message.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, 2000)
}

export type Lessons = readonly (readonly [words: RegExp, repair: Repair])[]

/** The first that fits: a refusal is about one thing, and a retry that changes more than that hides mistakes. */
export function findRepair(lessons: Lessons, text: string): Repair[] {
  const found = lessons.find(([words]) => words.test(text))
  return found === undefined ? [] : [found[1]]
}

/** Each pattern may name the groups `limit` and `requested`, in tokens. */
const WORDINGS: readonly RegExp[] = [
  /prompt is too long(?:: (?<requested>[\d,]+) tokens? > (?<limit>[\d,]+) maximum)?/i, // Anthropic
  // Anthropic
  /input length and `?max_tokens`? exceed context limit: (?<requested>[\d,]+) \+ [\d,]+ > (?<limit>[\d,]+)/i,
  // OpenAI, vLLM, OpenRouter, DeepSeek
  /maximum context length (?:is|of) (?<limit>[\d,]+).*?(?:resulted in|requested(?: about)?|has) (?<requested>[\d,]+)/is,
  /maximum context length (?:is|of) (?<limit>[\d,]+)/i,
  // Gemini
  /input tokens? count (?:of )?\(?(?<requested>[\d,]+)\)? exceeds the maximum number of tokens\D*(?<limit>[\d,]+)/i,
  /maximum prompt length is (?<limit>[\d,]+)(?:.*?request contains (?<requested>[\d,]+))?/is, // xAI
  /request \((?<requested>[\d,]+) tokens\) exceeds the available context size \((?<limit>[\d,]+)/i, // llama.cpp
  /prompt contains (?<requested>[\d,]+) tokens.*?maximum context length of (?<limit>[\d,]+)/is, // Mistral
  /input is too long for requested model/i, // Bedrock
  /prompt token count of (?<requested>[\d,]+) exceeds the limit of (?<limit>[\d,]+)/i, // Copilot
  // OpenAI, llama.cpp, LM Studio
  /exceeds? (?:the )?(?:model'?s? )?(?:available |maximum )?context (?:window|size|length|limit)/i,
  /context[_ ](?:length|window)[_ ]exceeded|exceed_context_size|model_context_window_exceeded/i,
  /reduce the length of the (?:messages|prompt|input)/i, // Groq
  /context (?:length|window) (?:is )?(?:only |too small|overflow)/i, // LM Studio
  /greater than the context length/i, // LM Studio
  /too large for model with (?<limit>[\d,]+) maximum context length/i, // Mistral
  /(?:input|prompt) exceeds the (?:max(?:imum)?|limit)/i, // Ollama and others
]

/**
 * Context overflow in the words of many vendors (pitfall E1): clients compact their history on it, so it must never
 * look like any other 400. undefined: the message is about something else.
 */
export function readOverflow(message: string): Partial<Record<'limit' | 'requested', number | undefined>> | undefined {
  for (const wording of WORDINGS) {
    const found = wording.exec(message)
    const { limit, requested } = found?.groups ?? {}
    if (found !== null) return defined({ limit: toTokens(limit), requested: toTokens(requested) })
  }
  return undefined
}

function toTokens(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits.replaceAll(',', ''))
}
