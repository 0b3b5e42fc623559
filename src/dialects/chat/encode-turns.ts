/**
 * Hub turns as Chat messages: tool results become messages of their own, text becomes strings, and what Chat cannot
 * say is left out with a warning.
 * @module
 */
import type { Block, BlockOf, CacheHint, JsonObject, Turn } from '../../hub/types.ts'
import { encodeCache, shorten, toCallId } from '../encoding.ts'
import type { Encoding } from '../encoding.ts'
import { toArguments } from '../openai.ts'
import { ERROR_PREFIX, encodeAudio, toUrl } from '../parts.ts'
import { defined, objectsIn, parseObject, toText, unsupported } from '../read.ts'
import type { Family } from './families.ts'
import { toCallProof } from './reasoning.ts'
import type { ChatCall, ChatMessage, ChatPart } from './wire.ts'

type Media = BlockOf<'media'>

/** Stands for reasoning that the client lost: a missing or empty one is a 400 (T4). */
const LOST = ' '

export interface EncodeContext extends Encoding {
  family: Family
}

/** Cache marks are hints: where they mean nothing they are left out without a word (pitfall C2). */
export function markCache(cache: CacheHint | undefined, { family, target }: EncodeContext): JsonObject {
  return family.cacheMarks ? encodeCache(cache, target) : {}
}

const BY_ROLE = { system: encodeSystem, assistant: encodeAssistant, user: encodeUser }

export function encodeTurns(turns: readonly Turn[], context: EncodeContext): ChatMessage[] {
  const messages: ChatMessage[] = []
  for (const turn of turns) BY_ROLE[turn.role](turn, messages, context)
  return messages
}

function encodeSystem(turn: Turn, messages: ChatMessage[], context: EncodeContext): void {
  // C5: lines that mean something to one vendor only change per request and would spoil every prefix cache.
  const content = encodeContent(turn.blocks.filter((block) => block.type !== 'opaque'), turn, context)
  if (content === undefined) return
  const last = messages.at(-1)
  if (messages.length === 1 && last?.role === 'system') last.content = joinContent(last.content, content)
  else if (messages.length === 0 || context.family.midSystem) messages.push({ role: 'system', content })
  // lossy: many chat templates fail on a later system message, so it loses its rank and keeps its words
  else addUser(messages, joinContent('[system]', content))
}

/** B3: neighbours are one message, as many chat templates fail on roles that do not alternate. */
function addUser(messages: ChatMessage[], content: string | ChatPart[]): void {
  const last = messages.at(-1)
  if (last?.role === 'user') last.content = joinContent(last.content, content)
  else messages.push({ role: 'user', content })
}

function joinContent(before: ChatMessage['content'], after: string | ChatPart[]): string | ChatPart[] {
  if (typeof before === 'string' && typeof after === 'string') return `${before}\n\n${after}`
  const parts = toParts(before)
  for (const part of toParts(after)) parts.push(part) // in place: a history may have any number of neighbours
  return parts
}

const toParts = (content: ChatMessage['content']): ChatPart[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content ?? []

function encodeAssistant(turn: Turn, messages: ChatMessage[], context: EncodeContext): void {
  const calls = encodeCalls(turn, context)
  const spoken = turn.blocks.filter((block) => block.type === 'text' || block.type === 'refusal')
  const thoughts = encodeThoughts(turn, calls.length > 0, context)
  for (const block of turn.blocks) {
    if (block.type === 'media' || block.type === 'opaque') warnDropped(block, turn, context)
  }
  const marked = spoken.some((block) => block.type === 'text' && block.cache !== undefined) && context.family.cacheMarks
  const plain = spoken.map((block) => block.text).join('')
  const content = (marked ? encodeContent(spoken, turn, context) : plain) || null
  if (content === null && calls.length === 0) return // lossy: a turn of nothing but thoughts has no words here
  const last = messages.at(-1)
  if (last?.role === 'assistant') {
    // R8: neighbours are one turn, and their calls one group; text after a call may not stand before its result (A3).
    if (content !== null) last.content = last.content === null ? content : joinContent(last.content, content)
    for (const call of calls) (last.tool_calls ??= []).push(call)
    const { reasoning_content: before = LOST, reasoning_details: proofs = [] } = last
    const { reasoning_content: after = LOST, reasoning_details: more = [] } = thoughts
    Object.assign(last, thoughts)
    if (before !== LOST) last.reasoning_content = after === LOST ? before : `${before}\n\n${after}`
    if (proofs.length > 0) last.reasoning_details = [...proofs, ...more]
  } else messages.push({ role: 'assistant', content, ...thoughts, ...(calls.length > 0 ? { tool_calls: calls } : {}) })
}

/** Google's own word for a call of another model, or one whose proof was lost; bare, the first of a turn is a 400. */
const UNPROVEN = { google: { thought_signature: 'skip_thought_signature_validator' } }

function encodeCalls(turn: Turn, context: EncodeContext): ChatCall[] {
  const { callProofs } = context.family
  const proofs = callProofs === 'none' ? [] : turn.blocks.map(toCallProof).filter((proof) => proof !== undefined)
  if (callProofs === 'demanded' && proofs.length === 0) proofs.push(UNPROVEN)
  return turn.blocks.filter((block) => block.type === 'tool_use').map((block, index): ChatCall => defined({
    id: encodeId(block.id, context),
    type: 'function',
    function: { name: context.names.toWire(block), arguments: encodeInput(block) },
    extra_content: proofs[index],
  }))
}

/** A8: reasoning goes only where the backend has a field for it and wants it back (T4), never into the text. */
function encodeThoughts(turn: Turn, hasCalls: boolean, context: EncodeContext): Partial<ChatMessage> {
  const { family, target } = context
  const blocks = turn.blocks.filter((block) => block.type === 'thinking')
    .filter((block) => family.callProofs === 'none' || toCallProof(block) === undefined)
  const drop = (): Partial<ChatMessage> => {
    if (blocks.length > 0) context.drop(turn.path ?? 'messages', 'this backend has no place for earlier reasoning')
    return {}
  }
  if (target.repairs.has('no_thinking_history')) return drop()
  const proofs = blocks.flatMap(({ seal }) => seal?.origin === 'chat' ? parseProof(seal.value) : [])
  if (family.details && proofs.length > 0) return { reasoning_details: proofs }
  if (!family.replaysReasoning && !target.repairs.has('replay_reasoning')) return drop() // lossy: no field for it
  const text = blocks.map((block) => block.text).join('\n\n')
  if (text !== '') return { reasoning_content: text }
  return hasCalls ? { reasoning_content: LOST } : {}
}

function parseProof(value: string): ChatPart[] {
  return objectsIn(parseObject(`{"entries":${value}}`)?.['entries']) as ChatPart[]
}

/** K8: always JSON text. A custom tool's raw text is wrapped as it was declared (R5). */
function encodeInput(block: BlockOf<'tool_use'>): string {
  return block.kind === 'custom' ? JSON.stringify({ input: block.input }) : toArguments(block.input)
}

/** R19: OpenAI takes call ids of 40 characters, Mistral exactly nine letters and digits. Same id in, same id out. */
function encodeId(id: string, { family, target }: EncodeContext): string {
  if (family.toolIds === 'any') return toCallId(id, 40, target)
  if (/^[A-Za-z0-9]{9}$/.test(id)) return id
  const hashed = shorten(id.padEnd(99), 18) // long enough to end in a hash of all of it
  return hashed.replace(/[^A-Za-z0-9]/g, '').slice(-9).padStart(9, '0')
}

/** A3: nothing may stand between calls and results, so what else the turn says comes after all of them. */
function encodeUser(turn: Turn, messages: ChatMessage[], context: EncodeContext): void {
  const moved: Block[] = [], rest: Block[] = []
  for (const block of turn.blocks) {
    if (block.type !== 'tool_result') {
      rest.push(block)
      continue
    }
    const id = encodeId(block.toolUseId, context)
    const media = block.content.filter((part) => part.type === 'media')
    const text = block.content.flatMap((part) => {
      if (part.type === 'opaque') return [JSON.stringify(part.value)]
      return part.type === 'text' || part.type === 'refusal' ? [part.text] : []
    })
    // lossy: a picture in a tool's result moves to a user message of its own (K9)
    if (media.length > 0) {
      text.push(`[Files of this result, shown in the user message below: ${media.length}]`)
      moved.push({ type: 'text', text: `From the result of tool call ${id}:` }, ...media)
    }
    const prefix = block.isError ? ERROR_PREFIX : '' // K10
    messages.push({ role: 'tool', tool_call_id: id, content: prefix + text.join('\n') })
  }
  const content = encodeContent([...moved, ...rest], turn, context)
  if (content !== undefined) addUser(messages, content)
}

/** A9: pure text is a string, which every backend takes; parts only where there is more than text. */
function encodeContent(blocks: readonly Block[], turn: Turn, context: EncodeContext): string | ChatPart[] | undefined {
  const parts = blocks.flatMap((block): ChatPart[] => {
    switch (block.type) {
      case 'text':
        return block.text === '' ? [] : [{ type: 'text', text: block.text, ...markCache(block.cache, context) }]
      case 'refusal': return [{ type: 'text', text: block.text }]
      case 'media': return encodeMedia(block, turn, context)
      default: return warnDropped(block, turn, context)
    }
  })
  if (parts.length === 0) return undefined
  return parts.every((part) => part.type === 'text' && part['cache_control'] === undefined)
    ? parts.map((part) => part['text']).join('\n\n')
    : parts
}

function encodeMedia(block: Media, turn: Turn, context: EncodeContext): ChatPart[] {
  const { source } = block
  const mark = markCache(block.cache, context)
  if (source.type === 'text') { // I4
    return [{ type: 'text', text: `${block.name ?? 'Document'}:\n${source.text}`, ...mark }]
  }
  if (source.type === 'file') {
    // I2: one that vanished would be a wrong answer that looks right. Chat and Responses share one vendor's store.
    if (source.origin !== 'anthropic' && block.kind === 'document') return [{ type: 'file', file: { file_id: source.id } }]
    unsupported(turn.path ?? 'messages', `Chat takes no ${block.kind} by the id ${source.id}; send its content instead`)
  }
  const url = toUrl(source)
  if (block.kind === 'image') {
    return [{ type: 'image_url', image_url: defined({ url, detail: block.detail }), ...mark }]
  }
  if (block.kind === 'audio' && source.type === 'base64') return [encodeAudio(source) as ChatPart]
  // OpenRouter fetches URLs itself, the others take a document only whole.
  if (block.kind === 'document' && (source.type === 'base64' || context.family.details)) {
    return [{ type: 'file', file: { filename: block.name ?? 'document.pdf', file_data: url }, ...mark }] // I2
  }
  context.drop(turn.path ?? 'messages', `Chat has no ${block.kind} by URL: the model sees the link only`)
  return [{ type: 'text', text: `${block.name ?? block.kind}: ${url}` }]
}

function warnDropped(block: Block, turn: Turn, { drop }: EncodeContext): [] {
  const what = block.type === 'opaque' ? `${toText(block.value['type'])} block that only ${block.origin} knows`
    : `${block.type} block that this backend cannot be given`
  return drop(turn.path ?? 'messages', `a ${what}`) ?? []
}
