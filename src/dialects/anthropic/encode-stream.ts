/**
 * Hub events as Anthropic's stream: one block after another, each with the next index, exactly one end. And whole
 * answers as messages.
 * @see https://docs.claude.com/en/docs/build-with-claude/streaming
 * @module
 */
import type { Block, HubEvent, HubReply, JsonObject, Seal, Usage } from '../../hub/types.ts'
import { encodeSse } from '../../sse.ts'
import type { ReplyContext, StreamEncoder } from '../dialect.ts'
import { encodeStreamError } from './error.ts'
import { toSignature, toStop, writeReplyBlock, writeUsage } from './wire.ts'

/** How a block begins: what streams afterwards is not in it yet. */
const EMPTY: Readonly<Record<string, JsonObject>> = {
  text: { text: '' }, thinking: { thinking: '', signature: '' }, tool_use: { input: {} },
}

const send = (data: JsonObject & { type: string }): string => encodeSse(data.type, data)

export function createStreamEncoder(context: ReplyContext): StreamEncoder {
  let started = false, hasTool = false
  let next = 0 // wire index of the next block
  let current: { index: number; shown: boolean; delta: 'text' | 'thinking' | 'input' } | undefined
  const waiting = new Map<number, HubEvent[]>() // blocks that began while another was open (pitfall S5)

  function start(event: Extract<HubEvent, { type: 'start' }> | undefined): string {
    if (started) return ''
    started = true
    return send({ type: 'message_start', message: createMessage(event?.id ?? '', [], event?.usage ?? {}, context) })
  }

  function startBlock(index: number, block: Block): string {
    if (block.type === 'tool_use') hasTool = true
    const wire = writeReplyBlock(block)
    const delta = block.type === 'tool_use' ? 'input' : block.type === 'thinking' ? 'thinking' : 'text'
    current = { index, shown: wire !== undefined, delta }
    if (wire === undefined) return ''
    const text = 'text' in block ? block.text : block.type === 'tool_use' ? block.input : ''
    const seal = block.type === 'thinking' && wire['type'] === 'thinking' ? block.seal : undefined
    const { type } = wire // of an opaque block whatever the vendor sent
    const opening = { ...wire, ...(typeof type === 'string' ? EMPTY[type] : undefined) }
    return send({ type: 'content_block_start', index: next, content_block: opening })
      + (text === '' || wire['type'] === 'redacted_thinking' ? '' : sendText(text))
      + (seal === undefined ? '' : sendSeal(seal))
  }

  const sendDelta = (delta: JsonObject): string => send({ type: 'content_block_delta', index: next, delta })
  const sendSeal = (seal: Seal): string => sendDelta({ type: 'signature_delta', signature: toSignature(seal) })

  function sendText(text: string): string {
    switch (current?.delta) {
      case 'thinking': return sendDelta({ type: 'thinking_delta', thinking: text })
      case 'input': return sendDelta({ type: 'input_json_delta', partial_json: text })
      default: return sendDelta({ type: 'text_delta', text })
    }
  }

  function stopBlock(): string {
    const shown = current?.shown === true
    current = undefined
    return shown ? send({ type: 'content_block_stop', index: next++ }) : ''
  }

  /** The blocks that waited, up to the first that is not complete: that one is open now. */
  function flush(): string {
    let out = ''
    for (const [index, events] of waiting) {
      if (current !== undefined) break
      waiting.delete(index)
      for (const event of events) out += encodeBlockEvent(event)
    }
    return out
  }

  function encodeBlockEvent(event: HubEvent): string {
    switch (event.type) {
      case 'block_start': return startBlock(event.index, event.block)
      case 'delta': return current?.shown === true ? sendText(event.text) : ''
      case 'seal': return current?.shown === true && current.delta === 'thinking' ? sendSeal(event.seal) : ''
      default: return stopBlock()
    }
  }

  function take(event: Extract<HubEvent, { index: number }>): string {
    if (current === undefined && event.type !== 'block_start') return '' // its block is over
    if (current === undefined || current.index === event.index) {
      const out = encodeBlockEvent(event)
      return event.type === 'block_end' ? out + flush() : out
    }
    const events = waiting.get(event.index)
    if (events !== undefined) events.push(event)
    else if (event.type === 'block_start') waiting.set(event.index, [event])
    return ''
  }

  /** Ends the open block and all that waited, so that no client is left with an open one (pitfall S18). */
  function closeAll(): string {
    let out = ''
    while (current !== undefined || waiting.size > 0) out += stopBlock() + flush()
    return out
  }

  return (event) => {
    switch (event.type) {
      case 'start': return start(event)
      case 'ping': return send({ type: 'ping' })
      case 'error': return stopBlock() + encodeStreamError(event.error, '')
      case 'end': {
        const out = start(undefined) + closeAll()
        const delta = { stop_reason: toStop(event.stop, hasTool), stop_sequence: event.stopSequence ?? null }
        const last = send({ type: 'message_delta', delta, usage: writeUsage(event.usage) })
        return out + last + send({ type: 'message_stop' })
      }
      default: return start(undefined) + take(event)
    }
  }
}

export function encodeReply(reply: HubReply, context: ReplyContext): JsonObject {
  const content = reply.blocks.map(writeReplyBlock).filter((block) => block !== undefined)
  return {
    ...createMessage(reply.id, content, reply.usage, context),
    stop_reason: toStop(reply.stop, content.some((block) => block['type'] === 'tool_use')),
    stop_sequence: reply.stopSequence ?? null,
  }
}

/** The message object, open-ended; it names the model as the client wrote it (pitfall M5). */
function createMessage(id: string, content: JsonObject[], usage: Partial<Usage>, context: ReplyContext): JsonObject {
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
