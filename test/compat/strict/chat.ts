/**
 * The Chat Completions API as strictly as the vendor has it.
 * @see https://platform.openai.com/docs/api-reference/chat
 * @module
 */
import { cut, think, TOKENS } from './brain.ts'
import type { Asked } from './brain.ts'
import { checkOpenAiSchema, createShapes, isFields, isList, isReasoningModel, isText, OPENAI_WORDS, Refusal } from './shape.ts'
import type { Check, Fields } from './shape.ts'

const { object, list, tagged, oneOf, text, number, flag, any, record, orNull, either } = createShapes(OPENAI_WORDS)

const textPart = object({ 'type!': any, 'text!': text() })
const USER_PARTS: Record<string, Check> = {
  text: textPart,
  image_url: object({ 'type!': any, 'image_url!': object({ 'url!': text({ pattern: /^(?:https?:|data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/])/ }), detail: oneOf('auto', 'low', 'high', 'original') }) }),
  input_audio: object({ 'type!': any, 'input_audio!': object({ 'data!': text(), 'format!': oneOf('wav', 'mp3') }) }),
  file: object({ 'type!': any, 'file!': object({ file_id: text(), filename: text(), file_data: text({ pattern: /^data:/ }) }) }),
}
const parts = (kinds: Record<string, Check>): Check => either('a string or an array', [isText, text()], [isList, (value, path) => {
  if ((value as unknown[]).length === 0) throw new Refusal(`Invalid '${path}': empty array. Expected an array with minimum length 1, but got an empty array instead.`, path, 'empty_array')
  list(tagged('type', kinds))(value, path)
}])
const name = text({ pattern: /^[^\s<|\\/>]+$/, max: 64 })
const toolName = text({ pattern: /^[a-zA-Z0-9_-]+$/, max: 64 })
const callId = text({ max: 40, filled: true })
const MESSAGES: Record<string, Check> = {
  system: object({ 'role!': any, 'content!': parts({ text: textPart }), name }),
  developer: object({ 'role!': any, 'content!': parts({ text: textPart }), name }),
  user: object({ 'role!': any, 'content!': parts(USER_PARTS), name }),
  assistant: object({
    'role!': any, content: orNull(parts({ text: textPart, refusal: object({ 'type!': any, 'refusal!': text() }) })), name, refusal: orNull(text()), audio: any,
    annotations: any, function_call: orNull(record),
    tool_calls: list(tagged('type', {
      function: object({ 'id!': callId, 'type!': any, 'function!': object({ 'name!': toolName, 'arguments!': text() }) }),
      custom: object({ 'id!': callId, 'type!': any, 'custom!': object({ 'name!': toolName, 'input!': text() }) }),
    })),
  }),
  tool: object({ 'role!': any, 'content!': parts({ text: textPart }), 'tool_call_id!': callId, name }),
}
/** DeepSeek shows its reasoning, and wants that of the turns that called tools back. */
export const showsReasoning = (model: string): boolean => model.startsWith('deepseek')

const BODY: Record<string, Check> = {
  'model!': text({ filled: true }), 'messages!': list(tagged('role', MESSAGES)),
  audio: any, frequency_penalty: orNull(number({ min: -2, max: 2 })), presence_penalty: orNull(number({ min: -2, max: 2 })), function_call: any, functions: any,
  logit_bias: any, logprobs: orNull(flag), top_logprobs: orNull(number({ min: 0, max: 20 })), max_completion_tokens: orNull(number({ min: 1, whole: true })),
  max_tokens: orNull(number({ min: 1, whole: true })), metadata: orNull(record), modalities: any, moderation: any, n: orNull(number({ min: 1, whole: true })),
  parallel_tool_calls: flag, prediction: any, prompt_cache_key: orNull(text({ max: 64 })), prompt_cache_options: any, prompt_cache_retention: any,
  reasoning_effort: orNull(oneOf('none', 'minimal', 'low', 'medium', 'high', 'xhigh')),
  response_format: tagged('type', {
    text: object({ 'type!': any }), json_object: object({ 'type!': any }),
    json_schema: object({ 'type!': any, 'json_schema!': object({ 'name!': toolName, description: text(), schema: record, strict: orNull(flag) }) }),
  }),
  safety_identifier: orNull(text({ max: 64 })), seed: any, service_tier: orNull(oneOf('auto', 'default', 'flex', 'scale', 'priority', 'fast')),
  stop: orNull(either('a string or an array', [isText, text()], [isList, list(text({ filled: true }))])), store: orNull(flag), stream: orNull(flag),
  stream_options: orNull(object({ include_usage: flag, include_obfuscation: flag })), temperature: orNull(number({ min: 0, max: 2 })), top_p: orNull(number({ min: 0, max: 1 })),
  tool_choice: either('a string or an object', [isText, oneOf('none', 'auto', 'required')], [isFields, record]),
  tools: list(tagged('type', {
    function: object({ 'type!': any, 'function!': object({ 'name!': toolName, description: text(), parameters: record, strict: orNull(flag) }) }),
    custom: object({ 'type!': any, 'custom!': object({ 'name!': toolName, description: text(), format: record }) }),
  })),
  user: text({ max: 64 }), verbosity: orNull(oneOf('low', 'medium', 'high')), web_search_options: any,
}
const checkBody = object(BODY)
const { max_completion_tokens: _, ...SHARED } = BODY
// Lenient to words that it does not know, such as reasoning_effort.
const checkDeepSeekBody = object({
  ...SHARED, thinking: object({ 'type!': oneOf('enabled', 'disabled') }),
  'messages!': list((message, path) => {
    const { reasoning_content, ...rest } = message as Fields
    if (reasoning_content !== undefined) text()(reasoning_content, `${path}.reasoning_content`)
    if (rest['role'] === 'assistant' && rest['tool_calls'] !== undefined && reasoning_content === undefined)
      throw new Refusal('The reasoning_content in the thinking mode must be passed back to the API.', path)
    tagged('role', MESSAGES)(rest, path)
  }),
})

export function checkChat(body: Fields): void {
  if (showsReasoning(String(body['model']))) checkDeepSeekBody(body, '')
  else checkBody(body, '')
  const messages = body['messages'] as Fields[]
  if (messages.length === 0) throw new Refusal("Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.", 'messages', 'empty_array')
  checkTools(body)
  checkCalls(messages)
  if (body['stream_options'] != null && body['stream'] !== true) throw new Refusal("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options')
  if (body['metadata'] != null && body['store'] !== true) throw new Refusal("The 'metadata' parameter is only allowed when 'store' is enabled.", 'metadata')
  if (Array.isArray(body['stop']) && body['stop'].length > 4) throw new Refusal("Invalid 'stop': array too long. Expected an array with maximum length 4.", 'stop', 'array_above_max_length')
  if (Array.isArray(body['stop']) && body['stop'].length === 0) throw new Refusal("Invalid 'stop': empty array.", 'stop', 'empty_array')
  if (body['max_tokens'] != null && body['max_completion_tokens'] != null) throw new Refusal("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", 'max_tokens', 'invalid_parameter_combination')
  if ((body['response_format'] as Fields | undefined)?.['type'] === 'json_object' && !/json/i.test(JSON.stringify(messages)))
    throw new Refusal("'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", 'messages')
  const format = (body['response_format'] as Fields | undefined)?.['json_schema'] as Fields | undefined
  if (format !== undefined) checkOpenAiSchema(format['schema'], String(format['name']), format['strict'] === true, 'response_format')
  if (!showsReasoning(String(body['model']))) checkModel(body)
}

function checkModel(body: Fields): void {
  const refuse = (knob: string): Refusal => new Refusal(`Unsupported parameter: '${knob}' is not supported with this model.`, knob, 'unsupported_parameter')
  if (isReasoningModel(String(body['model']))) {
    if (body['max_tokens'] != null) throw new Refusal("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", 'max_tokens', 'unsupported_parameter')
    if (body['temperature'] != null && body['temperature'] !== 1) throw new Refusal(`Unsupported value: 'temperature' does not support ${String(body['temperature'])} with this model. Only the default (1) value is supported.`, 'temperature', 'unsupported_value')
    for (const knob of ['stop', 'top_p', 'presence_penalty', 'frequency_penalty', 'logprobs', 'logit_bias']) if (body[knob] != null) throw refuse(knob)
  } else for (const knob of ['reasoning_effort', 'verbosity']) if (body[knob] != null) throw refuse(knob)
}

function checkTools(body: Fields): void {
  const tools = body['tools'] as Fields[] | undefined
  if (tools?.length === 0) throw new Refusal("Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.", 'tools', 'empty_array')
  for (const field of ['tool_choice', 'parallel_tool_calls'])
    if (tools === undefined && body[field] !== undefined) throw new Refusal(`'${field}' is only allowed when 'tools' are specified.`, field)
  for (const [index, tool] of (tools ?? []).entries()) {
    const definition = tool['function'] as Fields | undefined
    if (definition?.['parameters'] !== undefined)
      checkOpenAiSchema(definition['parameters'], String(definition['name']), definition['strict'] === true, `tools[${index}].function.parameters`)
  }
  if (tools !== undefined && tools.length > 128) throw new Refusal(`Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length ${tools.length} instead.`, 'tools', 'array_above_max_length')
  const choice = body['tool_choice']
  if (!isFields(choice)) return
  const named = (choice['function'] ?? choice['custom']) as Fields | undefined
  if (!tools?.some((tool) => ((tool['function'] ?? tool['custom']) as Fields)['name'] === named?.['name']))
    throw new Refusal(`Invalid value for 'tool_choice': tool '${String(named?.['name'])}' was not found in 'tools'.`, 'tool_choice')
}

function checkCalls(messages: Fields[]): void {
  let open: unknown[] = []
  let answerable: unknown[] = []
  for (const [index, message] of messages.entries()) {
    if (message['role'] === 'tool') {
      if (!answerable.includes(message['tool_call_id'])) throw new Refusal("Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.", `messages.[${index}].role`)
      open = open.filter((id) => id !== message['tool_call_id'])
      continue
    }
    if (open.length > 0) throw new Refusal(`An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${open.join(', ')}`, `messages.[${index}].role`)
    const calls = message['tool_calls'] as Fields[] | undefined
    if (calls?.length === 0) throw new Refusal(`Invalid 'messages[${index}].tool_calls': empty array. Expected an array with minimum length 1, but got an empty array instead.`, `messages[${index}].tool_calls`, 'empty_array')
    if (message['role'] === 'assistant' && message['content'] == null && calls === undefined && message['refusal'] == null && message['audio'] == null)
      throw new Refusal(`Invalid value for 'content': expected a string, got null.`, `messages.[${index}].content`)
    open = (calls ?? []).map(({ id }) => id)
    answerable = open
  }
  if (open.length > 0) throw new Refusal(`An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${open.join(', ')}`, 'messages')
}

export function readChat(body: Fields): Asked {
  const messages = body['messages'] as Fields[]
  const choice = body['tool_choice']
  const format = body['response_format'] as Fields | undefined
  return {
    tools: ((body['tools'] ?? []) as Fields[]).map((tool) => {
      const definition = (tool['function'] ?? tool['custom']) as Fields
      return { name: String(definition['name']), schema: isFields(definition['parameters']) ? definition['parameters'] : {}, custom: tool['type'] === 'custom' }
    }),
    forced: choice === 'required' ? '*' : isFields(choice) ? String(((choice['function'] ?? choice['custom']) as Fields)['name']) : undefined,
    mayCall: choice !== 'none',
    thinks: showsReasoning(String(body['model'])),
    format: format?.['type'] === 'json_schema' ? (format['json_schema'] as Fields)['schema'] as Fields : format?.['type'] === 'json_object' ? { type: 'object' } : undefined,
    userText: messages.flatMap((message) => message['role'] === 'user' ? textsOf(message['content']) : []).join('\n'),
    images: JSON.stringify(messages).split('"type":"image_url"').length - 1,
    results: messages.flatMap((message) => message['role'] === 'tool' ? [textsOf(message['content']).join('')] : []),
  }
}

const textsOf = (content: unknown): string[] =>
  typeof content === 'string' ? [content] : (content as Fields[]).flatMap((part) => part['type'] === 'text' ? [String(part['text'])] : [])

/** Chunks in the vendor's order: role, content, calls by index, the reason, then usage alone. */
export function answerChat(body: Fields, newId: (prefix: string) => string): { message: Fields; events: Fields[] } {
  const said = think(readChat(body))
  const thought = said.flatMap((part) => part.type === 'thinking' ? [part.text] : []).join('')
  const text = said.flatMap((part) => part.type === 'text' ? [part.text] : []).join('')
  const calls = said.flatMap((part) => part.type === 'call' ? [{ ...part, id: newId('call_') }] : [])
  const finish_reason = calls.length > 0 ? 'tool_calls' : 'stop'
  const reasons = isReasoningModel(String(body['model'])) || thought !== '' ? TOKENS.reasoning : 0
  const usage = {
    prompt_tokens: TOKENS.input, completion_tokens: TOKENS.output, total_tokens: TOKENS.input + TOKENS.output,
    prompt_tokens_details: { cached_tokens: TOKENS.cached, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasons, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  }
  const base = { id: newId('chatcmpl-'), created: 1_790_000_000, model: `${String(body['model'])}-2026-01-01`, service_tier: 'default', system_fingerprint: null }
  const wantsUsage = (body['stream_options'] as Fields | undefined)?.['include_usage'] === true
  const chunk = (delta: Fields, finish: string | null = null): Fields => ({
    ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...(wantsUsage ? { usage: null } : {}), obfuscation: 'x1Yz',
  })
  const events = [
    chunk({ role: 'assistant', content: text === '' ? null : '', refusal: null }),
    ...cut(thought).map((reasoning_content) => chunk({ content: null, reasoning_content })),
    ...cut(text).map((content) => chunk({ content })),
    ...calls.flatMap(({ id, name, input, custom }, index) => custom
      ? [chunk({ tool_calls: [{ index, id, type: 'custom', custom: { name, input: '' } }] }), ...cut(input).map((piece) => chunk({ tool_calls: [{ index, custom: { input: piece } }] }))]
      : [chunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] }), ...cut(input).map((piece) => chunk({ tool_calls: [{ index, function: { arguments: piece } }] }))]),
    chunk({}, finish_reason),
    ...(wantsUsage ? [{ ...base, object: 'chat.completion.chunk', choices: [], usage, obfuscation: '' }] : []),
  ]
  const message = {
    role: 'assistant', content: text === '' ? null : text, refusal: null, ...(thought === '' ? {} : { reasoning_content: thought }), annotations: [],
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(({ id, name, input, custom }) => custom ? { id, type: 'custom', custom: { name, input } } : { id, type: 'function', function: { name, arguments: input } }) }),
  }
  return { message: { ...base, object: 'chat.completion', choices: [{ index: 0, message, logprobs: null, finish_reason }], usage }, events }
}
