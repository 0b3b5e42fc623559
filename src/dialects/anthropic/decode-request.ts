/**
 * Anthropic Messages requests into the hub.
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import { DarioError } from '../../errors.ts'
import type { Block, HubRequest, Json, JsonObject, Thinking, Tool, ToolChoice, Turn, Warning } from '../../hub/types.ts'
import {
  arr, defined, filled, given, isObject, num, obj, oneOf, optionalBool, optionalNum, optionalObj, optionalStr,
  parseObject, readCache, readEffort, readStops, str, toText,
} from '../read.ts'
import { BILLING_HEADER, readInput, readMedia, readThinking } from './wire.ts'

const KNOWN = new Set([
  'model', 'messages', 'system', 'max_tokens', 'stop_sequences', 'temperature', 'top_p', 'tools', 'tool_choice',
  'thinking', 'output_config', 'output_format', 'metadata', 'stream', 'thread',
])
const TOOL_FIELDS = new Set(['name', 'description', 'input_schema', 'strict', 'cache_control', 'type'])
/** What says nothing to another vendor and costs the answer nothing, so that it is no loss. */
const SILENT = new Set(['context_management', 'diagnostics', 'betas', 'cache_control'])

/**
 * @throws DarioError `invalid_request` with the JSON path; `unsupported_across_dialects` for a server-held thread, in
 * the words on which the SDK sends the whole history instead (pitfall Q1).
 */
export function decodeRequest(body: JsonObject): { request: HubRequest; warnings: Warning[] } {
  if (isObject(body['thread'])) {
    const message = 'thread: this backend keeps no threads; send the whole conversation in messages'
    const details = { error_code: 'thread_unsupported_request', unsupported: ['thread'] }
    throw new DarioError('unsupported_across_dialects', message, { path: 'thread', details })
  }
  const warnings: Warning[] = []
  const extra = Object.fromEntries(Object.entries(body).filter(([name, value]) => !KNOWN.has(name) && value !== null))
  for (const path of Object.keys(extra)) {
    if (!SILENT.has(path)) warnings.push({ path, reason: 'only Anthropic knows this field' })
  }
  const config = optionalObj(body['output_config']) ?? {}
  for (const [name, value] of Object.entries(config)) {
    const isRead = name === 'effort' ? readEffort(value) !== undefined : name === 'format'
    if (!isRead && value !== null) warnings.push({ path: `output_config.${name}`, reason: 'only Anthropic knows it' })
  }
  const user = optionalStr(optionalObj(body['metadata'])?.['user_id'])
  const schema = optionalObj((optionalObj(config['format']) ?? optionalObj(body['output_format']))?.['schema'])
  return {
    warnings,
    request: {
      model: str(body['model'], 'model'),
      turns: [
        ...readSystem(body['system'], warnings),
        ...arr(body['messages'], 'messages').map((message, index) => readTurn(message, `messages[${index}]`, warnings)),
      ],
      tools: readTools(body['tools'], warnings),
      ...readToolChoice(given(body['tool_choice'], 'tool_choice', obj)),
      maxTokens: given(body['max_tokens'], 'max_tokens', num),
      temperature: given(body['temperature'], 'temperature', num),
      topP: given(body['top_p'], 'top_p', num),
      stop: readStops(body['stop_sequences']),
      thinking: readThinkingWish(body),
      ...(schema === undefined ? {} : { format: { type: 'json_schema', schema } }),
      user,
      cacheKey: user === undefined ? undefined : readSession(user),
      stream: body['stream'] === true,
      streamUsage: true,
      extra: Object.keys(extra).length === 0 ? {} : { anthropic: extra },
    },
  }
}

function readSystem(system: Json | undefined, warnings: Warning[]): Turn[] {
  const turn: Turn = { role: 'system', path: 'system', blocks: readContent(system, 'system', warnings) }
  const first = turn.blocks[0]
  // Kept apart, so that it goes to Anthropic only: it changes per request and would spoil others' caches (pitfall C5).
  if (first?.type === 'text' && first.text.startsWith(BILLING_HEADER)) {
    const [line, ...rest] = first.text.split('\n')
    turn.blocks.splice(0, 1, { type: 'opaque', origin: 'anthropic', value: { type: 'text', text: line } })
    if (rest.join('\n').trim() !== '') turn.blocks.splice(1, 0, { ...first, text: rest.join('\n') })
  }
  return turn.blocks.length === 0 ? [] : [turn]
}

function readTurn(value: Json, path: string, warnings: Warning[]): Turn {
  const message = obj(value, path)
  const role = oneOf(message['role'], `${path}.role`, ['user', 'assistant', 'system'])
  return { role, blocks: readContent(message['content'], `${path}.content`, warnings), path }
}

function readContent(content: Json | undefined, path: string, warnings: Warning[]): Block[] {
  if (typeof content === 'string' || isObject(content)) return readBlock(content, path, warnings)
  return (given(content, path, arr) ?? []).flatMap((block, index) => readBlock(block, `${path}[${index}]`, warnings))
}

function readBlock(value: Json, path: string, warnings: Warning[]): Block[] {
  if (typeof value === 'string') return [{ type: 'text', text: value }]
  const block = obj(value, path)
  const hint = defined({ cache: readCache(block) })
  if (optionalObj(block['citations'])?.['enabled'] === true)
    warnings.push({ path: `${path}.citations`, reason: 'only Anthropic cites what it was given' })
  switch (block['type']) {
    case 'text': // lossy: citations point into blocks that other vendors number otherwise
      return [{ type: 'text', text: str(block['text'], `${path}.text`), ...hint }]
    case 'image':
      return [{ ...readMedia('image', obj(block['source'], `${path}.source`), `${path}.source`), ...hint }]
    case 'document': return readDocument(block, path, warnings)
    case 'search_result': {
      const parts = readContent(block['content'], `${path}.content`, warnings)
      const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))
      const words = [block['title'], block['source'], ...texts].filter(Boolean)
      return [{ type: 'text', text: words.map(toText).join('\n'), ...hint }]
    }
    case 'thinking':
    case 'redacted_thinking': return [readThinking(block)]
    case 'tool_use': {
      const id = str(block['id'], `${path}.id`), name = optionalStr(block['name']) ?? ''
      return [{ type: 'tool_use', id, name, input: readInput(block['input']), ...hint }]
    }
    case 'tool_result': {
      const toolUseId = optionalStr(block['tool_use_id']) ?? ''
      const content = readContent(block['content'], `${path}.content`, warnings).map(toReadable)
      return [{ type: 'tool_result', toolUseId, content, isError: block['is_error'] === true, ...hint }]
    }
    default:
      str(block['type'], `${path}.type`)
      return [{ type: 'opaque', origin: 'anthropic', value: block }]
  }
}

function readDocument(block: JsonObject, path: string, warnings: Warning[]): Block[] {
  const source = obj(block['source'], `${path}.source`)
  const media = readMedia('document', source, `${path}.source`)
  const named = { ...media, name: optionalStr(block['title']), ...defined({ cache: readCache(block) }) }
  const parts = source['type'] === 'content' ? readContent(source['content'], `${path}.source.content`, warnings) : []
  const context = optionalStr(block['context']) // what is said of the document; the pictures in it come behind it
  const before: Block[] = context ? [{ type: 'text', text: context }] : []
  return [...before, named, ...parts.filter(({ type }) => type === 'media')]
}

/** Inside a tool's result every block is something that the model should read, whatever the dialect's words for it. */
function toReadable(block: Block): Block {
  if (block.type !== 'opaque') return block
  const name = block.value['type'] === 'tool_reference' ? optionalStr(block.value['tool_name']) : undefined
  return { type: 'text', text: name === undefined ? JSON.stringify(block.value) : `The tool ${name} is available now.` }
}

function readTools(value: Json | undefined, warnings: Warning[]): Tool[] {
  // of two tools with one name the last wins, in the first one's place (pitfalls K14, K15)
  const tools = new Map<string, Tool>()
  for (const [index, entry] of (given(value, 'tools', arr) ?? []).entries()) {
    const path = `tools[${index}]`
    const tool = obj(entry, path)
    const type = optionalStr(tool['type']) ?? 'custom'
    if (type !== 'custom') {
      const kind = type.startsWith('web_search') ? 'web_search' : 'opaque'
      tools.set(`${type} ${optionalStr(tool['name']) ?? index}`, { type: kind, origin: 'anthropic', value: tool, path })
      continue
    }
    const deferred = tool['defer_loading'] === true
    const name = filled(tool['name'], `${path}.name`)
    // A mark on a tool that is not in the prompt yet marks nothing (pitfall K13).
    const hint = defined({ cache: deferred ? undefined : readCache(tool) })
    const description = optionalStr(tool['description']), inputSchema = optionalObj(tool['input_schema']) ?? {}
    const strict = optionalBool(tool['strict'])
    tools.set(name, { type: 'function', name, description, inputSchema, strict, path, ...hint })
    for (const field of Object.keys(tool)) {
      if (!TOOL_FIELDS.has(field) && tool[field] !== null)
        warnings.push({ path: `${path}.${field}`, reason: 'only Anthropic knows this field' })
    }
  }
  return [...tools.values()]
}

function readToolChoice(choice: JsonObject | undefined): { toolChoice?: ToolChoice; parallelTools?: boolean } {
  if (choice === undefined) return {}
  const one = optionalBool(choice['disable_parallel_tool_use'])
  const parallel = one === undefined ? {} : { parallelTools: !one }
  switch (choice['type']) {
    case 'any': return { toolChoice: { type: 'required' }, ...parallel }
    case 'tool': return { toolChoice: { type: 'tool', name: str(choice['name'], 'tool_choice.name') }, ...parallel }
    default: return { toolChoice: { type: choice['type'] === 'none' ? 'none' : 'auto' }, ...parallel }
  }
}

/** An effort alone is a wish too: the model decides whether it thinks, and how hard. */
function readThinkingWish(body: JsonObject): Thinking | undefined {
  const wish = given(body['thinking'], 'thinking', obj)
  const effort = readEffort(optionalObj(body['output_config'])?.['effort'])
  if (wish === undefined) return effort === undefined ? undefined : { mode: 'adaptive', effort }
  if (wish['type'] === 'disabled') return { mode: 'off' }
  const display = optionalStr(wish['display'])
  return {
    mode: wish['type'] === 'adaptive' ? 'adaptive' : 'on',
    effort,
    budget: optionalNum(wish['budget_tokens']),
    visible: display === undefined ? undefined : display !== 'omitted',
  }
}

/** Claude Code puts its session into `metadata.user_id`: as JSON, or in older versions as `…_session_<uuid>`. */
function readSession(user: string): string | undefined {
  // Only the end of it: from every place of a long id the pattern would read to its end.
  return optionalStr(parseObject(user)?.['session_id']) ?? /_session_([\w-]{8,})$/.exec(user.slice(-256))?.[1]
}
