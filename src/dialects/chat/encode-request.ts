/**
 * A hub request as a Chat Completions request that this backend takes.
 * https://platform.openai.com/docs/api-reference/chat/create
 * @module
 */
import type { HubRequest, JsonObject, Thinking, Tool, ToolChoice } from '../../hub/types.ts'
import type { EncodedRequest, Repair, Target } from '../dialect.ts'
import { createEncoding, shorten, toWireName } from '../encoding.ts'
import { encodeSchema, toEffort } from '../openai.ts'
import { defined, isObject, optionalArr } from '../read.ts'
import { repairToolSchema } from '../schema.ts'
import { encodeTurns, markCache } from './encode-turns.ts'
import type { EncodeContext } from './encode-turns.ts'
import { toFamily } from './families.ts'
import type { ChatMessage } from './wire.ts'

export function encodeRequest(request: HubRequest, target: Target): EncodedRequest {
  const context: EncodeContext = { ...createEncoding(target), family: toFamily(target) }
  const tools = encodeTools(request, context) // before the turns: the tools choose first among the names
  const format = encodeFormat(request, context)
  const messages = encodeTurns(request.turns, context)
  if (format.instruction !== undefined) addInstruction(messages, format.instruction)
  const body: JsonObject = {
    model: target.model,
    messages: messages as unknown as JsonObject[],
    ...tools,
    ...encodeLimits(request, context),
    ...encodeThinking(request.thinking, context),
    ...format.field,
    ...encodeIdentity(request, context),
    stream: request.stream,
    ...(request.stream && context.family.openFields && !target.repairs.has('no_stream_options')
      ? { stream_options: { include_usage: true } } // U6: the ledger counts, whatever the client asked for
      : {}),
    ...encodeExtra(request, context),
  }
  return { body, headers: {}, warnings: context.warnings, toolNames: context.names.changed }
}

function encodeTools(request: HubRequest, context: EncodeContext): JsonObject {
  const tools = new Map<string, JsonObject>() // K14: of two with one name the last counts; the order stays (K15)
  let search: JsonObject = {}
  for (const [index, tool] of request.tools.entries()) {
    if (tool.type === 'function' || tool.type === 'custom') {
      const name = context.names.toWire({ ...tool, kind: tool.type })
      tools.set(name, encodeTool(tool, name, context))
    } else if (tool.type === 'web_search' && context.family.webSearch) {
      search = { web_search_options: tool.origin === 'chat' ? tool.value : {} }
    } else {
      context.drop(`tools[${index}]`, 'this backend cannot run it') // A12: said, never an empty success
    }
  }
  if (tools.size === 0) return search // A10, and Q11: no choice without tools
  const choice = encodeToolChoice(request.toolChoice, request.tools, context)
  const parallel = context.target.repairs.has('no_parallel_tools') ? undefined : request.parallelTools
  return defined({ tools: [...tools.values()], tool_choice: choice, parallel_tool_calls: parallel, ...search })
}

type NamedTool = Extract<Tool, { type: 'function' | 'custom' }>

function encodeTool(tool: NamedTool, name: string, context: EncodeContext): JsonObject {
  if (tool.type === 'custom') {
    // lossy: the grammar is only told to the model, nothing holds it to it
    const free = tool.format === undefined || tool.format['type'] === 'text'
    const grammar = free ? '' : `\nFormat of the input: ${JSON.stringify(tool.format)}`
    const input = { type: 'string', description: 'The whole input as raw text.' }
    const parameters = { type: 'object', properties: { input }, required: ['input'] }
    return { type: 'function', function: { name, description: `${tool.description ?? ''}${grammar}`, parameters } }
  }
  const refusesStrict = context.target.repairs.has('no_strict') || !context.family.openFields
  const part = defined({
    name,
    description: tool.description,
    parameters: repairToolSchema(tool.inputSchema), // K5, K3
    strict: refusesStrict ? undefined : tool.strict, // K7: never switched on by us
  })
  return { type: 'function', function: part, ...markCache(tool.cache, context) }
}

/** R16: decided after the tools are, so that it never names one that was left out. */
function encodeToolChoice(
  choice: ToolChoice | undefined, tools: Tool[], context: EncodeContext,
): JsonObject | string | undefined {
  if (choice?.type !== 'tool') return choice?.type
  const name = toWireName(choice.name, tools, context)
  if (name !== undefined) return { type: 'function', function: { name } }
  return context.drop('tool_choice', `there is no tool ${choice.name.slice(0, 64)} here, so the model chooses`)
}

function encodeLimits(request: HubRequest, { family, target, drop }: EncodeContext): JsonObject {
  const { repairs } = target
  const body: JsonObject = {}
  if (request.maxTokens !== undefined) {
    const field = repairs.has('max_tokens') ? 'max_tokens'
      : repairs.has('max_completion_tokens') ? 'max_completion_tokens'
      : family.maxTokensField // A5
    // Clients ask for their own model's ceiling; over this model's it would be a 400.
    body[field] = Math.min(request.maxTokens, target.maxOutputTokens ?? Infinity)
  }
  const sampling = family.sampling && !repairs.has('no_sampling') // A6: no request fails over a knob
  for (const [field, value] of [['temperature', request.temperature], ['top_p', request.topP]] as const) {
    if (value === undefined) continue
    if (sampling) body[field] = value
    else drop(field, 'this model takes no sampling settings')
  }
  const stops = repairs.has('no_stop') ? 0 : family.stops
  if (request.stop.length > stops) drop(`stop[${stops}]`, `this model takes ${stops} stop sequences`)
  if (stops > 0 && request.stop.length > 0) body['stop'] = request.stop.slice(0, stops) // A7: always a list
  return body
}

/** T10: nothing is asked of the model that the client did not ask for. */
function encodeThinking(thinking: Thinking | undefined, { family, target, drop }: EncodeContext): JsonObject {
  if (thinking === undefined) return {}
  const on = thinking.mode !== 'off'
  if (family.reasoning === 'none' || target.repairs.has('no_thinking')) {
    if (thinking.mode === 'on') drop('thinking', 'this model takes no wish for reasoning')
    return {}
  }
  if (family.reasoning === 'switch') return { thinking: { type: on ? 'enabled' : 'disabled' } } // lossy: no amount
  if (family.reasoning === 'object') {
    if (!on) return { reasoning: { enabled: false } }
    const effort = toEffort(thinking, family.xhigh)
    const amount = thinking.budget !== undefined ? { max_tokens: thinking.budget }
      : effort !== undefined ? { effort } : { enabled: true }
    return { reasoning: { ...amount, ...(thinking.visible === false ? { exclude: true } : {}) } }
  }
  // lossy: not every model can stop reasoning, so "off" is left unsaid
  const effort = on ? toEffort(thinking, family.xhigh) : undefined
  return effort === undefined ? {} : { reasoning_effort: effort }
}

function encodeFormat(
  { format }: HubRequest, { family, target }: EncodeContext,
): { field?: JsonObject; instruction?: string } {
  if (format === undefined) return {}
  const schema = format.type === 'json_schema' ? format.schema : undefined
  const rule = schema === undefined ? '' : ` It must match this JSON schema: ${JSON.stringify(schema)}`
  const instruction = `Answer with one JSON value and nothing else.${rule}`
  if (target.repairs.has('no_format')) return { instruction } // lossy: nothing holds the model to it
  if (format.type === 'json_object') return { field: { response_format: { type: 'json_object' } } }
  if (!family.jsonSchema) return { field: { response_format: { type: 'json_object' } }, instruction }
  return { field: { response_format: { type: 'json_schema', json_schema: encodeSchema(format, target) } } }
}

/** Into the first system message: a second one is refused by many chat templates. */
function addInstruction(messages: ChatMessage[], instruction: string): void {
  const first = messages[0]
  if (first?.role !== 'system') messages.unshift({ role: 'system', content: instruction })
  else if (typeof first.content === 'string') first.content += `\n\n${instruction}`
  else first.content?.push({ type: 'text', text: instruction })
}

function encodeIdentity(request: HubRequest, { family, target, drop }: EncodeContext): JsonObject {
  const cacheKey = family.cacheKey ? request.cacheKey ?? target.session : undefined // C7
  const tier = request.serviceTier
  if (!family.serviceTier && tier !== undefined && tier !== 'auto' && tier !== 'default')
    drop('service_tier', 'this backend has no tiers')
  return defined({
    user: request.user !== undefined && family.openFields ? shorten(request.user) : undefined, // Q11: 64 characters
    prompt_cache_key: cacheKey && shorten(cacheKey),
    service_tier: family.serviceTier ? tier : undefined,
  })
}

function encodeExtra(request: HubRequest, { family, target }: EncodeContext): JsonObject {
  const { metadata, frequency_penalty, presence_penalty, ...extra } = request.extra.chat ?? {}
  if (!family.openFields) return {}
  if (family.sampling && !target.repairs.has('no_sampling')) {
    if (frequency_penalty !== undefined) extra['frequency_penalty'] = frequency_penalty
    if (presence_penalty !== undefined) extra['presence_penalty'] = presence_penalty
  }
  return extra['store'] === true && metadata !== undefined ? { ...extra, metadata } : extra // Q11
}

/**
 * A relayed request without what its tool could not know of this backend: the other name of the token limit, and
 * reasoning of earlier turns, which some SDKs replay to every vendor (pitfall Q10).
 */
export function repairBody(body: JsonObject, repairs: ReadonlySet<Repair>): JsonObject {
  const { max_tokens: older, max_completion_tokens: newer, ...rest } = body
  if (repairs.has('max_completion_tokens')) body = { ...rest, max_completion_tokens: newer ?? older }
  else if (repairs.has('max_tokens')) body = { ...rest, max_tokens: older ?? newer }
  if (!repairs.has('no_thinking_history')) return body
  const messages = optionalArr(body['messages'])?.map((message) => {
    return isObject(message) ? { ...message, reasoning_content: undefined, reasoning_details: undefined } : message
  })
  return { ...body, messages }
}
