/**
 * Decodes a Responses request: input items become turns, neighbours of one role become one turn.
 * https://platform.openai.com/docs/api-reference/responses/create
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { Block, HubRequest, Json, JsonObject, Thinking, Tool, Turn, Warning } from '../../hub/types.ts'
import type { Repair } from '../dialect.ts'
import { decodeFormat, readCommon, readToolChoice, readTools } from '../openai.ts'
import { decodeContent, decodeToolContent, toBlocks } from '../parts.ts'
import {
  arr, defined, given, isObject, num, obj, objectsIn, oneOf, optionalArr, optionalObj, optionalStr, readEffort, str,
  toText, unsupported,
} from '../read.ts'
import { isClientItem, readInput, readProof, readThought } from './wire.ts'

/** Fields that have a place in the hub, are answered here, or say nothing to another server; others are lost. */
const KNOWN = new Set([
  'model', 'input', 'instructions', 'tools', 'tool_choice', 'parallel_tool_calls', 'max_output_tokens', 'temperature',
  'top_p', 'reasoning', 'text', 'safety_identifier', 'user', 'prompt_cache_key', 'prompt_cache_retention',
  'service_tier', 'stream', 'stream_options', 'store', 'include', 'metadata', 'client_metadata', 'truncation',
])

export function decodeRequest(body: JsonObject): { request: HubRequest; warnings: Warning[] } {
  refuseServerHeld(body)
  const warnings: Warning[] = []
  for (const [path, value] of Object.entries(body)) {
    if (!KNOWN.has(path) && value) warnings.push({ path, reason: 'no other API has it in this form' })
  }
  if (body['truncation'] === 'auto') warnings.push({ path: 'truncation', reason: 'other backends refuse what is too long' })
  const logprobs = optionalArr(body['include'])?.includes('message.output_text.logprobs')
  if (logprobs) warnings.push({ path: 'include', reason: 'answers of other backends come without log probabilities' })
  const { input: _, ...extra } = body
  const text = optionalObj(body['text'])
  const format = decodeFormat(optionalObj(text?.['format']), 'text.format.schema')
  const request: HubRequest = {
    ...readCommon(body),
    turns: decodeTurns(body),
    ...readToolChoice(body['tool_choice'], decodeTools(body), warnings),
    maxTokens: given(body['max_output_tokens'], 'max_output_tokens', num),
    stop: [],
    thinking: decodeThinking(optionalObj(body['reasoning'])),
    format: format && defined(format),
    streamUsage: true,
    extra: { responses: extra, chat: readShared(text, body['prompt_cache_retention']) },
  }
  return { request, warnings }
}

/** What Chat Completions calls by the same name. `metadata` is refused there unless the answer is stored. */
function readShared(text: JsonObject | undefined, retention: Json | undefined): JsonObject {
  return defined({ verbosity: text?.['verbosity'] ?? undefined, prompt_cache_retention: retention ?? undefined })
}

/** What needs the vendor's own server: no other API can say it. */
function refuseServerHeld(body: JsonObject): void {
  if (body['background'] === true)
    unsupported('background', 'this model is served by a backend without background mode; send background: false')
  for (const field of ['conversation', 'prompt'] as const) {
    if (body[field] != null)
      unsupported(field, 'this model is served by a backend that keeps nothing; send the whole input instead')
  }
  if (body['previous_response_id'] == null) return
  throw new DarioError('invalid_request',
    'previous_response_id: dario does not hold this response (it keeps the latest in memory); send the whole input instead',
    { path: 'previous_response_id', details: { code: 'previous_response_not_found' } })
}

function decodeTurns(body: JsonObject): Turn[] {
  const turns: Turn[] = []
  const push: Push = (role, blocks, path) => {
    if (blocks.length === 0) return
    const last = turns.at(-1)
    // R8, B3: neighbours join, except system turns: an encoder decides by position what to do with each.
    // One by one, as no call takes a hundred thousand arguments.
    if (last?.role === role && role !== 'system') for (const block of blocks) last.blocks.push(block)
    else turns.push({ role, blocks, path })
  }
  push('system', toBlocks(given(body['instructions'], 'instructions', str) ?? ''), 'instructions')
  if (typeof body['input'] === 'string') push('user', toBlocks(body['input']), 'input')
  else {
    for (const [index, item] of arr(body['input'], 'input').entries()) {
      const path = `input[${index}]`
      decodeItem(obj(item, path), path, push)
    }
  }
  return turns
}

type Push = (role: Turn['role'], blocks: Block[], path: string) => void

function decodeItem(item: JsonObject, path: string, push: Push): void {
  const type = optionalStr(item['type']) ?? (item['role'] === undefined ? '' : 'message')
  switch (type) {
    case 'message': {
      const role = item['role'] === 'developer' ? 'system' : oneOf(item['role'], `${path}.role`, ['user', 'assistant', 'system'])
      return push(role, decodeContent(item['content'], `${path}.content`, 'responses'), path)
    }
    case 'reasoning': {
      const text = readThought(item), proof = readProof(item)
      return push('assistant', text === '' && proof === undefined ? [] : [{ type: 'thinking', text, ...proof }], path)
    }
    case 'function_call':
    case 'custom_tool_call': return push('assistant', decodeCall(item, path), path)
    case 'function_call_output':
    case 'custom_tool_call_output': return push('user', decodeOutput(item, path), path)
    case 'additional_tools': return // with the other tools
    case 'item_reference': return unsupported(path, 'dario does not hold the item that this refers to; send the item itself')
    default: {
      const role = isClientItem(str(item['type'], `${path}.type`)) ? 'user' : 'assistant'
      return push(role, [{ type: 'opaque', origin: 'responses', value: item }], path)
    }
  }
}

function decodeCall(item: JsonObject, path: string): Block[] {
  const name = str(item['name'], `${path}.name`)
  if (name === '') return [] // B14: no backend takes it; its output then becomes plain text
  const kind = item['type'] === 'custom_tool_call' ? 'custom' : 'function'
  const id = str(item['call_id'], `${path}.call_id`), namespace = optionalStr(item['namespace'])
  return [defined({ type: 'tool_use', id, name, input: readInput(item), kind, namespace })]
}

function decodeOutput(item: JsonObject, path: string): Block[] {
  const output = decodeToolContent(item['output'], `${path}.output`, 'responses')
  const toolUseId = optionalStr(item['call_id']) ?? ''
  if (toolUseId === '') return output.content // R7: an invented id would poison every later turn
  return [{ type: 'tool_result', toolUseId, ...output }]
}

/** Codex offers its newest models every tool in the conversation itself; the later of two with one name holds. */
function decodeTools(body: JsonObject): Tool[] {
  const tools = readTools(body['tools'], 'tools', 'responses')
  for (const [index, item] of (optionalArr(body['input']) ?? []).entries()) {
    if (!isObject(item) || item['type'] !== 'additional_tools') continue
    for (const tool of readTools(item['tools'], `input[${index}].tools`, 'responses')) tools.push(tool)
  }
  return [...new Map(tools.map((tool) => [JSON.stringify('name' in tool ? [tool.namespace, tool.name] : tool.value), tool])).values()]
}

/** A wish for summaries alone is no wish for reasoning: Codex sends it to models that have none (Q4, T10). */
function decodeThinking(reasoning: JsonObject | undefined): Thinking | undefined {
  const effort = optionalStr(reasoning?.['effort'])
  if (effort === undefined) return undefined
  if (effort === 'none') return { mode: 'off' }
  const visible = (reasoning?.['summary'] ?? reasoning?.['generate_summary']) != null
  return defined<Thinking>({ mode: 'on', effort: readEffort(effort), visible })
}

/** As `hub/ids.ts` makes them, for backends that give their thoughts no id: no vendor keeps such an item. */
const MADE_HERE = /^rs_[0-9a-f]{32}$/

/**
 * A relayed request without the reasoning that its backend could not verify: another vendor's, where there is any
 * (the client changed models), else all of it.
 */
export function repairBody(body: JsonObject, repairs: ReadonlySet<Repair>): JsonObject {
  const input = optionalArr(body['input'])
  if (input === undefined || !repairs.has('no_thinking_history')) return body
  const thoughts = objectsIn(input).filter((item) => item['type'] === 'reasoning')
  const guess = ({ id }: JsonObject): string => MADE_HERE.test(toText(id)) ? 'chat' : 'responses'
  const foreign = thoughts.filter((item) => (readProof(item)?.seal.origin ?? guess(item)) !== 'responses')
  const refused = new Set<Json>(foreign.length > 0 ? foreign : thoughts)
  return { ...body, input: input.filter((item) => !refused.has(item)) }
}
