/**
 * What OpenAI's two APIs, and the vendors that took them over, have in common: usage, errors, effort words, tools and
 * output formats.
 * https://platform.openai.com/docs/api-reference
 * @module
 */
import type { DarioError, ErrorCode } from '../errors.ts'
import type {
  HubRequest, JsonObject, OutputFormat, Thinking, Tool, ToolChoice, Usage, Warning,
} from '../hub/types.ts'
import type { Repair } from './dialect.ts'
import { decodeVendorError, findRepair } from './error.ts'
import type { Lessons } from './error.ts'
import {
  arr, defined, filled, given, isObject, num, obj, objectsIn, optionalBool, optionalNum, optionalObj, optionalStr,
  readCache, str,
} from './read.ts'

export const NO_USAGE: Usage = { input: 0, cacheRead: 0, cacheWrite: 0, output: 0 }

/** A comment line: no event reaches the client's parser (pitfalls S19, S21). */
export const KEEP_ALIVE = ': keep-alive\n\n'

const ERROR_TYPES: Partial<Record<ErrorCode, string>> = {
  permission: 'permission_error', payment_required: 'insufficient_quota', rate_limited: 'rate_limit_error',
}

/** Names for `code` that OpenAI's clients act upon. */
export const CODES: Partial<Record<ErrorCode, string>> = {
  context_length_exceeded: 'context_length_exceeded', authentication: 'invalid_api_key',
  payment_required: 'insufficient_quota', model_not_found: 'model_not_found', rate_limited: 'rate_limit_exceeded',
}

export function encodeEnvelope(error: DarioError, code: string | null): { status: number; body: JsonObject } {
  const status = error.status === 529 ? 503 : error.status // 529 is Anthropic's alone (pitfall E4)
  const type = ERROR_TYPES[error.code] ?? (status < 500 ? 'invalid_request_error' : 'server_error')
  const details = error.details as JsonObject | undefined
  return { status, body: { error: { message: error.message, type, param: error.path ?? null, code, ...details } } }
}

/** With status 200 it is one inside an answer: of a failed response, or of an `error` event (pitfalls O7, O22, E4). */
export function decodeError(status: number, text: string): DarioError {
  const nothing = (status: number): string => status === 200 ? 'the upstream could not finish its answer; try again'
    : `the upstream answered ${status} without a message`
  const page = (status: number, title: string): string =>
    title === '' ? nothing(status) : `the upstream answered ${status} with a web page: ${title}`
  return decodeVendorError(status, text, { words: ['code', 'type'], page, nothing })
}

/** What a refusal of a field looks like: not of its value, the client's own mistake, save for an effort's. */
const REFUSES = new RegExp([
  'unsupported', 'not (?:supported|permitted|allowed)', 'n[o\']t support', 'unknown', 'unrecogni[sz]ed', 'unexpected',
  'extra', 'could not be (?:verified|decrypted|parsed)', 'must be verified', 'without its required',
  'item with id .* not found', 'reasoning_effort\\W.*\\bone of\\b', // Groq: each model has words of its own
].join('|'), 'i')

/** What each refused parameter teaches; the first pattern that fits the error's `param`, code and message. */
const LESSONS: Lessons = [
  [/\bmax_completion_tokens\b.*\binstead\b|\bmax_tokens\b.*\bmax_completion_tokens\b/i, 'max_completion_tokens'],
  [/\bmax_completion_tokens\b/i, 'max_tokens'],
  [/\bmax_tokens\b/i, 'max_completion_tokens'],
  [/\b(?:temperature|top_p|(?:presence|frequency)_?penalty)\b/i, 'no_sampling'],
  [/encrypted[_ ]content.*(?:verif|decrypt|parse|invalid)|invalid_encrypted_content/i, 'no_thinking_history'],
  [/input\[\d+\].*reasoning|reasoning.*without its required|'rs_\S* not found/i, 'no_thinking_history'],
  [/['"`.]stop['"`:]|\bstop(?: sequences?)? (?:is|are) not\b|\bparameter stop\b/i, 'no_stop'],
  [/\bstream_options\b/i, 'no_stream_options'],
  [/\bparallel_tool_calls\b/i, 'no_parallel_tools'],
  [/\btext\.format\b|\bresponse_format\b|\bjson_schema\b/i, 'no_format'],
  [/\bstrict\b/i, 'no_strict'],
  [/\bcache_control\b.*\bttl\b/i, 'no_cache_ttl'],
  [/\bcache_control\b/i, 'no_cache_marks'],
  [/\breasoning_(?:content|details)\b/i, 'no_thinking_history'],
  [/^'include|encrypted[_ ]content|\breasoning(?:_?effort)?\b/i, 'no_thinking'], // xAI: `reasoningEffort`
  [/\benable_thinking\b|['"`.]thinking['"`:]|\bthinking (?:is|are) not\b/i, 'no_thinking'],
]

export function readRepairs({ status, code, path = '', upstreamType = '', message }: DarioError): Repair[] {
  // 404: an item that another server, or nobody, kept
  if (![400, 404, 422].includes(status) || code === 'model_not_found' || code === 'context_length_exceeded') return []
  const wantsReasoning = /reasoning_content\b.*(?:passed back|missing|required|must be)/i
  if (wantsReasoning.test(message)) return ['replay_reasoning'] // T4
  return REFUSES.test(`${upstreamType} ${message}`) ? findRepair(LESSONS, `'${path}' ${upstreamType} ${message}`) : []
}

/** A call's input as JSON text: none is the empty object (pitfall K8). */
export const toArguments = (input: string): string => input.trim() === '' ? '{}' : input

/** Cached tokens are a part of the input here, not in the hub; vendors have many words for them (O1, U2 to U4). */
export function decodeUsage(value: unknown): Usage | undefined {
  const usage = optionalObj(value) ?? {}
  const prompt = optionalNum(usage['prompt_tokens']) ?? optionalNum(usage['input_tokens'])
  const completion = optionalNum(usage['completion_tokens']) ?? optionalNum(usage['output_tokens'])
  if (prompt === undefined && completion === undefined) return undefined
  const details = optionalObj(usage['prompt_tokens_details']) ?? optionalObj(usage['input_tokens_details'])
  const outputDetails = optionalObj(usage['completion_tokens_details']) ?? optionalObj(usage['output_tokens_details'])
  const first = (...values: unknown[]): number => values.map(optionalNum).find((found) => found !== undefined) ?? 0
  const cacheRead = first(
    details?.['cached_tokens'], usage['prompt_cache_hit_tokens'], usage['cached_tokens'],
    usage['cache_read_input_tokens'],
  )
  const cacheWrite = first(details?.['cache_write_tokens'], usage['cache_creation_input_tokens'])
  let reasoning = optionalNum(outputDetails?.['reasoning_tokens']) ?? optionalNum(usage['reasoning_tokens'])
  let output = completion ?? 0
  // xAI and Gemini count reasoning beside the completion, and Gemini does not name it: only the total tells. Where the
  // cache is counted beside the input, the total says nothing of reasoning.
  const beside = (optionalNum(usage['total_tokens']) ?? 0) - (prompt ?? 0) - output
  if (beside > 0 && (reasoning === undefined ? beside !== cacheRead + cacheWrite : beside === reasoning)) {
    output += beside
    reasoning = beside
  }
  const input = Math.max(0, (prompt ?? 0) - cacheRead - cacheWrite)
  return defined({ input, cacheRead, cacheWrite, output, reasoning })
}

/** In each API's own words; both details are always there, as strict clients refuse usage without them (R12). */
export function encodeUsage(
  { input, cacheRead, cacheWrite, output, reasoning = 0 }: Usage,
  asked: 'prompt' | 'input', told: 'completion' | 'output',
): JsonObject {
  const whole = input + cacheRead + cacheWrite
  const written = cacheWrite > 0 ? { cache_write_tokens: cacheWrite } : {} // OpenRouter has the only name for it
  return {
    [`${asked}_tokens`]: whole,
    [`${asked}_tokens_details`]: { cached_tokens: cacheRead, ...written },
    [`${told}_tokens`]: output,
    [`${told}_tokens_details`]: { reasoning_tokens: reasoning },
    total_tokens: whole + output,
  }
}

/** Models that know it; for others `high` is the most. OpenRouter and others put the vendor before a model's name. */
const XHIGH = /^(?:.*\/)?gpt-(?:5\.(?:[2-9]|\d\d)|[6-9])|codex-max/i

/** lossy: a budget in tokens becomes a word, and `max` the highest word that the model knows. */
export function toEffort({ effort, budget }: Thinking, model: string): string | undefined {
  if (effort === 'xhigh' || effort === 'max') return XHIGH.test(model) ? 'xhigh' : 'high'
  if (effort === 'minimal') return 'low' // lossy: newer models refuse the word
  if (effort !== undefined || budget === undefined) return effort
  return budget <= 2048 ? 'low' : budget <= 8192 ? 'medium' : 'high'
}

type Common = 'model' | 'parallelTools' | 'temperature' | 'topP' | 'user' | 'cacheKey' | 'serviceTier' | 'stream'

/** What both requests say alike. */
export function readCommon(body: JsonObject): Pick<HubRequest, Common> {
  return {
    model: str(body['model'], 'model'),
    parallelTools: optionalBool(body['parallel_tool_calls']),
    temperature: given(body['temperature'], 'temperature', num),
    topP: given(body['top_p'], 'top_p', num),
    user: optionalStr(body['safety_identifier']) ?? optionalStr(body['user']),
    cacheKey: optionalStr(body['prompt_cache_key']),
    serviceTier: optionalStr(body['service_tier']),
    stream: body['stream'] === true,
  }
}

export function readTools(list: unknown, path: string, origin: 'chat' | 'responses', namespace?: string): Tool[] {
  return (given(list, path, arr) ?? []).flatMap((entry, index) => {
    const at = `${path}[${index}]`
    return readTool(obj(entry, at), at, origin, namespace)
  })
}

/** Chat nests a tool in a member that is called like its type, Responses does not, and clients mix them up. */
function readTool(tool: JsonObject, path: string, origin: 'chat' | 'responses', namespace?: string): Tool[] {
  const type = optionalStr(tool['type']) ?? 'function'
  const part = optionalObj(tool[type]) ?? tool, at = part === tool ? path : `${path}.${type}`
  const shared = { description: optionalStr(part['description']), namespace, path: at }
  switch (type) {
    case 'function': {
      const name = filled(part['name'], `${at}.name`)
      const asked = optionalObj(part['parameters']) ?? optionalObj(part['input_schema']) // Anthropic's, by Cursor
      const inputSchema = asked ?? { type: 'object', properties: {} }
      const cache = readCache(tool) ?? readCache(part)
      return [defined({ type, name, ...shared, inputSchema, strict: optionalBool(part['strict']), cache })]
    }
    case 'custom': {
      const asked = optionalObj(part['format']), grammar = optionalObj(asked?.['grammar']) // Chat's own nesting
      const format = grammar === undefined ? asked : { type: 'grammar', ...grammar }
      return [defined({ type, name: filled(part['name'], `${at}.name`), ...shared, format })]
    }
    case 'namespace': // R6: lossy: the namespace's own description has no place in a flat list
      return readTools(arr(tool['tools'], `${path}.tools`), `${path}.tools`, origin, str(tool['name'], `${path}.name`))
    default: return [{ type: /^web_search(_|$)/.test(type) ? 'web_search' : 'opaque', origin, value: tool, path }]
  }
}

/** The choice, and the tools that `allowed_tools` leaves: the hub has no such list, so the others are left out. */
export function readToolChoice(
  choice: unknown, tools: Tool[], warnings: Warning[],
): Pick<HubRequest, 'tools' | 'toolChoice'> {
  if (!isObject(choice) || choice['type'] !== 'allowed_tools')
    return { tools, toolChoice: readChoice(choice, warnings) }
  const list = optionalObj(choice['allowed_tools']) ?? choice
  const allowed = new Set(objectsIn(list['tools']).map(toKey)) // a client may send any number of both
  const isAllowed = (tool: Tool): boolean => {
    if (!('name' in tool)) return tool.origin === 'chat' || allowed.has(toKey(tool.value)) // Chat lists functions only
    const { type, name, namespace } = tool
    return allowed.has(toKey({ type, name })) || allowed.has(toKey({ type: 'namespace', name: namespace }))
  }
  // lossy: a shorter list misses the prompt cache
  return { tools: tools.filter(isAllowed), toolChoice: readChoice(list['mode'], warnings) }
}

function readChoice(choice: unknown, warnings: Warning[]): ToolChoice | undefined {
  const name = isObject(choice) ? nameOf(choice) : undefined
  const word = isObject(choice) && name === undefined ? choice['type'] : choice // Cursor: Anthropic's form
  if (word === 'none' || word === 'auto' || word === 'required') return { type: word }
  if (word === 'any') return { type: 'required' } // Mistral
  if (!isObject(choice)) return undefined
  const type = optionalStr(choice['type']) ?? 'function'
  if (name !== undefined && ['function', 'custom', 'tool'].includes(type)) return { type: 'tool', name }
  // lossy: other APIs cannot force a server tool
  warnings.push({ path: 'tool_choice', reason: `only OpenAI can force the tool ${type}` })
  return { type: 'auto' }
}

/** The name in `{type, function: {name}}`, `{type, custom: {name}}`, or in the bare `{name}` of older clients. */
function nameOf(value: JsonObject): string | undefined {
  return optionalStr((optionalObj(value['function']) ?? optionalObj(value['custom']) ?? value)['name'])
}

function toKey(value: JsonObject): string {
  return JSON.stringify([value['type'] ?? 'function', nameOf(value) ?? value['server_label']])
}

/** Chat has the schema and its name in a member of their own. `path`: of a schema that must be there. */
export function decodeFormat(format: JsonObject | undefined, path?: string): OutputFormat | undefined {
  if (format?.['type'] === 'json_object') return { type: 'json_object' }
  if (format?.['type'] !== 'json_schema') return undefined
  const part = optionalObj(format['json_schema']) ?? format
  return {
    type: 'json_schema',
    schema: path === undefined ? optionalObj(part['schema']) ?? { type: 'object' } : obj(part['schema'], path),
    name: optionalStr(part['name']),
    description: optionalStr(part['description']),
    strict: optionalBool(part['strict']),
  }
}
