/**
 * Encodes sampling, reasoning, format, bookkeeping and tools for a Responses backend, by what its models are known to
 * refuse.
 * https://platform.openai.com/docs/guides/reasoning
 * @module
 */
import type { HubRequest, Json, JsonObject, OutputFormat, Thinking, Tool } from '../../hub/types.ts'
import { encodeSchema, encodeStrict, shorten, toWireName } from '../encoding.ts'
import type { Encoding } from '../encoding.ts'
import { toEffort } from '../openai.ts'
import { defined, optionalObj, optionalStr, toText } from '../read.ts'
import { repairToolSchema } from '../schema.ts'

/** OpenAI's floor for `max_output_tokens`; Claude Code asks for 1 to see whether a key works. */
const LEAST_OUTPUT = 16

/** OpenRouter and others put the vendor before a model's name. */
const toOwnName = (model: string): string => model.slice(model.lastIndexOf('/') + 1)

/** OpenAI models without reasoning: they refuse every word about it. */
export const isPlainModel = (model: string): boolean => /^(?:gpt-[34]|chatgpt|.*-chat(?:-|$))/.test(toOwnName(model))

const TIERS: readonly string[] = ['auto', 'default', 'flex', 'priority']

export function encodeOptions(request: HubRequest, encoding: Encoding): JsonObject {
  const { target } = encoding
  const { metadata, prompt_cache_retention, verbosity, store: _, ...lost } = request.extra.chat ?? {}
  const tier = request.serviceTier === 'standard_only' ? 'default' : request.serviceTier // Anthropic's word
  const most = request.maxTokens && Math.min(request.maxTokens, target.maxOutputTokens ?? Infinity)
  const sampling = encodeSampling(request, encoding)
  const format = target.repairs.has('no_format') ? undefined : encodeFormat(request.format, encoding)
  const text = defined({ format, verbosity: optionalStr(verbosity) })
  const cacheKey = request.cacheKey ?? target.session
  // `user` is the older name, which compatible servers know.
  const user = target.host === 'api.openai.com' ? 'safety_identifier' : 'user'
  // A11: nothing unknown travels, and nothing is lost unsaid.
  if (request.stop.length > 0) encoding.drop('stop', 'OpenAI Responses has no stop sequences')
  for (const field of Object.keys(lost)) encoding.drop(field, 'OpenAI Responses has no such field')
  if (tier !== undefined && !TIERS.includes(tier)) encoding.drop('service_tier', 'OpenAI Responses has no such tier')
  return defined({
    metadata,
    prompt_cache_retention,
    service_tier: TIERS.find((known) => known === tier),
    max_output_tokens: most === undefined ? undefined : Math.max(LEAST_OUTPUT, most),
    ...sampling,
    reasoning: encodeThinking(request.thinking, encoding),
    text: Object.keys(text).length === 0 ? undefined : text,
    prompt_cache_key: cacheKey === undefined ? undefined : shorten(cacheKey), // C7
    [user]: request.user === undefined ? undefined : shorten(request.user),
  })
}

function encodeSampling(request: HubRequest, { target, drop }: Encoding): JsonObject {
  const reasons = !isPlainModel(target.model) && /^(?:o\d|gpt-[5-9]|codex)/.test(toOwnName(target.model))
  const refused = target.repairs.has('no_sampling') || reasons // A6
  const sampling = defined({ temperature: request.temperature, top_p: request.topP })
  if (!refused) return sampling
  for (const [name, value] of Object.entries(sampling)) if (value !== 1) drop(name, 'models that reason refuse it')
  return {}
}

/** Never more effort than was asked for (pitfall T10), and nothing to models that refuse the word. */
function encodeThinking(thinking: Thinking | undefined, { target, drop }: Encoding): JsonObject | undefined {
  if (thinking === undefined) return undefined
  if (target.repairs.has('no_thinking') || isPlainModel(target.model))
    return thinking.mode === 'on' ? drop('thinking', 'this model takes no wish for reasoning') : undefined
  const effort = thinking.mode === 'off' ? toOff(toOwnName(target.model)) : toEffort(thinking, target.model)
  const summary = thinking.mode === 'off' || thinking.visible === false ? {} : { summary: 'auto' }
  const reasoning = defined({ effort, ...summary })
  return Object.keys(reasoning).length === 0 ? undefined : reasoning
}

/** The least that the model allows; the o series always reasons. */
function toOff(name: string): string | undefined {
  if (/^gpt-(?:5\.[1-9]|[6-9])/.test(name)) return 'none'
  return /^gpt-5/.test(name) ? 'minimal' : undefined
}

function encodeFormat(format: OutputFormat | undefined, encoding: Encoding): JsonObject | undefined {
  if (format?.type !== 'json_schema') return format && { type: format.type }
  return { type: 'json_schema', ...encodeSchema(format, encoding) }
}

export function encodeTool(tool: Tool, path: string, name: string, encoding: Encoding): JsonObject | undefined {
  const { target, drop } = encoding
  switch (tool.type) {
    case 'function': return defined({
      type: 'function',
      name,
      description: tool.description,
      parameters: repairToolSchema(tool.inputSchema),
      // Here `strict` is on unless it is switched off, and then refuses most schemas (pitfall K7).
      strict: encodeStrict(tool.strict ?? false, path, encoding),
    })
    case 'custom': {
      const { type, description } = tool, { grammar, ...format } = tool.format ?? {}
      const flat = { ...format, ...optionalObj(grammar) } // Chat puts the grammar into a member of its own
      return defined({ type, name, description, format: tool.format && flat })
    }
    case 'web_search':
    case 'opaque':
      if (tool.origin === 'responses') return tool.value
      if (tool.type === 'web_search' && target.host === 'api.openai.com') return encodeWebSearch(tool.value)
      return drop(path, `this backend is not known to run ${toText(tool.value['type'] ?? tool.type)}`) // A12, R15
    default: return tool satisfies never
  }
}

/** From Anthropic's tool or from Chat's `web_search_options`. lossy: `max_uses` and blocked domains have no word here. */
function encodeWebSearch(value: JsonObject): JsonObject {
  const asked = optionalObj(value['user_location'])
  const location = asked === undefined ? undefined : { type: 'approximate', ...optionalObj(asked['approximate']) ?? asked }
  const domains = value['allowed_domains']
  return defined({
    type: 'web_search',
    filters: Array.isArray(domains) ? { allowed_domains: domains } : undefined,
    user_location: location,
    search_context_size: optionalStr(value['search_context_size']),
  })
}

export function encodeToolChoice(request: HubRequest, tools: JsonObject[], encoding: Encoding): Json | undefined {
  const choice = request.toolChoice
  if (choice?.type !== 'tool') return choice?.type
  const name = toWireName(choice.name, request.tools, encoding)
  const sent = name === undefined ? undefined : tools.find((tool) => tool['name'] === name)
  if (sent !== undefined) return { type: sent['type'], name }
  const search = tools.find((tool) => tool['type'] === 'web_search')
  if (choice.name === 'web_search' && search !== undefined) return { type: 'web_search' }
  return encoding.drop('tool_choice', `the tool ${choice.name} is not sent, so it cannot be forced`) ?? 'auto'
}
