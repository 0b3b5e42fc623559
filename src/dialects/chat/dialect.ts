/**
 * OpenAI's Chat Completions, and what compatible vendors made of it, as a dialect of the hub.
 * https://platform.openai.com/docs/api-reference/chat
 * @module
 */
import type { Dialect } from '../dialect.ts'
import { KEEP_ALIVE, decodeError, readRepairs } from '../openai.ts'
import { decodeRequest } from './decode-request.ts'
import { createStreamDecoder, endOf, isPreamble } from './decode-stream.ts'
import { encodeRequest, repairBody } from './encode-request.ts'
import { createStreamEncoder, encodeReply } from './encode-stream.ts'
import { toFamily } from './families.ts'
import { encodeError, encodeStreamError, readUsage } from './wire.ts'

export const chatDialect: Dialect = {
  name: 'chat',
  decodeRequest, encodeRequest,
  createStreamDecoder, decodeReply: (body, context) => createStreamDecoder(context).whole(body),
  createStreamEncoder, encodeReply,
  encodeError, encodeStreamError, keepAlive: KEEP_ALIVE,
  decodeError, readRepairs, repairBody,
  mustAskUsage: (target) => toFamily(target).openFields,
  readUsage, isPreamble, endOf,
}
