/**
 * Hub events as a Chat Completions stream, and a whole reply as one answer: one id, one `created`, one model for each
 * (pitfall R11).
 * https://platform.openai.com/docs/api-reference/chat-streaming
 * @module
 */
import type { Block, BlockOf, HubEvent, HubReply, JsonObject, Seal } from '../../hub/types.ts'
import type { ReplyContext, StreamEncoder } from '../dialect.ts'
import { KEEP_ALIVE, encodeUsage, toArguments } from '../openai.ts'
import { encodeSealEntry } from './reasoning.ts'
import { encodeFinishReason, encodeStreamError } from './wire.ts'

type Open =
  | { type: 'text' | 'refusal' }
  /** `from`: where this thought begins in all the reasoning text sent so far. */
  | { type: 'thinking'; from: number }
  | { type: 'tool_use'; call: number; custom: boolean; empty: boolean }

export function createStreamEncoder(context: ReplyContext): StreamEncoder {
  const { created, model } = context
  const head = { id: context.newId('chatcmpl-'), object: 'chat.completion.chunk', created, model }
  const opening = `data: ${JSON.stringify(head).slice(0, -1)},"choices":` // the same in every chunk: written once
  const { streamUsage: withUsage, legacyCalls: legacy } = context.request
  const open = new Map<number, Open>()
  const seen = { tools: false, refusal: false }
  let calls = 0, reasoned = 0, begun = false, over = false

  function chunk(choices: JsonObject[], usage: JsonObject | null = null): string {
    return `${opening}${JSON.stringify(choices)}${withUsage ? `,"usage":${JSON.stringify(usage)}` : ''}}\n\n`
  }

  /** Some clients begin a message by its role (S31); it is said once (S9). */
  function begin(): string {
    if (begun) return ''
    begun = true
    return chunk([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }])
  }

  function say(delta: JsonObject, finish: string | null = null): string {
    return begin() + chunk([{ index: 0, delta, finish_reason: finish }])
  }

  function beginBlock(index: number, block: Block): string {
    switch (block.type) {
      case 'text':
      case 'refusal':
        open.set(index, { type: block.type })
        return add(index, block.text)
      case 'thinking':
        open.set(index, { type: 'thinking', from: reasoned })
        return add(index, block.text) + (block.seal === undefined ? '' : seal(index, block.seal))
      case 'tool_use': return beginCall(index, block)
      default: return '' // lossy: media and other vendors' blocks have no delta in Chat
    }
  }

  function beginCall(index: number, block: BlockOf<'tool_use'>): string {
    const custom = block.kind === 'custom', call = calls++
    if (legacy && call > 0) return '' // lossy: `function_call` is one
    open.set(index, { type: 'tool_use', call, custom, empty: true })
    seen.tools = true
    return sayCall(call, encodeCall(block, '')) + add(index, block.input)
  }

  function sayCall(index: number, piece: JsonObject): string {
    return say(legacy ? { function_call: piece['function'] } : { tool_calls: [{ index, ...piece }] })
  }

  function add(index: number, text: string): string {
    const block = open.get(index)
    if (block === undefined || text === '') return ''
    switch (block.type) {
      case 'text': return say({ content: text })
      case 'refusal':
        seen.refusal = true
        return say({ refusal: text })
      case 'thinking':
        reasoned += text.length
        return say({ reasoning_content: text }) // T11
      case 'tool_use': {
        block.empty = false
        return sayCall(block.call, block.custom ? { custom: { input: text } } : { function: { arguments: text } })
      }
    }
  }

  function seal(index: number, value: Seal): string {
    const block = open.get(index)
    if (block?.type !== 'thinking') return ''
    return say({ reasoning_details: [encodeSealEntry(value, block.from, reasoned - block.from)] })
  }

  function close(index: number): string {
    const block = open.get(index)
    const bare = block?.type === 'tool_use' && block.empty && !block.custom // K8: no arguments are an empty object
    const last = bare ? add(index, '{}') : ''
    open.delete(index)
    return last
  }

  return function encode(event: HubEvent): string {
    if (over) return ''
    switch (event.type) {
      case 'start': return begin()
      case 'block_start': return beginBlock(event.index, event.block)
      case 'delta': return add(event.index, event.text)
      case 'seal': return seal(event.index, event.seal)
      case 'block_end': return close(event.index)
      case 'ping': return KEEP_ALIVE
      case 'error':
        over = true
        return encodeStreamError(event.error)
      case 'end': {
        over = true
        const usage = withUsage ? chunk([], encodeUsage(event.usage, 'prompt', 'completion')) : '' // U6
        return `${say({}, encodeFinishReason(event.stop, seen, legacy))}${usage}data: [DONE]\n\n`
      }
      default: return event satisfies never
    }
  }
}

export function encodeReply(reply: HubReply, context: ReplyContext): JsonObject {
  const calls: JsonObject[] = [], details: JsonObject[] = []
  const said = { text: '', refusal: '', thinking: '' }
  for (const block of reply.blocks) { // lossy: media and other vendors' blocks have no place in a Chat answer
    if (block.type === 'thinking' && block.seal !== undefined)
      details.push(encodeSealEntry(block.seal, said.thinking.length, block.text.length))
    if ('text' in block) said[block.type] += block.text
    else if (block.type === 'tool_use')
      calls.push(encodeCall(block, block.kind === 'custom' ? block.input : toArguments(block.input)))
  }
  const { text, refusal, thinking } = said
  const { legacyCalls: legacy } = context.request
  const finish_reason = encodeFinishReason(reply.stop, { tools: calls.length > 0, refusal: refusal !== '' }, legacy)
  const message = {
    role: 'assistant',
    content: text === '' && (calls.length > 0 || refusal !== '') ? null : text,
    refusal: refusal === '' ? null : refusal,
    ...(thinking === '' ? {} : { reasoning_content: thinking }),
    ...(details.length === 0 ? {} : { reasoning_details: details }),
    // A10: clients run their tool loop on an empty list too.
    ...(calls.length === 0 ? {} : legacy ? { function_call: calls[0]!['function'] } : { tool_calls: calls }),
  }
  return {
    id: context.newId('chatcmpl-'), object: 'chat.completion', created: context.created, model: context.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason }],
    usage: encodeUsage(reply.usage, 'prompt', 'completion'),
  }
}

function encodeCall({ id, name, kind }: BlockOf<'tool_use'>, input: string): JsonObject {
  if (kind === 'custom') return { id, type: 'custom', custom: { name, input } }
  return { id, type: 'function', function: { name, arguments: input } }
}
