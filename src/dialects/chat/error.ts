/**
 * Errors of Chat Completions: our envelope, any vendor's body as a DarioError, and what can be learned from a 400.
 * https://platform.openai.com/docs/guides/error-codes
 * @module
 */
import type { DarioError } from '../../errors.ts'
import type { JsonObject } from '../../hub/types.ts'
import { decodeVendorError, findChoiceError } from '../error.ts'
import { CODES, encodeEnvelope } from '../openai.ts'

export function encodeError(error: DarioError): { status: number; body: JsonObject } {
  // OpenAI's word for 401 and 404 is `invalid_request_error` too: its `code` tells them apart.
  return encodeEnvelope(error, error.code === 'overloaded' ? 'server_overloaded' : CODES[error.code] ?? null)
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
