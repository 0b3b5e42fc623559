/**
 * Encodes sampling, reasoning, format and bookkeeping for a Responses backend, by what its models are known to refuse.
 * https://platform.openai.com/docs/guides/reasoning
 * @module
 */
import type { HubRequest, JsonObject, OutputFormat, Thinking, Warning } from '../../hub/types.ts'
import type { Target } from '../dialect.ts'
import { shorten } from '../names.ts'
import { optionalStr } from '../read.ts'
import { repairSchema } from '../schema.ts'

/** OpenAI's floor for `max_output_tokens`; Claude Code asks for 1 to see whether a key works. */
const LEAST_OUTPUT = 16

const OWN_NAME = /^.*\// // OpenRouter and others put the vendor before a model's name

/** OpenAI models without reasoning: they refuse every word about it. */
export function isPlainModel(model: string): boolean {
  return /^(?:gpt-[34]|chatgpt|.*-chat(?:-|$))/.test(model.replace(OWN_NAME, ''))
}

function isReasoningModel(model: string): boolean {
  return !isPlainModel(model) && /^(?:o\d|gpt-[5-9]|codex)/.test(model.replace(OWN_NAME, ''))
}

/** What Chat Completions and Responses both have, under its name in each (`text.verbosity` is written with the format). */
const SHARED_WITH_CHAT: readonly string[] = ['metadata', 'prompt_cache_retention']

const TIERS: readonly string[] = ['auto', 'default', 'flex', 'priority']

export function encodeOptions(request: HubRequest, target: Target, warnings: Warning[]): JsonObject {
  const chat = request.extra.chat ?? {}
  const body: JsonObject = {}
  for (const field of SHARED_WITH_CHAT) if (chat[field] != null) body[field] = chat[field]
  const tier = request.serviceTier === 'standard_only' ? 'default' : request.serviceTier // Anthropic's word for it
  if (tier !== undefined && TIERS.includes(tier)) body['service_tier'] = tier
  if (request.maxTokens !== undefined) {
    body['max_output_tokens'] = Math.max(LEAST_OUTPUT, Math.min(request.maxTokens, target.maxOutputTokens ?? Infinity))
  }
  encodeSampling(request, target, body, warnings)
  const reasoning = encodeThinking(request.thinking, target)
  if (reasoning !== undefined) body['reasoning'] = reasoning
  const text = {
    ...(request.format === undefined || target.repairs.has('no_format') ? {} : { format: encodeFormat(request.format, target) }),
    ...(optionalStr(chat['verbosity']) === undefined ? {} : { verbosity: chat['verbosity'] }),
  }
  if (Object.keys(text).length > 0) body['text'] = text
  const cacheKey = request.cacheKey ?? target.session
  if (cacheKey !== undefined) body['prompt_cache_key'] = shorten(cacheKey) // C7
  const user = optionalStr(chat['safety_identifier']) ?? request.user
  // `user` is the older name, which compatible servers know.
  if (user !== undefined) body[target.host === 'api.openai.com' ? 'safety_identifier' : 'user'] = shorten(user)
  warnOfRest(request, warnings)
  return body
}

function encodeSampling(request: HubRequest, target: Target, body: JsonObject, warnings: Warning[]): void {
  const refused = target.repairs.has('no_sampling') || isReasoningModel(target.model) // A6
  for (const [name, value] of [['temperature', request.temperature], ['top_p', request.topP]] as const) {
    if (value === undefined) continue
    if (!refused) body[name] = value
    else if (value !== 1) warnings.push({ path: name, reason: 'models that reason refuse it' })
  }
  if (request.stop.length > 0) warnings.push({ path: 'stop', reason: 'OpenAI Responses has no stop sequences' })
}

/** Never more effort than was asked for (pitfall T10), and nothing to models that refuse the word. */
function encodeThinking(thinking: Thinking | undefined, target: Target): JsonObject | undefined {
  if (thinking === undefined || target.repairs.has('no_thinking') || isPlainModel(target.model)) return undefined
  const name = target.model.replace(OWN_NAME, '')
  const effort = thinking.mode === 'off' ? toOff(name) : toEffort(thinking, name)
  const summary = thinking.mode === 'off' || thinking.visible === false ? {} : { summary: 'auto' }
  const reasoning = { ...(effort === undefined ? {} : { effort }), ...summary }
  return Object.keys(reasoning).length === 0 ? undefined : reasoning
}

/** The least that the model allows; the o series always reasons. */
function toOff(name: string): string | undefined {
  if (/^gpt-(?:5\.[1-9]|[6-9])/.test(name)) return 'none'
  return /^gpt-5/.test(name) ? 'minimal' : undefined
}

function toEffort({ effort, budget }: Thinking, name: string): string | undefined {
  switch (effort) {
    case 'minimal': return 'low' // lossy: newer models refuse the word
    case 'xhigh':
    case 'max': // lossy: the highest word that the model has
      return /^gpt-(?:5\.(?:[2-9]|\d\d)|[6-9])|codex-max/.test(name) ? 'xhigh' : 'high'
    case undefined:
      // lossy: a budget in tokens becomes a word
      return budget === undefined ? undefined : budget <= 2048 ? 'low' : budget <= 8192 ? 'medium' : 'high'
    default: return effort
  }
}

function encodeFormat(format: OutputFormat, target: Target): JsonObject {
  if (format.type === 'json_object') return { type: 'json_object' }
  return {
    type: 'json_schema',
    name: (format.name ?? 'answer').replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64),
    ...(format.description === undefined ? {} : { description: format.description }),
    schema: repairSchema(format.schema, { inlineRefs: false }),
    ...(format.strict === undefined || target.repairs.has('no_strict') ? {} : { strict: format.strict }),
  }
}

/** A11: nothing unknown travels, and nothing is lost unsaid. */
function warnOfRest({ extra }: HubRequest, warnings: Warning[]): void {
  const known = [...SHARED_WITH_CHAT, 'verbosity', 'safety_identifier', 'store']
  for (const field of Object.keys(extra.chat ?? {})) {
    if (!known.includes(field)) warnings.push({ path: field, reason: 'OpenAI Responses has no such field' })
  }
}
