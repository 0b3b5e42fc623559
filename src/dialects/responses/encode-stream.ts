/**
 * Encodes hub events as a Responses answer: every item is added, filled and done exactly once, under one counter.
 * A whole answer is built by the same code, so both forms say the same.
 * https://platform.openai.com/docs/api-reference/responses-streaming
 * @module
 */
import type { DarioError } from '../../errors.ts'
import { packSeal } from '../../hub/seal.ts'
import type { Block, BlockOf, HubEvent, HubReply, JsonObject, Seal, StopReason, Usage } from '../../hub/types.ts'
import type { ReplyContext, StreamEncoder } from '../dialect.ts'
import { KEEP_ALIVE } from '../openai.ts'
import { parseObject } from '../read.ts'
import { INCOMPLETE, encodeEvent, encodeResponse } from './wire.ts'

/** Told of every stream event of this answer, in order. */
type Emit = (type: string, fields: JsonObject) => void

interface Message {
  id: string
  outputIndex: number
  content: JsonObject[]
  openParts: number
  /** Another item has begun: done as soon as no part is open. */
  leaving: boolean
}

/** An open hub block. Text is kept in pieces and joined once: a delta of one character must cost one character. */
type Open =
  | { type: 'part'; message: Message; contentIndex: number; kind: 'text' | 'refusal'; pieces: string[] }
  | { type: 'reasoning'; id: string; outputIndex: number; pieces: string[]; redacted: boolean; seal: Seal | undefined }
  | { type: 'tool'; id: string; outputIndex: number; pieces: string[]; call: BlockOf<'tool_use'> }

type OpenOf<Type extends Open['type']> = Extract<Open, { type: Type }>

export function createStreamEncoder(context: ReplyContext): StreamEncoder {
  let sequence = 0
  let text = ''
  const build = createBuilder(context, (type, fields) => {
    text += encodeEvent(type, sequence++, fields)
  })
  return (event) => {
    if (event.type === 'ping') return KEEP_ALIVE
    text = ''
    build(event)
    return text
  }
}

export function encodeReply(reply: HubReply, context: ReplyContext): JsonObject {
  let whole: JsonObject = {}
  const build = createBuilder(context, (_, fields) => {
    whole = fields['response'] as JsonObject | undefined ?? whole
  })
  build({ type: 'start', id: reply.id, model: reply.model })
  for (const [index, block] of reply.blocks.entries()) {
    build({ type: 'block_start', index, block })
    build({ type: 'block_end', index })
  }
  build({ type: 'end', stop: reply.stop, usage: reply.usage })
  return whole
}

function createBuilder(context: ReplyContext, emit: Emit): (event: HubEvent) => void {
  const output: JsonObject[] = []
  const blocks = new Map<number, Open>()
  /** Ended calls whose `done` events wait for what comes next: a call that was cut must never be run (pitfall R13). */
  let held: OpenOf<'tool'>[] = []
  let message: Message | undefined
  let nextOutput = 0, id = '', over = false, refused = false

  function start(): void {
    if (id !== '') return
    id = context.newId('resp_')
    const response = encodeResponse(context, id, { status: 'in_progress', output: [] })
    emit('response.created', { response })
    emit('response.in_progress', { response })
  }

  function add(outputIndex: number, item: JsonObject): void {
    emit('response.output_item.added', { output_index: outputIndex, item })
  }

  function finish(outputIndex: number, item: JsonObject): void {
    output[outputIndex] = item
    emit('response.output_item.done', { output_index: outputIndex, item })
  }

  function open(index: number, block: Block): void {
    start()
    finishHeld()
    if (block.type !== 'text' && block.type !== 'refusal') leaveMessage()
    switch (block.type) {
      case 'text':
      case 'refusal':
        blocks.set(index, openPart(block.type))
        return write(index, block.text)
      case 'thinking': {
        const item = { id: context.newId('rs_'), type: 'reasoning', summary: [] }
        const redacted = block.redacted === true
        blocks.set(index, { type: 'reasoning', id: item.id, outputIndex: nextOutput, pieces: [], redacted, seal: block.seal })
        add(nextOutput++, item)
        return write(index, block.text)
      }
      case 'tool_use': {
        const itemId = context.newId(block.kind === 'custom' ? 'ctc_' : 'fc_')
        const tool: Open = { type: 'tool', id: itemId, outputIndex: nextOutput++, pieces: [], call: block }
        blocks.set(index, tool)
        add(tool.outputIndex, encodeCall(tool, '', 'in_progress'))
        return write(index, block.input)
      }
      case 'opaque': // lossy: server tools of another vendor have no item here
        if (block.origin !== 'responses') return
        add(nextOutput, block.value)
        return finish(nextOutput++, block.value)
      case 'media': // lossy: an answer here holds text and calls only
      case 'tool_result': return
      default: block satisfies never
    }
  }

  /** Neighbouring text blocks are parts of one message: citations split a sentence into many blocks. */
  function openPart(kind: 'text' | 'refusal'): Open {
    if (message === undefined || message.leaving) {
      message = { id: context.newId('msg_'), outputIndex: nextOutput++, content: [], openParts: 0, leaving: false }
      add(message.outputIndex, encodeMessage(message, 'in_progress'))
    }
    const contentIndex = message.content.length
    const part = encodePart(kind, '')
    message.content.push(part)
    message.openParts++
    if (kind === 'refusal') refused = true
    emit('response.content_part.added', { ...place(message), content_index: contentIndex, part })
    return { type: 'part', message, contentIndex, kind, pieces: [] }
  }

  function write(index: number, text: string): void {
    const block = blocks.get(index)
    if (block === undefined || text === '') return
    if (block.type === 'part') {
      const where = { ...place(block.message), content_index: block.contentIndex, delta: text }
      if (block.kind === 'refusal') emit('response.refusal.delta', where)
      else emit('response.output_text.delta', { ...where, logprobs: [] })
    } else if (block.type === 'reasoning') {
      // R9: the part opens before its first delta.
      if (block.pieces.length === 0) openSummary(block)
      emit('response.reasoning_summary_text.delta', { ...place(block), summary_index: 0, delta: text })
    } else emit(`response.${inputWord(block.call)}.delta`, { ...place(block), delta: text })
    block.pieces.push(text)
  }

  function openSummary(block: OpenOf<'reasoning'>): void {
    const part = { type: 'summary_text', text: '' }
    emit('response.reasoning_summary_part.added', { ...place(block), summary_index: 0, part })
  }

  function close(index: number): void {
    const block = blocks.get(index)
    blocks.delete(index)
    if (block?.type === 'part') closePart(block)
    else if (block?.type === 'reasoning') closeReasoning(block)
    else if (block !== undefined) held.push(block)
  }

  function closePart(block: OpenOf<'part'>): void {
    const text = block.pieces.join('')
    const where = { ...place(block.message), content_index: block.contentIndex }
    const part = encodePart(block.kind, text)
    block.message.content[block.contentIndex] = part
    if (block.kind === 'refusal') emit('response.refusal.done', { ...where, refusal: text })
    else emit('response.output_text.done', { ...where, text, logprobs: [] })
    emit('response.content_part.done', { ...where, part })
    block.message.openParts--
    if (block.message.leaving && block.message.openParts === 0) finishMessage(block.message, 'completed')
  }

  function leaveMessage(): void {
    if (message === undefined || message.leaving) return
    message.leaving = true
    if (message.openParts === 0) finishMessage(message, 'completed')
  }

  function finishMessage(done: Message, status: string): void {
    finish(done.outputIndex, encodeMessage(done, status))
    if (message === done) message = undefined
  }

  function closeReasoning(block: OpenOf<'reasoning'>): void {
    const text = block.pieces.join('')
    // An empty part marks thought that was hidden, no part at all thought that never had words: the way back needs it.
    const hidden = text === '' && block.seal !== undefined && !block.redacted
    const part = { type: 'summary_text', text }
    if (hidden) openSummary(block)
    if (hidden || text !== '') {
      emit('response.reasoning_summary_text.done', { ...place(block), summary_index: 0, text })
      emit('response.reasoning_summary_part.done', { ...place(block), summary_index: 0, part })
    }
    const seal = block.seal
    finish(block.outputIndex, {
      id: block.id, type: 'reasoning', summary: hidden || text !== '' ? [part] : [],
      ...(seal === undefined ? {} : { encrypted_content: seal.origin === 'responses' ? seal.value : packSeal(seal) }),
    })
  }

  function finishHeld(): void {
    for (const tool of held.splice(0)) finishTool(tool)
  }

  function finishTool(tool: OpenOf<'tool'>): void {
    if (tool.pieces.length === 0 && tool.call.kind !== 'custom') {
      emit('response.function_call_arguments.delta', { ...place(tool), delta: '{}' }) // K8
      tool.pieces.push('{}')
    }
    const input = tool.pieces.join('')
    const done = tool.call.kind === 'custom' ? { input } : { arguments: input, name: tool.call.name }
    emit(`response.${inputWord(tool.call)}.done`, { ...place(tool), ...done })
    finish(tool.outputIndex, encodeCall(tool, input, 'completed'))
  }

  /** At the end of a cut answer: a call whose input is whole is finished, another stays undone. */
  function settleHeld(): void {
    for (const tool of held.splice(0)) {
      const input = tool.pieces.join('')
      if (tool.call.kind !== 'custom' && parseObject(input) !== undefined) finishTool(tool)
      else output[tool.outputIndex] = encodeCall(tool, input, 'incomplete')
    }
  }

  function end(stop: StopReason, usage: Usage): void {
    start()
    // A refusal that was said is a whole answer, as OpenAI has it; one without words is a filter's doing.
    const reason = stop === 'refusal' && refused ? undefined : INCOMPLETE[stop]
    const status = reason === undefined ? 'completed' : 'incomplete'
    if (reason === undefined) finishHeld()
    else settleHeld()
    if (message !== undefined) finishMessage(message, status)
    const response = encodeResponse(context, id, { status, output, usage, reason })
    context.keep?.(response)
    emit(`response.${status}`, { response })
  }

  function fail(error: DarioError): void {
    start()
    const finished = output.filter((item) => item !== undefined) // items that were never done leave holes
    emit('response.failed', { response: encodeResponse(context, id, { status: 'failed', output: finished, error }) })
  }

  return (event) => {
    if (over) return
    switch (event.type) {
      case 'start': return start()
      case 'block_start': return open(event.index, event.block)
      case 'delta': return write(event.index, event.text)
      case 'seal': {
        const block = blocks.get(event.index)
        if (block?.type === 'reasoning') block.seal = event.seal
        return
      }
      case 'block_end': return close(event.index)
      case 'end':
        over = true
        return end(event.stop, event.usage)
      case 'error':
        over = true
        return fail(event.error)
      case 'ping': return
      default: event satisfies never
    }
  }
}

const place = (item: { id: string; outputIndex: number }): JsonObject => ({ item_id: item.id, output_index: item.outputIndex })

const inputWord = (call: BlockOf<'tool_use'>): string =>
  call.kind === 'custom' ? 'custom_tool_call_input' : 'function_call_arguments'

function encodePart(kind: 'text' | 'refusal', text: string): JsonObject {
  return kind === 'refusal' ? { type: 'refusal', refusal: text } : { type: 'output_text', text, annotations: [], logprobs: [] }
}

function encodeMessage(message: Message, status: string): JsonObject {
  const content = status === 'in_progress' ? [] : [...message.content]
  return { id: message.id, type: 'message', status, role: 'assistant', content }
}

function encodeCall(tool: OpenOf<'tool'>, input: string, status: string): JsonObject {
  const { id: callId, name, namespace, kind } = tool.call
  return {
    id: tool.id, type: kind === 'custom' ? 'custom_tool_call' : 'function_call', status,
    call_id: callId, name, ...(namespace === undefined ? {} : { namespace }),
    [kind === 'custom' ? 'input' : 'arguments']: input,
  }
}
