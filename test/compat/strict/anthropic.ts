/**
 * The Messages API as strictly as the vendor has it: what it refuses, and what it says when it does not.
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import { createHash } from 'node:crypto'
import { cut, think, TOKENS } from './brain.ts'
import type { Asked, Said } from './brain.ts'
import { createShapes, isFields, isList, isText, Refusal } from './shape.ts'
import type { Check, Fields, Words } from './shape.ts'

const WORDS: Words = {
  join: (path, key) => path === '' ? String(key) : `${path}.${key}`,
  unknown: (path) => new Refusal(`${path}: Extra inputs are not permitted`),
  missing: (path) => new Refusal(`${path}: Field required`),
  type: (path, expected, value) => new Refusal(`${path}: Input should be ${expected} (got ${JSON.stringify(value)?.slice(0, 80)})`),
}
const { object, list, tagged, oneOf, text, number, flag, any, record, orNull, either } = createShapes(WORDS)

const cacheControl = orNull(object({ 'type!': oneOf('ephemeral'), ttl: oneOf('5m', '1h') }))
const id = text({ pattern: /^[a-zA-Z0-9_-]+$/ })
const toolName = text({ pattern: /^[a-zA-Z0-9_-]{1,128}$/ })
const base64: Check = (value, path) => {
  if (typeof value !== 'string' || value === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(value)) throw new Refusal(`${path}: invalid base64 data`)
}
const source = tagged('type', {
  base64: object({ 'type!': any, 'media_type!': oneOf('image/jpeg', 'image/png', 'image/gif', 'image/webp'), 'data!': base64 }),
  url: object({ 'type!': any, 'url!': text({ pattern: /^https?:/ }) }),
  file: object({ 'type!': any, 'file_id!': text() }),
})
const documentSource = tagged('type', {
  base64: object({ 'type!': any, 'media_type!': oneOf('application/pdf'), 'data!': base64 }),
  text: object({ 'type!': any, 'media_type!': oneOf('text/plain'), 'data!': text() }),
  url: object({ 'type!': any, 'url!': text() }),
  file: object({ 'type!': any, 'file_id!': text() }),
  content: object({ 'type!': any, 'content!': any }),
})
const textBlock: Check = (value, path) => {
  object({ 'type!': oneOf('text'), 'text!': text(), cache_control: cacheControl, citations: any })(value, path)
  const { text: words, cache_control } = value as { text: string; cache_control?: unknown }
  if (words === '' && cache_control != null) throw new Refusal(`${path}.cache_control: cache_control cannot be set for empty text blocks`)
  if (words === '') throw new Refusal(`${head(path)}: text content blocks must be non-empty`)
  if (words.trim() === '') throw new Refusal(`${head(path)}: text content blocks must contain non-whitespace text`)
}
const image = object({ 'type!': any, 'source!': source, cache_control: cacheControl, transformations: any })
const document = object({ 'type!': any, 'source!': documentSource, cache_control: cacheControl, citations: any, context: any, title: any })
const toolResult = object({
  'type!': any, 'tool_use_id!': id, cache_control: cacheControl, is_error: flag, toolset_name: any,
  content: either('a valid string or list', [isText, text()], [isList, list(tagged('type', { text: textBlock, image, document, tool_reference: record, search_result: record }))]),
})
const toolUse = object({
  'type!': any, 'id!': id, 'name!': text({ pattern: /^[a-zA-Z0-9_-]{1,200}$/ }), 'input!': (value, path) => {
    if (!isFields(value)) throw new Refusal(`${path}: Input should be a valid dictionary`)
  }, cache_control: cacheControl, caller: any, toolset_name: any,
})
const USER_BLOCKS = { text: textBlock, image, document, tool_result: toolResult, search_result: record, tool_addition: record, tool_removal: record }
const ASSISTANT_BLOCKS = {
  text: textBlock, tool_use: toolUse,
  thinking: object({ 'type!': any, 'thinking!': text(), 'signature!': text() }),
  redacted_thinking: object({ 'type!': any, 'data!': text() }),
}
const content = (blocks: Record<string, Check>): Check => either('a valid string or list', [isText, text()], [isList, list(tagged('type', blocks))])

const tool = tagged('type', {
  custom: object({
    type: any, 'name!': toolName, description: text(), 'input_schema!': checkSchema, cache_control: cacheControl, strict: flag,
    defer_loading: flag, eager_input_streaming: any, input_examples: any, allowed_callers: any,
  }),
  web_search_20250305: record, web_search_20260209: record, tool_search_tool_regex_20251119: record, tool_search_tool_bm25_20251119: record,
}, 'custom')

function checkSchema(value: unknown, path: string): void {
  if (!isFields(value)) throw new Refusal(`${path}: Input should be a valid dictionary`)
  if (value['type'] !== 'object') throw new Refusal(`${path}.type: Field required`)
  for (const word of ['anyOf', 'oneOf', 'allOf'])
    if (value[word] !== undefined) throw new Refusal(`${path}: input_schema does not support oneOf, allOf, or anyOf at the top level`)
}

const checkBody = object({
  'model!': text({ filled: true }), 'messages!': list(record), 'max_tokens!': number({ min: 1, whole: true }),
  system: either('a valid string or list', [isText, text()], [isList, list(textBlock)]),
  temperature: number({ min: 0, max: 1 }), top_p: number({ min: 0, max: 1 }), top_k: number({ min: 0, whole: true }),
  stop_sequences: list((value, path) => {
    text()(value, path)
    if ((value as string).trim() === '') throw new Refusal('stop_sequences: each stop sequence must contain non-whitespace')
  }),
  stream: flag, cache_control: cacheControl, service_tier: oneOf('auto', 'standard_only'), inference_geo: any, container: any,
  metadata: object({ user_id: orNull(text({ max: 4096 })) }),
  output_config: object({
    effort: orNull(oneOf('low', 'medium', 'high', 'xhigh', 'max')),
    format: orNull(object({ 'type!': oneOf('json_schema'), 'schema!': checkStrictSchema })),
  }),
  thinking: tagged('type', {
    enabled: object({ 'type!': any, 'budget_tokens!': number({ min: 1024, whole: true }), display: any }),
    adaptive: object({ 'type!': any, display: any, block_binding: any }),
    disabled: object({ 'type!': any }),
  }),
  tool_choice: tagged('type', {
    auto: object({ 'type!': any, disable_parallel_tool_use: flag }),
    any: object({ 'type!': any, disable_parallel_tool_use: flag }),
    tool: object({ 'type!': any, 'name!': toolName, disable_parallel_tool_use: flag }),
    none: object({ 'type!': any }),
  }),
  tools: list(tool),
  context_management: record, mcp_servers: any, diagnostics: any, speed: any, thread: any, output_format: any, fallbacks: any,
  fallback_credit_token: any, compaction: any, user_profile_id: any, workspace_id: any, billing_policy: any,
})

/** Structured output takes only closed objects. */
function checkStrictSchema(value: unknown, path: string): void {
  if (!isFields(value)) throw new Refusal(`${path}: Input should be a valid dictionary`)
  visit(value)
  function visit(schema: unknown): void {
    if (!isFields(schema)) return
    if (schema['type'] === 'object' && schema['additionalProperties'] !== false)
      throw new Refusal(`${path}: For 'object' type, 'additionalProperties' must be explicitly set to false`)
    for (const word of ['minimum', 'maximum', 'multipleOf', 'minLength', 'maxLength'])
      if (schema[word] !== undefined) throw new Refusal(`${path}: For '${schema['type']}' type, property '${word}' is not supported`)
    if (isFields(schema['properties'])) Object.values(schema['properties']).forEach(visit)
    visit(schema['items'])
    for (const word of ['anyOf', 'allOf']) if (Array.isArray(schema[word])) schema[word].forEach(visit)
  }
}

/** Fields that are refused unless one of these betas is asked for. */
const BETA_FIELDS: Record<string, RegExp> = {
  context_management: /context-management-|compact-/, mcp_servers: /mcp-client-/, speed: /fast-mode-/, thread: /message-threads-/,
  output_format: /structured-outputs-/, fallbacks: /fallback/, fallback_credit_token: /fallback/, compaction: /compact/, diagnostics: /diagnos|prompt-caching-/,
}

export function checkAnthropic(body: Fields, headers: Record<string, string | string[] | undefined>): void {
  const betas = String(headers['anthropic-beta'] ?? '')
  if (headers['anthropic-version'] === undefined) throw new Refusal('anthropic-version: header is required')
  checkBody(body, '')
  for (const [field, beta] of Object.entries(BETA_FIELDS))
    if (body[field] !== undefined && !beta.test(betas)) throw new Refusal(`${field}: Extra inputs are not permitted`)
  if (body['thread'] !== undefined) throw new Refusal('thread is not supported by this model', null, 'thread_unsupported_request')
  const messages = body['messages'] as Fields[]
  checkMessages(messages, betas)
  checkTools(body)
  checkCalls(messages)
  checkThinking(body, messages)
  checkSampling(body)
  const marks = JSON.stringify([body['tools'], body['system'], messages]).match(/"cache_control":\{/g)?.length ?? 0
  if (marks > 4) throw new Refusal(`A maximum of 4 blocks with cache_control may be provided. Found ${marks}.`)
}

function checkMessages(messages: Fields[], betas: string): void {
  if (messages.length === 0) throw new Refusal('messages: at least one message is required')
  for (const [index, message] of messages.entries()) {
    const path = `messages.${index}`
    const roles = /mid-conversation-/.test(betas) ? ['user', 'assistant', 'system'] as const : ['user', 'assistant'] as const
    object({ 'role!': oneOf(...roles), 'content!': content(message['role'] === 'assistant' ? ASSISTANT_BLOCKS : USER_BLOCKS) })(message, path)
    const last = index === messages.length - 1
    if ((message['content'] as unknown[] | string).length === 0 && !(last && message['role'] === 'assistant'))
      throw new Refusal(`${path}: ${message['role'] === 'user' ? 'user messages must have non-empty content' : 'all messages must have non-empty content except for the optional final assistant message'}`)
  }
  if (messages[0]?.['role'] !== 'user' && messages[0]?.['role'] !== 'system') throw new Refusal('messages: first message must use the "user" role')
}

function checkTools(body: Fields): void {
  const tools = (body['tools'] ?? []) as Fields[]
  const names = tools.map((tool) => tool['name'])
  if (new Set(names).size !== names.length) throw new Refusal('tools: Tool names must be unique.')
  const choice = body['tool_choice'] as Fields | undefined
  if (choice !== undefined && tools.length === 0) throw new Refusal('tool_choice: tool_choice may only be specified while providing tools.')
  if (choice?.['type'] === 'tool' && !names.includes(choice['name'])) throw new Refusal(`tool_choice: Tool '${String(choice['name'])}' not found in provided tools`)
}

const blocksOf = (message: Fields | undefined): Fields[] =>
  message === undefined ? [] : typeof message['content'] === 'string' ? [{ type: 'text', text: message['content'] }] : message['content'] as Fields[]

function checkCalls(messages: Fields[]): void {
  // Neighbours of one role are one turn to the API.
  const turns: { role: unknown; blocks: Fields[]; index: number }[] = []
  for (const [index, message] of messages.entries()) {
    const last = turns.at(-1)
    if (last?.role === message['role']) last!.blocks.push(...blocksOf(message))
    else turns.push({ role: message['role'], blocks: [...blocksOf(message)], index })
  }
  const seen = new Set<unknown>()
  for (const [at, { blocks, index }] of turns.entries()) {
    const calls = blocks.filter(({ type }) => type === 'tool_use').map(({ id }) => id)
    for (const call of calls) {
      if (seen.has(call)) throw new Refusal(`messages.${index}: \`tool_use\` ids must be unique`)
      seen.add(call)
    }
    const next = turns[at + 1]?.blocks ?? []
    const answered = next.filter(({ type }) => type === 'tool_result').map(({ tool_use_id }) => tool_use_id)
    const open = calls.filter((call) => !answered.includes(call))
    if (open.length > 0) throw new Refusal(`messages.${index}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`)
    const before = (turns[at - 1]?.blocks ?? []).filter(({ type }) => type === 'tool_use').map(({ id }) => id)
    const results = blocks.filter(({ type }) => type === 'tool_result').map(({ tool_use_id }) => tool_use_id)
    for (const result of results) if (!before.includes(result)) throw new Refusal(`messages.${index}.content.0: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${String(result)}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`)
    if (new Set(results).size !== results.length) throw new Refusal(`messages.${index}: each tool_use must have a single result. Found multiple \`tool_result\` blocks with id: ${String(results[0])}`)
    const firstOther = blocks.findIndex(({ type }) => type !== 'tool_result')
    if (results.length > 0 && firstOther !== -1 && blocks.slice(firstOther).some(({ type }) => type === 'tool_result'))
      throw new Refusal(`messages.${index}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${String(results.at(-1))}.`)
  }
}

function checkThinking(body: Fields, messages: Fields[]): void {
  const thinking = body['thinking'] as Fields | undefined
  for (const [index, message] of messages.entries()) for (const [at, block] of blocksOf(message).entries()) {
    if (block['type'] === 'thinking' && block['signature'] !== sign(String(block['thinking'])))
      throw new Refusal(`messages.${index}.content.${at}: Invalid \`signature\` in \`thinking\` block`)
    if (block['type'] === 'redacted_thinking') throw new Refusal(`messages.${index}.content.${at}: Invalid \`data\` in \`redacted_thinking\` block`)
  }
  const last = messages.at(-1)
  if (last?.['role'] === 'assistant') {
    if (version(String(body['model'])) >= 4.6) throw new Refusal('This model does not support assistant message prefill. The conversation must end with a user message.')
    const end = blocksOf(last).at(-1)
    if (end?.['type'] === 'text' && /\s$/.test(String(end['text']))) throw new Refusal('messages: final assistant content cannot end with trailing whitespace')
    if (thinking !== undefined && thinking['type'] !== 'disabled') throw new Refusal('messages: When thinking is enabled, a final assistant message must start with a thinking block')
  }
  if (thinking === undefined || thinking['type'] === 'disabled') return
  const model = version(String(body['model']))
  if (thinking['type'] === 'adaptive' && model < 4.6) throw new Refusal('adaptive thinking is not supported on this model')
  if (thinking['type'] === 'enabled' && model >= 4.7) throw new Refusal('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.')
  if (thinking['type'] === 'enabled' && Number(thinking['budget_tokens']) >= Number(body['max_tokens'])) throw new Refusal('`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size')
  if (['any', 'tool'].includes(String((body['tool_choice'] as Fields | undefined)?.['type']))) throw new Refusal('Thinking may not be enabled when tool_choice forces tool use.')
  if (body['temperature'] !== undefined && body['temperature'] !== 1) throw new Refusal('`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-extended-thinking')
  if (body['top_k'] !== undefined) throw new Refusal('`top_k` must be unset when thinking is enabled.')
  // Only a tool turn that is still open must show its thought, and only with a budget.
  const assistant = messages.findLastIndex(({ role }) => role === 'assistant')
  const open = blocksOf(messages.at(-1)).some(({ type }) => type === 'tool_result')
  const [first] = blocksOf(messages[assistant])
  if (thinking['type'] === 'enabled' && open && first?.['type'] !== 'thinking')
    throw new Refusal(`messages.${assistant}.content.0.type: Expected \`thinking\` or \`redacted_thinking\`, but found \`${String(first?.['type'])}\`. When \`thinking\` is enabled, a final \`assistant\` message must start with a thinking block (preceeding the lastmost set of \`tool_use\` and \`tool_result\` blocks).`)
}

function checkSampling(body: Fields): void {
  const model = version(String(body['model']))
  if (model >= 4.1 && body['temperature'] !== undefined && body['top_p'] !== undefined) throw new Refusal('`temperature` and `top_p` cannot both be specified for this model. Please use only one.')
  for (const knob of ['temperature', 'top_p', 'top_k'])
    if (model >= 4.7 && body[knob] !== undefined && !(knob === 'temperature' && body[knob] === 1)) throw new Refusal(`\`${knob}\` is deprecated for this model.`)
}

function version(model: string): number {
  const [, major, minor] = /(?:opus|sonnet|haiku)-(\d)(?:-(\d{1,2}))?(?!\d)/.exec(model) ?? []
  return Number(major ?? 0) + Number(minor ?? 0) / 10
}

const head = (path: string): string => path.startsWith('messages') ? 'messages' : path
const sign = (thought: string): string => createHash('sha256').update(`stand-in ${thought}`).digest('base64')

export function readAnthropic(body: Fields): Asked {
  const messages = body['messages'] as Fields[]
  const blocks = messages.flatMap((message) => message['role'] === 'user' ? blocksOf(message) : [])
  const choice = body['tool_choice'] as Fields | undefined
  return {
    tools: ((body['tools'] ?? []) as Fields[]).flatMap((tool) => isFields(tool['input_schema']) ? [{ name: String(tool['name']), schema: tool['input_schema'] }] : []),
    forced: choice?.['type'] === 'any' ? '*' : choice?.['type'] === 'tool' ? String(choice['name']) : undefined,
    mayCall: choice?.['type'] !== 'none',
    thinks: ['enabled', 'adaptive'].includes(String((body['thinking'] as Fields | undefined)?.['type'])),
    format: ((body['output_config'] as Fields | undefined)?.['format'] as Fields | undefined)?.['schema'] as Fields | undefined,
    userText: blocks.flatMap(({ type, text }) => type === 'text' ? [String(text)] : []).join('\n'),
    images: JSON.stringify(messages).split('"type":"image"').length - 1,
    results: blocks.flatMap((block) => block['type'] === 'tool_result' ? [joinTexts(block['content'])] : []),
  }
}

function joinTexts(content: unknown): string {
  if (typeof content === 'string') return content
  return (Array.isArray(content) ? content as Fields[] : []).map((block) => String(block['text'] ?? '')).join('')
}

/** The answer's events, one write each. */
export function answerAnthropic(body: Fields, newId: (prefix: string) => string): { message: Fields; events: Fields[] } {
  const said = think(readAnthropic(body))
  const calls = said.some(({ type }) => type === 'call')
  const blocks = said.map((part) => toBlock(part, newId))
  const usage = {
    input_tokens: TOKENS.input - TOKENS.cached, cache_creation_input_tokens: 0, cache_read_input_tokens: TOKENS.cached,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 }, service_tier: 'standard',
  }
  const stop_reason = calls ? 'tool_use' : 'end_turn'
  const base = { model: body['model'], id: newId('msg_01'), type: 'message', role: 'assistant' }
  const events: Fields[] = [{ type: 'message_start', message: { ...base, content: [], stop_reason: null, stop_sequence: null, usage: { ...usage, output_tokens: 1 } } }]
  for (const [index, block] of blocks.entries()) {
    events.push({ type: 'content_block_start', index, content_block: emptyBlock(block) })
    if (index === 0) events.push({ type: 'ping' })
    events.push(...deltas(block).map((delta) => ({ type: 'content_block_delta', index, delta })), { type: 'content_block_stop', index })
  }
  events.push({ type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage: { ...usage, output_tokens: TOKENS.output } }, { type: 'message_stop' })
  return { message: { ...base, content: blocks, stop_reason, stop_sequence: null, usage: { ...usage, output_tokens: TOKENS.output } }, events }
}

function toBlock(part: Said, newId: (prefix: string) => string): Fields {
  switch (part.type) {
    case 'thinking': return { type: 'thinking', thinking: part.text, signature: sign(part.text) }
    case 'text': return { type: 'text', text: part.text }
    case 'call': return { type: 'tool_use', id: newId('toolu_01'), name: part.name, input: JSON.parse(part.input) as unknown, caller: { type: 'direct' } }
  }
}

function emptyBlock(block: Fields): Fields {
  switch (block['type']) {
    case 'thinking': return { type: 'thinking', thinking: '', signature: '' }
    case 'text': return { type: 'text', text: '' }
    default: return { ...block, input: {} }
  }
}

function deltas(block: Fields): Fields[] {
  switch (block['type']) {
    case 'thinking': return [...cut(String(block['thinking'])).map((thinking) => ({ type: 'thinking_delta', thinking })), { type: 'signature_delta', signature: block['signature'] }]
    case 'text': return cut(String(block['text'])).map((text) => ({ type: 'text_delta', text }))
    default: return ['', ...cut(JSON.stringify(block['input']))].map((partial_json) => ({ type: 'input_json_delta', partial_json }))
  }
}
