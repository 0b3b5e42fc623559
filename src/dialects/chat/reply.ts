/**
 * A whole hub reply as a Chat Completions answer.
 * https://platform.openai.com/docs/api-reference/chat/object
 * @module
 */
import type { BlockOf, HubReply, JsonObject } from '../../hub/types.ts'
import type { ReplyContext } from '../dialect.ts'
import { encodeSealEntry } from './reasoning.ts'
import { encodeFinishReason, encodeUsage } from './wire.ts'

export function encodeReply(reply: HubReply, context: ReplyContext): JsonObject {
  const calls: JsonObject[] = [], details: JsonObject[] = []
  let text = '', refusal = '', reasoning = ''
  for (const block of reply.blocks) {
    switch (block.type) {
      case 'text':
        text += block.text
        break
      case 'refusal':
        refusal += block.text
        break
      case 'thinking':
        if (block.seal !== undefined) details.push(encodeSealEntry(block.seal, reasoning.length, block.text.length))
        reasoning += block.text
        break
      case 'tool_use':
        calls.push(encodeCall(block))
        break
      default: // lossy: media and other vendors' blocks have no place in a Chat answer
    }
  }
  const finish = encodeFinishReason(reply.stop, { tools: calls.length > 0, refusal: refusal !== '' })
  return {
    id: context.newId('chatcmpl-'),
    object: 'chat.completion',
    created: context.created,
    model: context.model,
    choices: [{
      index: 0,
      message: {
        role: 'assistant',
        content: text === '' && (calls.length > 0 || refusal !== '') ? null : text,
        refusal: refusal === '' ? null : refusal,
        ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
        ...(details.length === 0 ? {} : { reasoning_details: details }),
        ...(calls.length === 0 ? {} : { tool_calls: calls }), // A10: clients run their tool loop on an empty list too
      },
      logprobs: null,
      finish_reason: finish,
    }],
    usage: encodeUsage(reply.usage),
  }
}

function encodeCall({ id, name, input, kind }: BlockOf<'tool_use'>): JsonObject {
  if (kind === 'custom') return { id, type: 'custom', custom: { name, input } }
  return { id, type: 'function', function: { name, arguments: input.trim() === '' ? '{}' : input } } // K8
}
