/**
 * A Chat Completions request, as clients really send it, as a hub request.
 * https://platform.openai.com/docs/api-reference/chat/create
 * @module
 */
import type { Block, HubRequest, Json, JsonObject, OutputFormat, Thinking, Tool, Turn, Warning } from '../../hub/types.ts'
import { decodeFormat, readCommon, readToolChoice, readTools } from '../openai.ts'
import { decodeContent, decodePart, decodeToolContent } from '../parts.ts'
import {
  arr, defined, given, num, obj, objectsIn, oneOf, optionalNum, optionalObj, optionalStr, readCache, readEffort,
  readStops, unsupported,
} from '../read.ts'
import { toInput } from './decode-calls.ts'
import { decodeThoughts } from './reasoning.ts'

/** Fields that have a place in the hub; all others travel as `extra.chat`. */
const KNOWN = new Set([
  'model', 'messages', 'tools', 'functions', 'tool_choice', 'function_call', 'parallel_tool_calls', 'max_tokens',
  'max_completion_tokens', 'temperature', 'top_p', 'stop', 'reasoning_effort', 'reasoning', 'thinking',
  'response_format', 'user', 'safety_identifier', 'prompt_cache_key', 'service_tier', 'stream', 'stream_options', 'n',
  'web_search_options',
])

/** Dialects differ whenever this runs, so what only Chat can do is refused here. */
export function decodeRequest(body: JsonObject): { request: HubRequest; warnings: Warning[] } {
  const many = optionalNum(body['n'])
  if (many !== undefined && many > 1) {
    unsupported('n', `this backend gives one answer per request; send it ${many} times, or route the model to a Chat backend`)
  }
  const warnings: Warning[] = []
  // What is off (`logprobs: false`, `store: false`) is off everywhere: nothing to carry, nothing to lose.
  const extra = Object.entries(body).filter(([field, value]) => !KNOWN.has(field) && value != null && value !== false)
  const request: HubRequest = {
    ...readCommon(body),
    turns: decodeMessages(arr(body['messages'], 'messages'), warnings),
    ...readToolChoice(body['tool_choice'] ?? body['function_call'], decodeTools(body), warnings),
    maxTokens: readLimit(body, 'max_completion_tokens') ?? readLimit(body, 'max_tokens'),
    stop: readStops(body['stop']),
    thinking: decodeThinking(body),
    format: readFormat(optionalObj(body['response_format']), warnings),
    streamUsage: optionalObj(body['stream_options'])?.['include_usage'] === true,
    extra: extra.length === 0 ? {} : { chat: Object.fromEntries(extra) },
  }
  return { request, warnings }
}

/** -1 is how llama.cpp and LM Studio say "none", and so their clients; others would refuse it, or cut the answer short. */
function readLimit(body: JsonObject, field: string): number | undefined {
  const limit = given(body[field], field, num)
  return limit === -1 ? undefined : limit
}

function readFormat(format: JsonObject | undefined, warnings: Warning[]): OutputFormat | undefined {
  const found = decodeFormat(format)
  if (found === undefined && (format?.['type'] ?? 'text') !== 'text')
    warnings.push({ path: 'response_format', reason: 'only some Chat backends know such a format' })
  return found
}

function decodeMessages(messages: Json[], warnings: Warning[]): Turn[] {
  const turns: Turn[] = []
  /** Ids that we gave to legacy `function_call`s, which have none, by function name. */
  const legacyIds = new Map<string, string>()
  for (const [index, item] of messages.entries()) {
    const path = `messages[${index}]`
    const message = obj(item, path)
    const turn = decodeMessage(message, path, legacyIds, warnings)
    markLast(turn.blocks, message)
    const last = turns.at(-1)
    // B2: the results of parallel calls are one message each here and one turn everywhere else.
    if (isResults(turn) && last !== undefined && isResults(last)) last.blocks.push(...turn.blocks)
    else if (turn.blocks.length > 0 || turn.role === 'user') turns.push(turn) // B5
  }
  return turns
}

const isResults = (turn: Turn): boolean => turn.blocks[0]?.type === 'tool_result'

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'] as const

function decodeMessage(message: JsonObject, path: string, legacyIds: Map<string, string>, warnings: Warning[]): Turn {
  const role = oneOf(message['role'], `${path}.role`, ROLES)
  const name = optionalStr(message['name'])
  const isResult = role === 'tool' || role === 'function' // its name is its tool's
  const drop = (field: string, reason: string): number => warnings.push({ path: `${path}.${field}`, reason })
  if (name !== undefined && !isResult) drop('name', 'participants have names in Chat only')
  if (message['audio']) drop('audio', 'only the vendor that spoke it has this answer')
  if (role === 'assistant') return { role, path, blocks: decodeAssistant(message, path, legacyIds) }
  if (!isResult) {
    return { role: role === 'user' ? role : 'system', path, blocks: decodeParts(message['content'], `${path}.content`) }
  }
  const id = role === 'tool' ? optionalStr(message['tool_call_id']) : legacyIds.get(name ?? '')
  return { role: 'user', path, blocks: decodeResult(message, id ?? '', path) }
}

/** Cursor sends Anthropic's own tool blocks when a model is called like one of Anthropic's. */
function decodeParts(content: Json | undefined, path: string): Block[] {
  if (!Array.isArray(content)) return decodeContent(content, path, 'chat')
  return content.flatMap((part, index): Block[] => {
    const at = `${path}[${index}]`, block = optionalObj(part) ?? {}
    if (block['type'] === 'tool_use')
      return [decodeCall({ ...block, arguments: block['input'] }, optionalStr(block['id']) ?? '')]
    if (block['type'] !== 'tool_result') return decodePart(part, at, 'chat')
    const result = decodeResult(block, optionalStr(block['tool_use_id']) ?? '', at)
    markLast(result, block)
    return result
  })
}

/** R7: a result that names no call becomes plain text, never an invented id. */
function decodeResult(message: JsonObject, id: string, path: string): Block[] {
  const { content, isError } = decodeToolContent(message['content'], `${path}.content`, 'chat')
  if (id === '') return content
  return [{ type: 'tool_result', toolUseId: id, content, isError: isError || message['is_error'] === true }]
}

function decodeAssistant(message: JsonObject, path: string, legacyIds: Map<string, string>): Block[] {
  const refusal = optionalStr(message['refusal'])
  const blocks: Block[] = [
    ...decodeThoughts(message),
    ...decodeParts(message['content'], `${path}.content`),
    ...(refusal ? [{ type: 'refusal', text: refusal } as const] : []),
  ]
  for (const item of objectsIn(message['tool_calls'])) blocks.push(decodeCall(item, optionalStr(item['id']) ?? ''))
  const legacy = optionalObj(message['function_call'])
  if (legacy !== undefined) {
    const id = `call_${path.replace(/\D/g, '')}` // the same request always makes the same ids (C6)
    legacyIds.set(optionalStr(legacy['name']) ?? '', id)
    blocks.push(decodeCall({ function: legacy }, id))
  }
  return blocks
}

/** Some models make calls without a name: the repair of the history leaves them out, with their results (B14). */
function decodeCall(call: JsonObject, id: string): Block {
  const custom = optionalObj(call['custom'])
  const part = custom ?? optionalObj(call['function']) ?? call
  const name = optionalStr(part['name']) ?? ''
  const input = toInput(custom === undefined ? part['arguments'] : part['input'])
  return { type: 'tool_use', id, name, input, ...(custom && { kind: 'custom' }), ...defined({ cache: readCache(call) }) }
}

/** C1: a mark on a message is meant for the end of it. */
function markLast(blocks: Block[], message: JsonObject): void {
  const last = blocks.at(-1)
  const takesMark = last !== undefined && last.type !== 'thinking' && last.type !== 'opaque' && last.type !== 'refusal'
  if (takesMark) Object.assign(last, defined({ cache: readCache(message) }))
}

function decodeTools(body: JsonObject): Tool[] {
  const tools = readTools(body['tools'], 'tools', 'chat')
  for (const tool of readTools(body['functions'], 'functions', 'chat')) tools.push(tool) // the form before `tools`
  const search = optionalObj(body['web_search_options'])
  if (search !== undefined) tools.push({ type: 'web_search', origin: 'chat', value: search, path: 'web_search_options' })
  return tools
}

/** `reasoning_effort`, OpenRouter's `reasoning`, and the `thinking` switch that many vendors took from Anthropic. */
function decodeThinking(body: JsonObject): Thinking | undefined {
  const reasoning = optionalObj(body['reasoning']), thinking = optionalObj(body['thinking'])
  const word = optionalStr(body['reasoning_effort']) ?? optionalStr(reasoning?.['effort'])
  const budget = optionalNum(reasoning?.['max_tokens']) ?? optionalNum(thinking?.['budget_tokens'])
  if (word === 'none' || reasoning?.['enabled'] === false || thinking?.['type'] === 'disabled') return { mode: 'off' }
  const visible = reasoning?.['exclude'] === true ? { visible: false } : {}
  if (budget !== undefined) return { mode: 'on', budget, ...visible }
  const effort = readEffort(word)
  if (effort !== undefined) return { mode: 'on', effort, ...visible }
  if (thinking?.['type'] === 'adaptive') return { mode: 'adaptive' }
  return reasoning?.['enabled'] === true || thinking?.['type'] === 'enabled' ? { mode: 'on', ...visible } : undefined
}
