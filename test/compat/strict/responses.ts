/**
 * The Responses API as strictly as the vendor has it.
 * @see https://platform.openai.com/docs/api-reference/responses
 * @module
 */
import { cut, think, TOKENS } from './brain.ts'
import type { Asked, OfferedTool, Said } from './brain.ts'
import { checkOpenAiSchema, createShapes, isFields, isList, isReasoningModel, isText, OPENAI_WORDS, Refusal } from './shape.ts'
import type { Check, Fields } from './shape.ts'

const { object, list, tagged, oneOf, text, number, flag, any, record, orNull, either } = createShapes(OPENAI_WORDS)

const itemId = (prefix: string): Check => orNull((value, path) => {
  text({ max: 64 })(value, path)
  if (!(value as string).startsWith(prefix)) throw new Refusal(`Invalid '${path}': '${String(value)}'. Expected an ID that begins with '${prefix}'.`, path, 'invalid_value')
})
const status = orNull(oneOf('in_progress', 'completed', 'incomplete'))
const toolName = text({ pattern: /^[a-zA-Z0-9_-]+$/, max: 64 })
const callId = text({ max: 64, filled: true })
const INPUT_PARTS: Record<string, Check> = {
  input_text: object({ 'type!': any, 'text!': text(), prompt_cache_breakpoint: any }),
  input_image: object({ 'type!': any, image_url: orNull(text({ pattern: /^(?:https?:|data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/])/ })), file_id: any, detail: orNull(oneOf('low', 'high', 'auto', 'original')) }),
  input_file: object({ 'type!': any, file_id: any, filename: text(), file_data: text({ pattern: /^data:/ }), file_url: any, detail: any }),
}
const OUTPUT_PARTS: Record<string, Check> = {
  output_text: object({ 'type!': any, 'text!': text(), annotations: list(record), logprobs: any }),
  refusal: object({ 'type!': any, 'refusal!': text() }),
}
const output = either('a string or an array', [isText, text()], [isList, list(tagged('type', INPUT_PARTS))])
const message: Check = (value, path) => {
  const parts = (value as Fields)['role'] === 'assistant' ? OUTPUT_PARTS : INPUT_PARTS
  object({
    type: oneOf('message'), 'role!': oneOf('user', 'assistant', 'system', 'developer'), id: itemId('msg'), status, phase: any,
    'content!': either('a string or an array', [isText, text()], [isList, list(tagged('type', parts))]),
  })(value, path)
}
const ITEMS: Record<string, Check> = {
  message,
  function_call: object({ 'type!': any, id: itemId('fc'), 'call_id!': callId, 'name!': toolName, 'arguments!': text(), status, namespace: orNull(text()), caller: any, async: any }),
  function_call_output: object({ 'type!': any, id: itemId('fc'), 'call_id!': callId, 'output!': output, status }),
  custom_tool_call: object({ 'type!': any, id: itemId('ctc'), 'call_id!': callId, 'name!': toolName, 'input!': text(), status, namespace: orNull(text()) }),
  custom_tool_call_output: object({ 'type!': any, id: itemId('ctc'), 'call_id!': callId, 'output!': output, status }),
  reasoning: object({ 'type!': any, 'id': itemId('rs'), 'summary!': list(object({ 'type!': oneOf('summary_text'), 'text!': text() })), content: orNull(list(record)), encrypted_content: orNull(text()), status }),
  item_reference: object({ type: any, 'id!': text() }),
  web_search_call: record, local_shell_call: record, local_shell_call_output: record, tool_search_call: record, tool_search_output: record,
}
const FORMATS: Record<string, Check> = {
  text: object({ 'type!': any }), json_object: object({ 'type!': any }),
  json_schema: object({ 'type!': any, 'name!': toolName, 'schema!': record, description: text(), strict: orNull(flag) }),
}
const FUNCTION = object({ 'type!': any, 'name!': toolName, description: orNull(text()), 'parameters!': orNull(record), strict: orNull(flag), defer_loading: flag, output_schema: any, async: any, allowed_callers: any })
const CUSTOM = object({ 'type!': any, 'name!': toolName, description: text(), format: record, defer_loading: flag, async: any, allowed_callers: any })
const tool: Check = tagged('type', {
  function: FUNCTION, custom: CUSTOM, web_search: record, web_search_preview: record, local_shell: record, tool_search: record, image_generation: record,
  namespace: object({ 'type!': any, 'name!': toolName, 'description!': text(), 'tools!': list(tagged('type', { function: FUNCTION, custom: CUSTOM })) }),
})
const INCLUDE = ['reasoning.encrypted_content', 'web_search_call.action.sources', 'web_search_call.results', 'message.output_text.logprobs', 'file_search_call.results', 'message.input_image.image_url', 'computer_call_output.output.image_url', 'code_interpreter_call.outputs'] as const
const checkBody = object({
  'model!': text({ filled: true }), input: either('a string or an array', [isText, text()], [isList, list(tagged('type', ITEMS, 'message'))]),
  background: orNull(flag), conversation: any, include: orNull(list(oneOf(...INCLUDE))), instructions: orNull(text()), max_output_tokens: orNull(number({ min: 16, whole: true })),
  max_tool_calls: any, metadata: orNull(record), moderation: any, parallel_tool_calls: orNull(flag), previous_response_id: orNull(text()), prompt: any,
  prompt_cache_key: orNull(text({ max: 64 })), prompt_cache_options: any, prompt_cache_retention: any,
  reasoning: orNull(object({ effort: orNull(oneOf('none', 'minimal', 'low', 'medium', 'high', 'xhigh')), summary: orNull(oneOf('auto', 'concise', 'detailed')), generate_summary: any, context: any, mode: any })),
  safety_identifier: orNull(text({ max: 64 })), service_tier: orNull(oneOf('auto', 'default', 'flex', 'scale', 'priority', 'fast')), store: orNull(flag), stream: orNull(flag),
  stream_options: orNull(object({ include_obfuscation: flag })), temperature: orNull(number({ min: 0, max: 2 })), top_p: orNull(number({ min: 0, max: 1 })),
  text: object({ format: tagged('type', FORMATS), verbosity: orNull(oneOf('low', 'medium', 'high')) }),
  tool_choice: either('a string or an object', [isText, oneOf('none', 'auto', 'required')], [isFields, record]), tools: list(tool),
  top_logprobs: orNull(number({ min: 0, max: 20 })), truncation: orNull(oneOf('auto', 'disabled')), user: text({ max: 64 }), context_management: any, client_metadata: any,
})

/** What the vendor keeps: answers and their items, unless `store` is false. */
export interface Kept {
  /** The whole input: the kept history in front, references replaced. */
  expand(body: Fields): Fields
  keep(body: Fields, message: Fields): void
}

export function createKept(): Kept {
  const items = new Map<unknown, Fields>()
  const answers = new Map<unknown, Fields[]>()
  return {
    expand(body) {
      const previous = body['previous_response_id']
      if (previous != null && !answers.has(previous))
        throw new Refusal(`Previous response with id '${String(previous)}' not found.`, 'previous_response_id', 'previous_response_not_found')
      const own = itemsOf(body).map((item) => {
        const held = items.get(item['id'])
        const bare = item['type'] === 'item_reference' || item['type'] === 'reasoning' && item['encrypted_content'] == null
        return bare && held !== undefined ? held : item
      })
      return { ...body, input: [...answers.get(previous) ?? [], ...own] }
    },
    keep(body, message) {
      if (body['store'] === false) return
      const output = (message['output'] as Fields[]).map((item) => item['type'] === 'reasoning' ? { encrypted_content: 'gAAAA-stand-in', ...item } : item)
      for (const item of output) items.set(item['id'], item)
      answers.set(message['id'], [...itemsOf(body), ...output])
    },
  }
}

/** The body as it was sent; `checkConversation` goes on with what it stands for. */
export function checkResponses(body: Fields): void {
  checkBody(body, '')
  const { input, tools } = body as { input?: unknown; tools?: Fields[] }
  if (input === undefined && body['prompt'] === undefined && body['previous_response_id'] === undefined)
    throw new Refusal("Missing required parameter: 'input'.", 'input', 'missing_required_parameter')
  if (Array.isArray(input) && input.length === 0) throw new Refusal("Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead.", 'input', 'empty_array')
  checkTools(tools ?? [], body['tool_choice'])
  const format = (body['text'] as Fields | undefined)?.['format'] as Fields | undefined
  if (format?.['type'] === 'json_schema') checkOpenAiSchema(format['schema'], String(format['name']), format['strict'] === true, 'text.format.schema')
  if (isReasoningModel(String(body['model']))) {
    for (const knob of ['temperature', 'top_p', 'top_logprobs']) if (body[knob] != null) throw new Refusal(`Unsupported parameter: '${knob}' is not supported with this model.`, knob, 'unsupported_parameter')
  } else if (body['reasoning'] != null) for (const knob of ['effort', 'summary'])
    if ((body['reasoning'] as Fields)[knob] != null) throw new Refusal(`Unsupported parameter: 'reasoning.${knob}' is not supported with this model.`, `reasoning.${knob}`, 'unsupported_parameter')
}

export function checkConversation(body: Fields): void {
  checkItems(itemsOf(body), body)
}

const itemsOf = (body: Fields): Fields[] => typeof body['input'] === 'string' ? [{ role: 'user', content: body['input'] }] : (body['input'] ?? []) as Fields[]

function checkTools(tools: Fields[], choice: unknown): void {
  const flat = flatten(tools)
  for (const [index, tool] of flat.entries())
    if (!tool.custom && Object.keys(tool.schema).length > 0) checkOpenAiSchema(tool.schema, tool.name, tool.strict, `tools[${index}].parameters`)
  if (choice !== undefined && choice !== 'auto' && choice !== 'none' && tools.length === 0) throw new Refusal("Tool choice 'required' must be specified with 'tools' parameter.", 'tool_choice')
  if (isFields(choice) && ['function', 'custom'].includes(String(choice['type'])) && !flat.some(({ name }) => name === choice['name']))
    throw new Refusal(`Tool choice '${String(choice['name'])}' not found in 'tools' parameter.`, 'tool_choice')
}

interface FlatTool extends OfferedTool {
  strict: boolean
  namespace?: string
}

function flatten(tools: Fields[]): FlatTool[] {
  return tools.flatMap((tool): FlatTool[] => {
    if (tool['type'] === 'namespace') return flatten(tool['tools'] as Fields[]).map((inner) => ({ ...inner, namespace: String(tool['name']) }))
    if (tool['type'] !== 'function' && tool['type'] !== 'custom') return []
    return [{
      name: String(tool['name']), custom: tool['type'] === 'custom', strict: tool['strict'] === true,
      schema: isFields(tool['parameters']) ? tool['parameters'] : {},
    }]
  })
}

function checkItems(items: Fields[], body: Fields): void {
  const outputs = new Set(items.flatMap((item) => String(item['type']).endsWith('_output') ? [item['call_id']] : []))
  const calls = new Set<unknown>()
  for (const [index, item] of items.entries()) {
    const type = String(item['type'])
    if (type === 'function_call' || type === 'custom_tool_call') {
      if (!outputs.has(item['call_id'])) throw new Refusal(`No tool output found for ${type === 'function_call' ? 'function call' : 'custom tool call'} ${String(item['call_id'])}.`, 'input')
      if (calls.has(item['call_id'])) throw new Refusal(`Duplicate function call with call_id ${String(item['call_id'])}.`, 'input')
      calls.add(item['call_id'])
    }
    if (type === 'function_call_output' || type === 'custom_tool_call_output') {
      if (!calls.has(item['call_id'])) throw new Refusal(`No tool call found for ${type === 'function_call_output' ? 'function call output' : 'custom tool call output'} with call_id ${String(item['call_id'])}.`, 'input')
    }
    if (type === 'item_reference') throw new Refusal(`Item with id '${String(item['id'])}' not found. Items are not persisted when \`store\` is set to false.`, 'input')
    if (type === 'reasoning') {
      const sealed = item['encrypted_content']
      if (sealed == null) throw new Refusal(`Item with id '${String(item['id'])}' not found. Items are not persisted when \`store\` is set to false. Try again with \`store\` set to true, or remove this item from your input.`, 'input')
      if (!String(sealed).startsWith('gAAAA-stand-in')) throw new Refusal(`The encrypted content ${String(sealed).slice(0, 8)}... could not be verified. Reason: Encrypted content could not be decrypted or parsed.`, null, 'invalid_encrypted_content')
      const next = items[index + 1]
      if (next === undefined || String(next['type']).endsWith('_output') || next['role'] !== undefined && next['role'] !== 'assistant')
        throw new Refusal(`Item '${String(item['id'])}' of type 'reasoning' was provided without its required following item.`, 'input')
    }
  }
  if (items.some(({ type }) => type === 'reasoning') && !isReasoningModel(String(body['model']))) throw new Refusal('Reasoning input items can only be provided to a reasoning or computer use model.', 'input')
}

export function readResponses(body: Fields): Asked {
  const items = itemsOf(body)
  const choice = body['tool_choice']
  const format = (body['text'] as Fields | undefined)?.['format'] as Fields | undefined
  return {
    tools: flatten((body['tools'] ?? []) as Fields[]),
    forced: choice === 'required' ? '*' : isFields(choice) ? String(choice['name']) : undefined,
    mayCall: choice !== 'none',
    thinks: isReasoningModel(String(body['model'])) && (body['reasoning'] as Fields | undefined)?.['effort'] !== 'none',
    format: format?.['type'] === 'json_schema' ? format['schema'] as Fields : format?.['type'] === 'json_object' ? { type: 'object' } : undefined,
    userText: items.flatMap((item) => item['role'] === 'user' ? textsOf(item['content']) : []).join('\n'),
    images: JSON.stringify(items).split('"type":"input_image"').length - 1,
    results: items.flatMap((item) => String(item['type']).endsWith('_output') ? [textsOf(item['output']).join('')] : []),
  }
}

const textsOf = (content: unknown): string[] =>
  typeof content === 'string' ? [content] : (content as Fields[]).flatMap((part) => typeof part['text'] === 'string' ? [part['text']] : [])

/** The full grammar: created, in_progress, per item added, its parts and deltas, dones, completed. */
export function answerResponses(body: Fields, newId: (prefix: string) => string): { message: Fields; events: Fields[] } {
  const said = think(readResponses(body))
  const tools = flatten((body['tools'] ?? []) as Fields[])
  const items = said.map((part) => toItem(part, newId, tools, (body['include'] as string[] | null)?.includes('reasoning.encrypted_content') === true, isFields(body['reasoning']) && body['reasoning']['summary'] != null))
  const events: Fields[] = []
  const reasons = items.some(({ type }) => type === 'reasoning') ? TOKENS.reasoning : 0
  const base = {
    id: newId('resp_'), object: 'response', created_at: 1_790_000_000, status: 'in_progress', background: false, error: null, incomplete_details: null, instructions: body['instructions'] ?? null,
    max_output_tokens: body['max_output_tokens'] ?? null, max_tool_calls: null, model: body['model'], output: [] as Fields[], parallel_tool_calls: body['parallel_tool_calls'] ?? true,
    previous_response_id: null, reasoning: { effort: null, summary: null, ...body['reasoning'] as Fields | undefined }, safety_identifier: null, service_tier: 'auto', store: body['store'] ?? true,
    temperature: 1, text: { format: { type: 'text' }, ...body['text'] as Fields | undefined }, tool_choice: body['tool_choice'] ?? 'auto', tools: body['tools'] ?? [], top_logprobs: 0, top_p: 1,
    truncation: 'disabled', usage: null, user: null, metadata: body['metadata'] ?? {},
  }
  const push = (type: string, event: Fields): void => { events.push({ type, sequence_number: events.length, ...event }) }
  push('response.created', { response: base })
  push('response.in_progress', { response: base })
  for (const [output_index, item] of items.entries()) streamItem(item, output_index, push)
  const message = {
    ...base, status: 'completed', completed_at: 1_790_000_001, output: items, service_tier: 'default',
    usage: {
      input_tokens: TOKENS.input, input_tokens_details: { cached_tokens: TOKENS.cached }, output_tokens: TOKENS.output,
      output_tokens_details: { reasoning_tokens: reasons }, total_tokens: TOKENS.input + TOKENS.output,
    },
  }
  push('response.completed', { response: message })
  return { message, events }
}

function toItem(part: Said, newId: (prefix: string) => string, tools: FlatTool[], sealed: boolean, summarised: boolean): Fields {
  switch (part.type) {
    case 'thinking': return {
      id: newId('rs_'), type: 'reasoning', summary: summarised ? [{ type: 'summary_text', text: part.text }] : [],
      ...(sealed ? { encrypted_content: newId('gAAAA-stand-in') } : {}),
    }
    case 'text': return { id: newId('msg_'), type: 'message', status: 'completed', content: [{ type: 'output_text', annotations: [], logprobs: [], text: part.text }], role: 'assistant' }
    case 'call': {
      const namespace = tools.find(({ name }) => name === part.name)?.namespace
      const common = { status: 'completed', call_id: newId('call_'), name: part.name, ...(namespace === undefined ? {} : { namespace }) }
      return part.custom ? { id: newId('ctc_'), type: 'custom_tool_call', ...common, input: part.input } : { id: newId('fc_'), type: 'function_call', ...common, arguments: part.input }
    }
  }
}

function streamItem(item: Fields, output_index: number, push: (type: string, event: Fields) => void): void {
  const at = { item_id: item['id'], output_index }
  const obfuscation = 'aB3'
  switch (item['type']) {
    case 'reasoning': {
      push('response.output_item.added', { output_index, item: { ...item, summary: [] } })
      for (const [summary_index, part] of (item['summary'] as { text: string }[]).entries()) {
        push('response.reasoning_summary_part.added', { ...at, summary_index, part: { type: 'summary_text', text: '' } })
        for (const delta of cut(part.text)) push('response.reasoning_summary_text.delta', { ...at, summary_index, delta, obfuscation })
        push('response.reasoning_summary_text.done', { ...at, summary_index, text: part.text })
        push('response.reasoning_summary_part.done', { ...at, summary_index, part })
      }
      break
    }
    case 'message': {
      const [part] = item['content'] as [{ text: string }]
      push('response.output_item.added', { output_index, item: { ...item, status: 'in_progress', content: [] } })
      push('response.content_part.added', { ...at, content_index: 0, part: { ...part, text: '' } })
      for (const delta of cut(part.text)) push('response.output_text.delta', { ...at, content_index: 0, delta, logprobs: [], obfuscation })
      push('response.output_text.done', { ...at, content_index: 0, text: part.text, logprobs: [] })
      push('response.content_part.done', { ...at, content_index: 0, part })
      break
    }
    default: {
      const custom = item['type'] === 'custom_tool_call'
      const key = custom ? 'input' : 'arguments'
      const event = custom ? 'response.custom_tool_call_input' : 'response.function_call_arguments'
      push('response.output_item.added', { output_index, item: { ...item, status: 'in_progress', [key]: '' } })
      for (const delta of cut(String(item[key]))) push(`${event}.delta`, { ...at, delta, obfuscation })
      push(`${event}.done`, { ...at, [key]: item[key] })
    }
  }
  push('response.output_item.done', { output_index, item })
}
