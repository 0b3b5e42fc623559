/**
 * The Anthropic Messages API as a dialect.
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import type { Dialect } from '../dialect.ts'
import { decodeRequest } from './decode-request.ts'
import { createStreamDecoder, decodeReply } from './decode-stream.ts'
import { encodeRequest } from './encode-request.ts'
import { createStreamEncoder, encodeReply } from './encode-stream.ts'
import { anthropicRelay } from './relay.ts'

export const anthropicDialect: Dialect = {
  ...anthropicRelay,
  decodeRequest, encodeRequest,
  createStreamDecoder, decodeReply,
  createStreamEncoder, encodeReply,
}
