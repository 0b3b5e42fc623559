/**
 * A hub request as a Chat Completions request that this backend takes.
 * https://platform.openai.com/docs/api-reference/chat/create
 * @module
 */
import type { HubRequest, JsonObject, Thinking, Tool, Turn } from '../../hub/types.ts'
import type { EncodedRequest, Repair, Target } from '../dialect.ts'
import {
  createEncoding, encodeSchema, encodeStrict, encodeToolFields, shorten, tellFormat, toWireName, wrapCustomTool,
} from '../encoding.ts'
import { toEffort } from '../openai.ts'
import { defined, isObject, optionalArr } from '../read.ts'
import { repairToolSchema } from '../schema.ts'
import { encodeTurns, markCache } from './encode-turns.ts'
import type { EncodeContext } from './encode-turns.ts'
import { toFamily } from './families.ts'

export function encodeRequest(request: HubRequest, target: Target): EncodedRequest {
  const context: EncodeContext = { ...createEncoding(target), family: toFamily(target) }
  // Before the turns: the tools choose first among the names.
  const tools = encodeToolFields(request, context, encodeTool, encodeToolChoice)
  const format = encodeFormat(request, context)
  const turns = format.instruction === undefined ? request.turns : instruct(request.turns, format.instruction)
  const body: JsonObject = {
    model: target.model,
    messages: encodeTurns(turns, context) as unknown as JsonObject[],
    ...tools,
    ...encodeSearch(request, context),
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
  return { body, warnings: context.warnings, toolNames: context.names.changed }
}

function encodeSearch({ tools }: HubRequest, { family }: EncodeContext): JsonObject {
  const search = family.webSearch ? tools.findLast(({ type }) => type === 'web_search') : undefined
  const options = search && 'value' in search && search.origin === 'chat' ? search.value : {}
  return search === undefined ? {} : { web_search_options: options }
}

function encodeTool(tool: Tool, path: string, name: string, context: EncodeContext): JsonObject | undefined {
  const { family, drop } = context
  switch (tool.type) {
    case 'function': {
      const part = defined({
        name,
        description: tool.description,
        parameters: repairToolSchema(tool.inputSchema), // K5, K3
        strict: encodeStrict(tool.strict, path, context, family.openFields), // K7: never switched on by us
      })
      return { type: 'function', function: part, ...markCache(tool.cache, context) }
    }
    case 'custom': {
      const { description, schema } = wrapCustomTool(tool, path, context)
      return { type: 'function', function: { name, description, parameters: schema } }
    }
    default: // A12: said, never an empty success
      return tool.type === 'web_search' && family.webSearch ? undefined : drop(path, 'this backend cannot run it')
  }
}

function encodeToolChoice(
  { toolChoice: choice, tools }: HubRequest, _sent: unknown, context: EncodeContext,
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
    const effort = toEffort(thinking, target.model)
    const amount = thinking.budget !== undefined ? { max_tokens: thinking.budget }
      : effort !== undefined ? { effort } : { enabled: true }
    return { reasoning: { ...amount, ...(thinking.visible === false ? { exclude: true } : {}) } }
  }
  // lossy: not every model can stop reasoning, so "off" is left unsaid
  const effort = on ? toEffort(thinking, target.model) : undefined
  return effort === undefined ? {} : { reasoning_effort: effort }
}

function encodeFormat({ format }: HubRequest, context: EncodeContext): { field?: JsonObject; instruction?: string } {
  if (format === undefined) return {}
  if (context.target.repairs.has('no_format')) return { instruction: tellFormat(format, context) }
  if (format.type === 'json_object') return { field: { response_format: { type: 'json_object' } } }
  if (context.family.jsonSchema)
    return { field: { response_format: { type: 'json_schema', json_schema: encodeSchema(format, context) } } }
  return { field: { response_format: { type: 'json_object' } }, instruction: tellFormat(format, context) }
}

/** Behind the leading system turns, which become one message: a second one is refused by many chat templates. */
function instruct(turns: readonly Turn[], text: string): Turn[] {
  const first = turns.findIndex(({ role }) => role !== 'system')
  return turns.toSpliced(first === -1 ? turns.length : first, 0, { role: 'system', blocks: [{ type: 'text', text }] })
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

/** OpenAI's newer fields go to those who have them: strict servers (Groq) refuse a request for one they do not know. */
function encodeExtra(request: HubRequest, { family, target, drop }: EncodeContext): JsonObject {
  const { verbosity, prompt_cache_retention, ...common } = request.extra.chat ?? {}
  const { metadata, frequency_penalty, presence_penalty, ...extra } = common
  if (!family.serviceTier && verbosity !== undefined) drop('verbosity', 'this vendor has no such field')
  if (!family.openFields) return {}
  return defined({
    ...extra,
    ...(family.serviceTier ? { verbosity, prompt_cache_retention } : {}),
    ...(family.sampling && !target.repairs.has('no_sampling') ? { frequency_penalty, presence_penalty } : {}),
    ...(extra['store'] === true ? { metadata } : {}), // Q11
  })
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
