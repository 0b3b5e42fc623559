/**
 * Whole answers as Anthropic messages.
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import type { HubReply, JsonObject, StopReason, Usage } from '../../hub/types.ts'
import type { ReplyContext } from '../dialect.ts'
import { writeReplyBlock, writeUsage } from './wire.ts'

export function encodeReply(reply: HubReply, context: ReplyContext): JsonObject {
  const content = reply.blocks.map(writeReplyBlock).filter((block) => block !== undefined)
  return {
    ...createMessage(reply.id, content, reply.usage, context),
    stop_reason: toStop(reply.stop, content.some((block) => block['type'] === 'tool_use')),
    stop_sequence: reply.stopSequence ?? null,
  }
}

/** The message object, open-ended; it names the model as the client wrote it (pitfall M5). */
export function createMessage(
  id: string, content: JsonObject[], usage: Partial<Usage>, context: ReplyContext,
): JsonObject {
  return {
    id: id.startsWith('msg_') ? id : context.newId('msg_'),
    type: 'message',
    role: 'assistant',
    model: context.model,
    content,
    stop_reason: null,
    stop_sequence: null,
    usage: writeUsage(usage),
  }
}

/** Clients loop on this word, so it must agree with the blocks (pitfalls S12, S13). */
export function toStop(stop: StopReason, hasTool: boolean): StopReason {
  if (hasTool) return stop === 'end_turn' ? 'tool_use' : stop
  return stop === 'tool_use' ? 'end_turn' : stop
}
