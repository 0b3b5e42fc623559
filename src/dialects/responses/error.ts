/**
 * Errors of the Responses API: its envelope, failures inside an answer, and what a refusal teaches about a backend.
 * https://platform.openai.com/docs/guides/error-codes
 * @module
 */
import type { DarioError } from '../../errors.ts'
import type { JsonObject } from '../../hub/types.ts'
import { decodeVendorError } from '../error.ts'
import { CODES, encodeEnvelope } from '../openai.ts'
import { encodeEvent, encodeFailure } from './wire.ts'

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

/** Also the error of a failed response or of an `error` event, with status 200 (pitfalls O22, E4). */
export function decodeError(status: number, text: string): DarioError {
  const nothing = (status: number): string => status === 200 ? 'the upstream could not finish its answer; try again'
    : `the upstream answered ${status} without a message`
  return decodeVendorError(status, text, { words: ['code', 'type'], page: nothing, nothing })
}
