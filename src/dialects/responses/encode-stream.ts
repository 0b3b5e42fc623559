/**
 * Encodes hub events as a Responses answer: every item is added, filled and done exactly once, under one counter.
 * A whole answer is built by the same code, so both forms say the same.
 * https://platform.openai.com/docs/api-reference/responses-streaming
 * @module
 */
import type { DarioError } from '../../errors.ts'
import type { Block, BlockOf, HubEvent, HubReply, JsonObject, Seal, StopReason, Usage } from '../../hub/types.ts'
import type { ReplyContext, StreamEncoder } from '../dialect.ts'
import { KEEP_ALIVE, NO_USAGE } from '../openai.ts'
import { defined, parseObject } from '../read.ts'
import { INCOMPLETE, encodeCall, encodeEvent, encodeMessage, encodePart, encodeResponse, encodeSeal } from './wire.ts'

/** Told of every stream event of this answer, in order. */
type Emit = (type: string, fields: JsonObject) => void

/** Where an item, or a part of it, stands: the same in each of its events. */
type Where = JsonObject & { output_index: number; content_index?: number }

interface Message {
  where: Where
  content: JsonObject[]
  openParts: number
}

/** Where the text of an open hub block goes, under which word (`response.<word>.delta`), and what came of it so far. */
type Filled<Type, Word> = { type: Type; word: Word; where: Where; text: string }
type Part = Filled<'part', 'output_text' | 'refusal'> & { message: Message }
type Thought = Filled<'thought', 'reasoning_summary_text'> & { redacted: boolean; seal: Seal | undefined }
type Call = Filled<'call', 'function_call_arguments' | 'custom_tool_call_input'> & { block: BlockOf<'tool_use'> }

export function createStreamEncoder(context: ReplyContext): StreamEncoder {
  let sequence = 0, text = ''
  const build = createBuilder(context, (type, fields) => void (text += encodeEvent(type, sequence++, fields)))
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
  const blocks = new Map<number, Part | Thought | Call>()
  /** Ended calls whose `done` events wait for what comes next: a call that was cut must never be run (pitfall R13). */
  const held: Call[] = []
  let message: Message | undefined // that the next text joins
  let nextOutput = 0, id = '', over = false, refused = false

  function start(): void {
    if (id !== '') return
    id = context.newId('resp_')
    const response = encodeResponse(context, id, { status: 'in_progress', output: [] })
    emit('response.created', { response })
    emit('response.in_progress', { response })
  }

  function add(item: JsonObject): Where {
    const where = { item_id: item['id'], output_index: nextOutput++ }
    emit('response.output_item.added', { output_index: where.output_index, item })
    return where
  }

  function finish({ output_index }: Where, item: JsonObject): void {
    output[output_index] = item
    emit('response.output_item.done', { output_index, item })
  }

  function open(index: number, block: Block): void {
    start()
    settleHeld(false)
    if (message !== undefined && block.type !== 'text' && block.type !== 'refusal') {
      const left = message
      message = undefined
      settle(left)
    }
    switch (block.type) {
      case 'text':
      case 'refusal':
        blocks.set(index, openPart(block.type === 'text' ? 'output_text' : 'refusal'))
        return write(index, block.text)
      case 'thinking': {
        const where = { ...add({ id: context.newId('rs_'), type: 'reasoning', summary: [] }), summary_index: 0 }
        const { seal, redacted = false } = block
        blocks.set(index, { type: 'thought', word: 'reasoning_summary_text', where, text: '', redacted, seal })
        return write(index, block.text)
      }
      case 'tool_use': {
        const custom = block.kind === 'custom'
        const word = custom ? 'custom_tool_call_input' : 'function_call_arguments'
        const where = add(encodeCall(context.newId(custom ? 'ctc_' : 'fc_'), block, '', 'in_progress'))
        blocks.set(index, { type: 'call', word, where, text: '', block })
        return write(index, block.input)
      }
      case 'opaque': // lossy: server tools of another vendor have no item here
        return block.origin === 'responses' ? finish(add(block.value), block.value) : undefined
      case 'media': // lossy: an answer here holds text and calls only
      case 'tool_result': return
      default: block satisfies never
    }
  }

  /** Neighbouring text blocks are parts of one message: citations split a sentence into many blocks. */
  function openPart(word: Part['word']): Part {
    message ??= { where: add(encodeMessage(context.newId('msg_'), [], 'in_progress')), content: [], openParts: 0 }
    const part = encodePart(word, '')
    const where = { ...message.where, content_index: message.content.push(part) - 1 }
    message.openParts++
    if (word === 'refusal') refused = true
    emit('response.content_part.added', { ...where, part })
    return { type: 'part', word, where, text: '', message }
  }

  function write(index: number, text: string): void {
    const block = blocks.get(index)
    if (block === undefined || text === '') return
    if (block.type === 'thought' && block.text === '') { // R9: the part opens before its first delta
      emit('response.reasoning_summary_part.added', { ...block.where, part: encodePart('summary_text', '') })
    }
    block.text += text // only ever appended to: a delta of one character must cost one character
    const probabilities = block.word === 'output_text' ? { logprobs: [] } : {}
    emit(`response.${block.word}.delta`, { ...block.where, delta: text, ...probabilities })
  }

  function close(index: number): void {
    const block = blocks.get(index)
    blocks.delete(index)
    if (block?.type === 'part') closePart(block)
    else if (block?.type === 'thought') closeThought(block)
    else if (block !== undefined) held.push(block)
  }

  /** The `done` event of a text says what its part says. */
  function finishPart({ word, where }: Part | Thought, group: 'content_part' | 'reasoning_summary_part', part: JsonObject): void {
    const { type: _, annotations: __, ...said } = part
    emit(`response.${word}.done`, { ...where, ...said })
    emit(`response.${group}.done`, { ...where, part })
  }

  function closePart(block: Part): void {
    const part = encodePart(block.word, block.text)
    block.message.content[block.where.content_index ?? 0] = part
    finishPart(block, 'content_part', part)
    block.message.openParts--
    settle(block.message)
  }

  /** A message that was left is done as soon as no part is open. */
  function settle(done: Message): void {
    if (done !== message && done.openParts === 0) finishMessage(done, 'completed')
  }

  const finishMessage = ({ where, content }: Message, status: string): void =>
    finish(where, encodeMessage(where['item_id'], content, status))

  function closeThought(block: Thought): void {
    const { text, where, seal } = block
    const summary = text === '' ? [] : [encodePart('summary_text', text)]
    for (const part of summary) finishPart(block, 'reasoning_summary_part', part)
    const proof = seal && encodeSeal(seal, block.redacted)
    finish(where, defined({ id: where['item_id'], type: 'reasoning', summary, encrypted_content: proof }))
  }

  function finishCall(call: Call): void {
    const { where, block } = call
    if (call.text === '' && block.kind !== 'custom') {
      call.text = '{}' // K8
      emit('response.function_call_arguments.delta', { ...where, delta: call.text })
    }
    const done = block.kind === 'custom' ? { input: call.text } : { arguments: call.text, name: block.name }
    emit(`response.${call.word}.done`, { ...where, ...done })
    finish(where, encodeCall(where['item_id'], block, call.text, 'completed'))
  }

  /** In a cut answer a call whose input is whole is finished, another stays undone. */
  function settleHeld(cut: boolean): void {
    for (const call of held.splice(0)) {
      const { where, block, text } = call
      if (!cut || block.kind !== 'custom' && parseObject(text) !== undefined) finishCall(call)
      else output[where.output_index] = encodeCall(where['item_id'], block, text, 'incomplete')
    }
  }

  function end(stop: StopReason, usage: Usage): void {
    start()
    // A refusal that was said is a whole answer, as OpenAI has it; one without words is a filter's doing.
    const reason = stop === 'refusal' && refused ? undefined : INCOMPLETE[stop]
    const status = reason === undefined ? 'completed' : 'incomplete'
    settleHeld(reason !== undefined)
    if (message !== undefined) finishMessage(message, status)
    const response = encodeResponse(context, id, { status, output, usage, reason })
    context.keep?.(response)
    emit(`response.${status}`, { response })
  }

  function fail(error: DarioError, told: Partial<Usage> | undefined): void {
    start()
    const finished = output.filter((item) => item !== undefined) // items that were never done leave holes
    const usage = told && { ...NO_USAGE, ...told }
    emit('response.failed', { response: encodeResponse(context, id, { status: 'failed', output: finished, usage, error }) })
  }

  return (event) => {
    if (over) return
    over = event.type === 'end' || event.type === 'error'
    switch (event.type) {
      case 'start': return start()
      case 'block_start': return open(event.index, event.block)
      case 'delta': return write(event.index, event.text)
      case 'seal': {
        const block = blocks.get(event.index)
        if (block?.type === 'thought') block.seal = event.seal
        return
      }
      case 'block_end': return close(event.index)
      case 'end': return end(event.stop, event.usage)
      case 'error': return fail(event.error, event.usage)
      case 'ping': return
      default: event satisfies never
    }
  }
}
