/**
 * What a relay of the Messages API needs to know: its errors, its usage, and where a stream begins and ends.
 * @see https://docs.claude.com/en/docs/build-with-claude/streaming
 * @module
 */
import type { JsonObject, Usage } from '../../hub/types.ts'
import { encodeSse } from '../../sse.ts'
import type { SseEvent } from '../../sse.ts'
import type { RelayDialect } from '../dialect.ts'
import { defined, optionalArr, optionalNum, optionalObj, optionalStr, parseObject } from '../read.ts'
import { decodeError, encodeError, encodeStreamError, readRepairs, repairBody } from './error.ts'

export const anthropicRelay: RelayDialect = {
  name: 'anthropic',
  encodeError, encodeStreamError, keepAlive: encodeSse('ping', { type: 'ping' }),
  decodeError, readRepairs, repairBody,
  readUsage, isPreamble, endOf,
}

/** Snapshots, not increments: a member that is absent, or less than nothing, says nothing (pitfalls U1, O10). */
export function readWireUsage(usage: JsonObject): Partial<Usage> {
  const count = (value: unknown): number | undefined => (optionalNum(value) ?? -1) < 0 ? undefined : optionalNum(value)
  return defined<{ [Member in keyof Usage]?: Usage[Member] | undefined }>({
    input: count(usage['input_tokens']),
    cacheRead: count(usage['cache_read_input_tokens']),
    cacheWrite: count(usage['cache_creation_input_tokens']),
    cacheWriteHour: count(optionalObj(usage['cache_creation'])?.['ephemeral_1h_input_tokens']) || undefined,
    output: count(usage['output_tokens']),
    reasoning: count(optionalObj(usage['output_tokens_details'])?.['thinking_tokens']),
  }) as Partial<Usage>
}

/** Usage in one event or a whole message; undefined when it has none. */
function readUsage(data: JsonObject): Partial<Usage> | undefined {
  const wire = optionalObj(data['usage']) ?? optionalObj(optionalObj(data['message'])?.['usage'])
  const usage = wire === undefined ? {} : readWireUsage(wire)
  return Object.keys(usage).length === 0 ? undefined : usage
}

const typeOf = (event: SseEvent): string | undefined => event.event ?? optionalStr(parseObject(event.data)?.['type'])

/** The start of a message that has no content yet, or a ping. */
function isPreamble(event: SseEvent): boolean {
  const type = typeOf(event)
  if (type !== 'message_start') return type === 'ping'
  return (optionalArr(optionalObj(parseObject(event.data)?.['message'])?.['content']) ?? []).length === 0
}

function endOf(event: SseEvent): 'complete' | 'error' | undefined {
  const type = typeOf(event)
  return type === 'message_stop' ? 'complete' : type === 'error' ? 'error' : undefined
}
