/**
 * What vendors' errors have in common, whatever API they speak: codes by status, bodies, and what a refusal teaches.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.5
 * @module
 */
import type { ErrorCode } from '../errors.ts'
import type { JsonObject } from '../hub/types.ts'
import type { Repair } from './dialect.ts'
import { isObject, optionalArr, optionalObj, toText } from './read.ts'

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
  try {
    const body: unknown = JSON.parse(text)
    return optionalObj(Array.isArray(body) ? body[0] : body) // Gemini wraps its error in an array
  } catch {
    return undefined
  }
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
