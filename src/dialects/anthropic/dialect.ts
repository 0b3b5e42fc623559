/**
 * The Anthropic Messages API as a dialect.
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import type { Dialect } from '../dialect.ts'
import { decodeRequest } from './decode-request.ts'
import { createStreamDecoder, decodeReply, endOf, isPreamble, readUsage } from './decode-stream.ts'
import { encodeRequest } from './encode-request.ts'
import { createStreamEncoder, encodeReply, keepAlive } from './encode-stream.ts'
import { decodeError, encodeError, encodeStreamError, readRepairs, repairBody } from './error.ts'

export const anthropicDialect: Dialect = {
  name: 'anthropic',
  decodeRequest, encodeRequest,
  createStreamDecoder, decodeReply,
  createStreamEncoder, encodeReply,
  encodeError, encodeStreamError, keepAlive,
  decodeError, readRepairs, repairBody,
  readUsage, isPreamble, endOf,
}
