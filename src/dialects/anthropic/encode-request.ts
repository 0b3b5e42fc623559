/**
 * Hub requests as Anthropic Messages requests, within the real API's strict refusals (pitfall Q11).
 * @see https://docs.claude.com/en/api/messages
 * @module
 */
import type { HubRequest, JsonObject, OutputFormat, Thinking, Tool } from '../../hub/types.ts'
import type { EncodedRequest, Target } from '../dialect.ts'
import {
  createEncoding, encodeCache, encodeParallel, encodeStrict, encodeTools, tellFormat, toWireName, wrapCustomTool,
} from '../encoding.ts'
import type { Encoding } from '../encoding.ts'
import { defined, isObject, optionalArr, optionalObj } from '../read.ts'
import { repairSchema, repairToolSchema } from '../schema.ts'
import { encodeTurns } from './encode-turns.ts'
import type { Message } from './encode-turns.ts'
import { isThought } from './error.ts'
import { readFamily } from './family.ts'
import type { Family } from './family.ts'

const BUDGETS = { minimal: 1024, low: 4096, medium: 10_000, high: 20_000, xhigh: 32_000, max: 32_000 } as const
const MIN_BUDGET = 1024
const MAX_CACHE_MARKS = 4

/** @throws DarioError `unsupported_across_dialects` for attachments that Anthropic cannot read. */
export function encodeRequest(request: HubRequest, target: Target): EncodedRequest {
  const encoding = createEncoding(target, 128)
  const { drop, names, warnings } = encoding
  const family = readFamily(target.model)
  const tools = encodeTools(request, encoding, encodeTool)
  const { system, messages } = encodeTurns(request, encoding)
  const ceiling = target.maxOutputTokens
  const maxTokens = Math.min(request.maxTokens ?? ceiling ?? family.maxTokens, ceiling ?? Infinity)
  const { thinking, effort } = encodeThinkingWish(request, encoding, family, maxTokens, messages) ?? {}
  const thinks = thinking !== undefined && thinking['type'] !== 'disabled'
  const outputConfig = defined({ effort, format: encodeFormat(request.format, encoding, family, system) })
  endInUserTurn(messages, family, thinks, encoding)
  for (const path of Object.keys(request.extra.chat ?? {}))
    if (path !== 'top_k') drop(path, 'Anthropic has no word for this field')
  if (!['auto', 'default', undefined].includes(request.serviceTier)) drop('service_tier', 'Anthropic has no such tier')
  const body: JsonObject = defined({
    model: target.model,
    max_tokens: Math.max(1, maxTokens),
    system: system.length === 0 ? undefined : system,
    messages: messages as unknown as JsonObject[],
    ...(tools.length === 0 ? {} : { tools, tool_choice: encodeToolChoice(request, encoding, tools, thinks) }),
    ...encodeSampling(request, encoding, family, thinks),
    stop_sequences: encodeStop(request, encoding),
    thinking,
    output_config: Object.keys(outputConfig).length === 0 ? undefined : outputConfig,
    metadata: request.user === undefined ? undefined : { user_id: request.user.slice(0, 256) },
    stream: request.stream || undefined,
    ...request.extra.anthropic,
  })
  limitCacheMarks(body)
  return { body, warnings, toolNames: names.changed }
}

function encodeTool(tool: Tool, path: string, name: string, encoding: Encoding): JsonObject | undefined {
  const { target, drop } = encoding
  switch (tool.type) {
    case 'function': return defined({
      name,
      description: tool.description || undefined,
      input_schema: repairToolSchema(tool.inputSchema),
      strict: encodeStrict(tool.strict, path, encoding) || undefined, // never switched on by us (K7)
      ...encodeCache(tool.cache, target),
    })
    case 'custom': {
      const { description, schema } = wrapCustomTool(tool, path, encoding)
      return { name, description: description || name, input_schema: schema }
    }
    default:
      if (tool.origin === 'anthropic') return { ...tool.value }
      if (tool.type === 'web_search' && target.host === 'api.anthropic.com') return encodeWebSearch(tool.value)
      return drop(path, 'nothing behind this backend runs this tool') // pitfall A12
  }
}

/** From OpenAI's tool, or Chat's `web_search_options`. lossy: how much of a page to read has no word here. */
function encodeWebSearch({ filters, user_location: asked }: JsonObject): JsonObject {
  const place = Object.entries(optionalObj(optionalObj(asked)?.['approximate']) ?? optionalObj(asked) ?? {})
    .filter(([, word]) => word !== null)
  return defined({
    type: 'web_search_20250305',
    name: 'web_search',
    allowed_domains: optionalArr(optionalObj(filters)?.['allowed_domains']),
    user_location: place.length === 0 ? undefined : { ...Object.fromEntries(place), type: 'approximate' },
  })
}

function encodeToolChoice(
  request: HubRequest, encoding: Encoding, tools: JsonObject[], thinks: boolean,
): JsonObject | undefined {
  const { names, drop } = encoding
  const choice = request.toolChoice
  if (choice?.type === 'none') return { type: 'none' } // takes no flag (pitfall B9)
  const isOne = encodeParallel(request, encoding) === false
  const one = isOne ? { disable_parallel_tool_use: true } : {}
  const auto = choice === undefined && !isOne ? undefined : { type: 'auto', ...one }
  if (choice === undefined || choice.type === 'auto') return auto
  // It would be refused (pitfall T9).
  if (thinks) return drop('tool_choice', 'a model that thinks cannot be forced to call a tool') ?? auto
  if (choice.type === 'required') return { type: 'any', ...one }
  const name = toWireName(choice.name, request.tools, encoding) ?? names.toWire(choice)
  if (tools.some((candidate) => candidate['name'] === name)) return { type: 'tool', name, ...one }
  return drop('tool_choice', `the tool ${choice.name} is not in the list`) ?? auto
}

function encodeSampling(request: HubRequest, { target, drop }: Encoding, family: Family, thinks: boolean): JsonObject {
  const refused = family.sampling === 'none' || target.repairs.has('no_sampling')
  let { temperature, topP } = request
  if (temperature !== undefined && (refused || (thinks && temperature !== 1))) {
    drop('temperature', refused ? 'this model takes no temperature' : 'thinking needs temperature 1')
    temperature = undefined
  }
  const isSecond = temperature !== undefined && family.sampling === 'one'
  if (topP !== undefined && (refused || (thinks && topP < 0.95) || isSecond)) {
    drop('top_p', 'this model takes no top_p here')
    topP = undefined
  }
  if (temperature !== undefined && temperature > 1) drop('temperature', 'Anthropic ends at 1')
  const asked = request.extra.chat?.['top_k']
  const topK = asked === undefined || !(refused || thinks) ? asked : drop('top_k', 'this model takes no top_k here')
  return defined({ temperature: temperature && Math.min(1, Math.max(0, temperature)), top_p: topP, top_k: topK })
}

function encodeStop(request: HubRequest, { target, drop }: Encoding): string[] | undefined {
  const words = request.stop.filter((word) => word.trim() !== '') // blank ones are refused
  if (words.length === 0) return undefined
  return target.repairs.has('no_stop') ? drop('stop', 'this backend takes no stop sequences') : words
}

function encodeThinkingWish(
  request: HubRequest, { target, drop }: Encoding, family: Family, maxTokens: number, messages: Message[],
): { thinking: JsonObject; effort?: string } | undefined {
  const wish = request.thinking
  if (wish === undefined) return undefined // never asked for on the user's behalf (pitfall T10)
  // From version 5 on silence may mean thinking; older ones think only when asked, and some refuse the word.
  if (wish.mode === 'off') return (family.version ?? 0) >= 5 ? { thinking: { type: 'disabled' } } : undefined
  if (target.repairs.has('no_thinking') || family.thinking === 'none')
    return drop('thinking', 'this model does not think')
  if (family.thinking === 'adaptive') return encodeAdaptive(wish, family)
  const usual = wish.effort !== undefined ? BUDGETS[wish.effort] : wish.mode === 'on' ? BUDGETS.low : undefined
  const wanted = wish.budget ?? usual
  if (wanted === undefined) return undefined // lossy: these models cannot decide for themselves
  const budget = Math.min(Math.max(wanted, MIN_BUDGET), maxTokens - MIN_BUDGET) // room for the answer (pitfall T8)
  if (budget < MIN_BUDGET) return drop('thinking', 'max_tokens leaves no room for thinking')
  if (!opensWithThinking(messages)) // pitfall T1
    return drop('thinking', 'the tool calls being answered lost the reasoning that led to them')
  return { thinking: { type: 'enabled', budget_tokens: budget } }
}

function encodeAdaptive(wish: Thinking, family: Family): { thinking: JsonObject; effort?: string } {
  // lossy: a budget has no place here, and an effort that the model lacks becomes the next lower one, never a higher
  const effort = wish.effort === 'minimal' ? 'low' : wish.effort === 'xhigh' && !family.xhigh ? 'high' : wish.effort
  const display = wish.visible !== false && family.xhigh ? { display: 'summarized' } : {} // hidden otherwise
  return { thinking: { type: 'adaptive', ...display }, ...(effort === undefined ? {} : { effort }) }
}

/** With a budget, the assistant turn whose calls are being answered must open with its signed thought. */
function opensWithThinking(messages: Message[]): boolean {
  if (!messages.at(-1)?.content.some((block) => block['type'] === 'tool_result')) return true
  const opening = messages.findLast((message) => message.role === 'assistant')?.content[0]
  return opening === undefined || isThought(opening)
}

function encodeFormat(
  format: OutputFormat | undefined, encoding: Encoding, family: Family, system: JsonObject[],
): JsonObject | undefined {
  if (format === undefined) return undefined
  if (format.type === 'json_schema' && family.format && !encoding.target.repairs.has('no_format')) {
    return { type: 'json_schema', schema: repairSchema(format.schema, true) }
  }
  const text = tellFormat(format, encoding, 'object and nothing else, without a code fence')
  system.push({ type: 'text', text })
  return undefined
}

/** Prefill goes only to models that take it, and without the trailing blanks that they refuse (pitfall A13). */
function endInUserTurn(messages: Message[], family: Family, thinks: boolean, { drop }: Encoding): void {
  const last = messages.at(-1)
  if (last?.role !== 'assistant') return
  while (isThought(last.content.at(-1))) { // no model goes on with a thought, and each refuses one at the end
    drop('messages', 'a conversation cannot end in reasoning')
    last.content.pop()
  }
  if (last.content.length === 0) return void messages.pop()
  if (!family.prefill || thinks) {
    drop('messages', 'this model cannot continue an assistant turn; it was asked to go on')
    messages.push({ role: 'user', content: [{ type: 'text', text: 'Continue.' }] })
    return
  }
  const block = last.content.at(-1)
  if (typeof block?.['text'] === 'string') block['text'] = block['text'].trimEnd()
}

/** The last marks are kept: each covers all that stands before it (pitfall C8). */
function limitCacheMarks(body: JsonObject): void {
  const marked: JsonObject[] = []
  function look(list: unknown): void { // no list in between: a history has thousands
    for (const block of Array.isArray(list) ? list : []) {
      if (!isObject(block)) continue
      look(block['content'])
      if (block['cache_control'] !== undefined) marked.push(block)
    }
  }
  for (const list of [body['tools'], body['system'], body['messages']]) look(list)
  for (const block of marked.slice(0, -MAX_CACHE_MARKS)) delete block['cache_control']
}
