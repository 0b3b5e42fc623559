/**
 * OpenAI Responses as a dialect.
 * https://platform.openai.com/docs/api-reference/responses
 * @module
 */
import type { SseEvent } from '../../sse.ts'
import type { Dialect } from '../dialect.ts'
import { KEEP_ALIVE, decodeError, decodeUsage, readRepairs } from '../openai.ts'
import { optionalObj, optionalStr, parseObject } from '../read.ts'
import { decodeRequest, repairBody } from './decode-request.ts'
import { createStreamDecoder } from './decode-stream.ts'
import { encodeRequest } from './encode-request.ts'
import { createStreamEncoder, encodeReply } from './encode-stream.ts'
import { encodeError, encodeStreamError } from './wire.ts'

export const responsesDialect: Dialect = {
  name: 'responses',
  decodeRequest, encodeRequest,
  createStreamDecoder, decodeReply: (body, context) => createStreamDecoder(context).finish(body),
  createStreamEncoder, encodeReply,
  encodeError, encodeStreamError, keepAlive: KEEP_ALIVE,
  decodeError, readRepairs, repairBody,
  readUsage: (data) => decodeUsage(data['usage'] ?? optionalObj(data['response'])?.['usage']),
  isPreamble: (event) => PREAMBLE.includes(readType(event)), endOf,
}

const PREAMBLE = ['response.created', 'response.in_progress', 'response.queued', 'keepalive']
const COMPLETE = ['response.completed', 'response.incomplete']
const ERRORS = ['response.failed', 'response.cancelled', 'error']

function endOf(event: SseEvent): 'complete' | 'error' | undefined {
  const type = readType(event)
  return COMPLETE.includes(type) ? 'complete' : ERRORS.includes(type) ? 'error' : undefined
}

/** Every event of a stream passes here, so a delta is not parsed for its type when the `event:` line has it (O17). */
function readType({ event, data }: SseEvent): string {
  if (event !== undefined && event !== 'message') return event
  if (!/"(?:response\.(?:created|in_progress|queued|completed|incomplete|failed|cancelled)|error|keepalive)"/.test(data))
    return ''
  return optionalStr(parseObject(data)?.['type']) ?? ''
}
