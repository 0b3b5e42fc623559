/**
 * What vendors' errors have in common, whatever API they speak: codes by status, bodies, the words for an overflow of
 * the context, and what a refusal teaches.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.5
 * @module
 */
import { DarioError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import type { Repair } from './dialect.ts'
import { defined, isObject, objectsIn, optionalArr, optionalObj, optionalStr, parseObject, toText } from './read.ts'

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'authentication', 402: 'payment_required', 403: 'permission', 404: 'not_found', 405: 'method_not_allowed',
  408: 'timeout', 409: 'conflict', 413: 'request_too_large', 415: 'unsupported_media_type', 429: 'rate_limited',
  503: 'overloaded', 504: 'upstream_timeout', 529: 'overloaded',
}

function toCode(status: number): ErrorCode {
  return BY_STATUS[status] ?? (status < 500 ? 'invalid_request' : 'upstream_error')
}

/** What vendors call an error, by the status that it would have: inside an answer there is no status. */
const BY_WORD: ReadonlyMap<string, number> = new Map(Object.entries({
  invalid_request_error: 400, invalid_prompt: 400, context_length_exceeded: 400, authentication_error: 401,
  invalid_api_key: 401, billing_error: 402, insufficient_quota: 402, permission_error: 403, not_found_error: 404,
  model_not_found: 404, request_too_large: 413, rate_limit_error: 429, rate_limit_exceeded: 429, api_error: 502,
  server_error: 502, timeout_error: 504, overloaded_error: 529, server_is_overloaded: 529, slow_down: 529,
}))

const BY_WORDING: readonly (readonly [wording: RegExp, status: number])[] = [
  [/rate.?limit|too many requests|quota/i, 429],
  [/overload|unavailable|capacity/i, 529],
  [/invalid_request|unsupported|bad.?request|failed_generation|tool_use_failed/i, 400],
  [/authentication|invalid_api_key/i, 401],
]

/** How a dialect puts what an upstream left unsaid. */
export interface Wording {
  /** The members that hold the vendor's word for the error; the first is the one kept. */
  words: readonly string[]
  page: (status: number, title: string) => string
  /** For what is empty, or JSON and markup without a message in it. */
  nothing: (status: number, text: string) => string
}

/**
 * An upstream's refusal, whatever it looks like. With 200 it is one inside an answer, where only its words tell; else
 * the status decides, whatever the body says (pitfall E5), and only the vague 400 is refined by the vendor's own word.
 */
export function decodeVendorError(answered: number, text: string, wording: Wording): DarioError {
  const body = parseErrorBody(text), detail = findDetail(body ?? {})
  const words = wording.words.map((name) => detail[name]).filter((word) => typeof word === 'string').map(toLine)
  // Cut before it is searched: the search for an overflow takes quadratic time, and an upstream may send megabytes.
  const message = toLine((body && readMessage(body, detail)) || toSentence(answered, text, wording))
  const all = `${words.join(' ')} ${message}`
  const named = words.map((word) => BY_WORD.get(word)).find((status) => status !== undefined)
  const coded = Math.trunc(Number(toText(detail['code'])) || 0) // Azure writes it as text
  const meant = answered === 400 ? named ?? 400 : answered !== 200 ? answered
    : coded >= 400 && coded <= 599 ? coded : named ?? BY_WORDING.find(([words]) => words.test(all))?.[1] ?? 502
  const options = { path: optionalStr(detail['param']), upstreamType: words[0] }
  // Overflow comes as 400 and 413, from local servers as 422 and 500 too, or without any word.
  if ([400, 413, 422, 500, 502].includes(meant) && readOverflow(all) !== undefined)
    return new DarioError('context_length_exceeded', message, options)
  if (meant < 400) return new DarioError('upstream_protocol', message, options)
  const noModel = meant === 404 && /model/i.test(all)
  const status = answered === 200 ? meant : answered
  return new DarioError(noModel ? 'model_not_found' : toCode(meant), message, { ...options, status })
}

/** undefined for what is no JSON object. */
function parseErrorBody(text: string): JsonObject | undefined {
  const body = parseObject(`{"body":${text}}`)?.['body'] // any JSON, not only an object
  return optionalObj(Array.isArray(body) ? body[0] : body) // Gemini wraps its error in an array
}

/** The error that a vendor put into one of the choices of an answer (pitfall O7). */
export const findChoiceError = (body: JsonObject): JsonObject | undefined =>
  optionalObj(objectsIn(body['choices']).find(({ error }) => isObject(error))?.['error'])

function findDetail(body: JsonObject): JsonObject {
  const failed = optionalObj(body['response']) // an event inside a stream (F1)
  return optionalObj(body['error']) ?? optionalObj(failed?.['error']) ?? objectsIn(body['errors'])[0]
    ?? findChoiceError(body) ?? body
}

function readMessage(body: JsonObject, detail: JsonObject): string | undefined {
  const said = [detail['message'], body['error'], body['message'], body['detail'], detail['msg'], detail['detail']]
  const message = said.find((text) => typeof text === 'string')
  const raw = optionalObj(detail['metadata'])?.['raw'] // OpenRouter: the vendor's own body, the only part that helps
  if (message !== undefined) return typeof raw === 'string' && raw !== '' ? `${message}: ${raw}` : message
  return readPlaces(body['detail']) ?? readPlaces(optionalObj(body['message'])?.['detail'])
}

/** A list of refused places as one sentence: Mistral, and FastAPI behind vLLM and other Python servers. */
function readPlaces(list: unknown): string | undefined {
  return optionalArr(list)?.filter(isObject)
    .map(({ loc, msg }) => [optionalArr(loc)?.map(toText).join('.'), toText(msg)].filter(Boolean).join(': ')).join('; ')
}

/** A page of markup becomes its title (pitfall E8). */
function toSentence(status: number, text: string, { page, nothing }: Wording): string {
  const head = text.slice(0, 10_000) // of a page made to, the pattern would read all from every one of its titles
  if (/<html|<!doctype|<head/i.test(head)) return page(status, /<title[^<>]*>([^<]*)</i.exec(head)?.[1]?.trim() ?? '')
  const said = text.trim()
  return said === '' || /^[<{[]/.test(said) ? nothing(status, said) : said
}

/** lossy: over 2,000 characters an error is somebody's prompt or page; control characters would forge log lines. */
function toLine(message: string): string {
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
