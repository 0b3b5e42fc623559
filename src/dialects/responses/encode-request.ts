/**
 * Encodes a hub request for a Responses backend: turns become input items. Nothing is stored there, so a history
 * travels whole and reasoning comes back encrypted.
 * https://platform.openai.com/docs/api-reference/responses/create
 * @module
 */
import type { Block, BlockOf, HubRequest, JsonObject, Turn } from '../../hub/types.ts'
import type { EncodedRequest, Target } from '../dialect.ts'
import { createEncoding, encodeToolFields, tellFormat, toCallId } from '../encoding.ts'
import type { Encoding } from '../encoding.ts'
import { toArguments } from '../openai.ts'
import { ERROR_PREFIX, encodeAudio, toUrl } from '../parts.ts'
import { toText, unsupported } from '../read.ts'
import { encodeOptions, encodeTool, encodeToolChoice, isPlainModel } from './encode-options.ts'

interface Run extends Encoding {
  /** Kind of each call, by its id: an output must be of the same kind. */
  kinds: Map<string, 'function' | 'custom'>
}

export function encodeRequest(request: HubRequest, target: Target): EncodedRequest {
  const run: Run = { ...createEncoding(target), kinds: new Map() }
  // First: among equal names, tools keep theirs and history yields.
  const tools = encodeToolFields(request, run, encodeTool, encodeToolChoice)
  const leading = request.turns.findIndex((turn) => turn.role !== 'system')
  // -1 leaves the last one in the input: instructions alone are refused.
  const told = request.turns.slice(0, leading).map((turn) => readText(turn, run))
  if (request.format !== undefined && target.repairs.has('no_format')) told.push(tellFormat(request.format, run))
  const instructions = told.filter(Boolean).join('\n\n')
  const body: JsonObject = {
    model: target.model,
    ...(instructions === '' ? {} : { instructions }),
    input: request.turns.slice(leading).flatMap((turn) => BY_ROLE[turn.role](turn, run)),
    ...tools,
    ...encodeOptions(request, run),
    store: false,
    stream: request.stream,
  }
  // The proof of reasoning is what lets the next turn go on from it; models without reasoning refuse the wish.
  if (!target.repairs.has('no_thinking') && !isPlainModel(target.model)) body['include'] = ['reasoning.encrypted_content']
  return { body, warnings: run.warnings, toolNames: run.names.changed }
}

function readText(turn: Turn, run: Run): string {
  const text = turn.blocks.flatMap((block) => {
    if (block.type === 'text') return block.text.trim() === '' ? [] : [block.text]
    // C5: an opaque block here is a line for its own vendor, left out on purpose and every time.
    if (block.type !== 'opaque') drop(run, turn, `a ${block.type} block cannot stand in instructions`)
    return []
  })
  return text.join('\n\n')
}

function drop(run: Run, turn: Turn, reason: string): [] {
  return run.drop(turn.path ?? 'input', reason) ?? []
}

const BY_ROLE = { system: encodeSystemTurn, user: encodeUserTurn, assistant: encodeAssistantTurn }

function encodeSystemTurn(turn: Turn, run: Run): JsonObject[] {
  const text = readText(turn, run)
  return text === '' ? [] : [{ type: 'message', role: 'developer', content: [{ type: 'input_text', text }] }]
}

/** Outputs first: nothing may stand between a call and its output (pitfall A3). */
function encodeUserTurn(turn: Turn, run: Run): JsonObject[] {
  const outputs: JsonObject[] = []
  const content: JsonObject[] = []
  for (const block of turn.blocks) {
    if (block.type === 'tool_result') outputs.push(encodeOutput(block, turn, run))
    else if (block.type === 'opaque' && block.origin === 'responses' && isItem(block)) outputs.push(block.value)
    else content.push(...encodePart(block, turn, run))
  }
  if (content.length > 0) outputs.push({ type: 'message', role: 'user', content })
  return outputs
}

/** Opaque values are input items or parts of a message's content. */
const isItem = (block: BlockOf<'opaque'>): boolean => !toText(block.value['type']).startsWith('input_')

function encodeOutput(block: BlockOf<'tool_result'>, turn: Turn, run: Run): JsonObject {
  const parts = block.content.flatMap((inner) => encodePart(inner, turn, run))
  const plain = parts.every((part) => part['type'] === 'input_text')
  const prefix = block.isError ? ERROR_PREFIX : ''
  const output = plain
    ? prefix + parts.map((part) => part['text']).join('\n')
    : [...(prefix === '' ? [] : [{ type: 'input_text', text: prefix.trimEnd() }]), ...parts]
  const type = run.kinds.get(block.toolUseId) === 'custom' ? 'custom_tool_call_output' : 'function_call_output'
  return { type, call_id: toCallId(block.toolUseId, 64, run.target), output }
}

function encodePart(block: Block, turn: Turn, run: Run): JsonObject[] {
  switch (block.type) {
    case 'text':
    case 'refusal': return block.text === '' ? [] : [{ type: 'input_text', text: block.text }]
    case 'media': return [encodeMedia(block, turn)]
    case 'opaque':
      if (block.origin === 'responses') return [block.value]
      return drop(run, turn, `a ${toText(block.value['type'])} block means something to ${block.origin} only`)
    default: return drop(run, turn, `a ${block.type} block cannot stand here`)
  }
}

function encodeMedia(block: BlockOf<'media'>, turn: Turn): JsonObject {
  const { source } = block
  if (source.type === 'text') {
    return { type: 'input_text', text: block.name === undefined ? source.text : `${block.name}:\n${source.text}` }
  }
  if (source.type === 'file') {
    // I2: a file that vanished would be a wrong answer that looks right. Chat and Responses share one vendor's store.
    if (source.origin === 'anthropic') {
      unsupported(turn.path ?? 'messages', `file ${source.id} is kept by Anthropic; send its content instead`)
    }
    return { type: block.kind === 'image' ? 'input_image' : 'input_file', file_id: source.id }
  }
  const url = toUrl(source)
  if (block.kind === 'image') return { type: 'input_image', image_url: url, detail: block.detail ?? 'auto' }
  if (block.kind === 'audio' && source.type === 'base64') return encodeAudio(source)
  if (source.type === 'url') return { type: 'input_file', file_url: url }
  return { type: 'input_file', filename: block.name ?? 'document.pdf', file_data: url }
}

function encodeAssistantTurn(turn: Turn, run: Run): JsonObject[] {
  const items: JsonObject[] = []
  let text: JsonObject[] = []
  const flush = (): void => {
    // A bare string where it can be: some servers know earlier answers in no other form (pitfall A9).
    const plain = text.every((part) => part['type'] === 'output_text')
    const content = plain ? text.map((part) => part['text']).join('') : text
    if (text.length > 0) items.push({ type: 'message', role: 'assistant', content })
    text = []
  }
  for (const block of turn.blocks) {
    switch (block.type) {
      case 'text': if (block.text !== '') text.push({ type: 'output_text', text: block.text }); break
      case 'refusal': text.push({ type: 'refusal', refusal: block.text }); break
      case 'tool_use': flush(); items.push(encodeCall(block, run)); break
      case 'thinking': flush(); items.push(...encodeThinking(block, turn, run)); break
      case 'opaque': flush(); items.push(...encodePart(block, turn, run)); break
      default: drop(run, turn, `a ${block.type} block cannot stand in an assistant turn`)
    }
  }
  flush()
  // The API refuses reasoning that nothing follows: the answer was interrupted there.
  while (items.at(-1)?.['type'] === 'reasoning') items.pop()
  return items
}

function encodeCall(block: BlockOf<'tool_use'>, run: Run): JsonObject {
  const kind = block.kind ?? 'function'
  run.kinds.set(block.id, kind)
  const shared = { call_id: toCallId(block.id, 64, run.target), name: run.names.toWire(block) }
  if (kind === 'custom') return { type: 'custom_tool_call', ...shared, input: block.input }
  return { type: 'function_call', ...shared, arguments: toArguments(block.input) }
}

/** Ids are left out: the backend stores nothing, and would refuse an id that it never kept (pitfall R17). */
function encodeThinking(block: BlockOf<'thinking'>, turn: Turn, run: Run): JsonObject[] {
  const { repairs } = run.target
  if (repairs.has('no_thinking_history')) return drop(run, turn, 'this backend refused earlier reasoning')
  const summary = block.text === '' ? [] : [{ type: 'summary_text', text: block.text }]
  if (block.seal?.origin === 'responses') return [{ type: 'reasoning', summary, encrypted_content: block.seal.value }]
  if (repairs.has('replay_reasoning') && block.text !== '') {
    return [{ type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: block.text }] }]
  }
  // lossy: thought without this API's own proof is never shown to it, nor pasted into the answer (pitfalls A8, T2)
  const whose = block.seal === undefined ? 'has no proof' : `is sealed by ${block.seal.origin}`
  return drop(run, turn, `earlier reasoning ${whose}: it is left out`)
}
