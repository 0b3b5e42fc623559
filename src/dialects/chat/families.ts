/**
 * What is known of Chat Completions vendors and model families before anything was refused; what is not in here is
 * learned from their 400s (`readRepairs`). An unknown server gets the common subset and nothing else.
 * @module
 */
import type { Target } from '../dialect.ts'

export interface Family {
  maxTokensField: 'max_tokens' | 'max_completion_tokens'
  /** Takes temperature, top_p, the penalties. */
  sampling: boolean
  /** How many stop sequences it takes; 0: none. */
  stops: number
  /** How a wish for reasoning is said: OpenAI's word, OpenRouter's object, an on/off switch, or not at all. */
  reasoning: 'effort' | 'object' | 'switch' | 'none'
  /** Wants its earlier reasoning back on assistant turns (pitfall T4). */
  replaysReasoning: boolean
  /** Keeps `reasoning_details` and Anthropic's `cache_control` (C2). */
  details: boolean
  cacheMarks: boolean
  /** Gemini's proof beside its calls: given back, or else refused (from version 3 on, by Google itself). */
  callProofs: 'none' | 'returned' | 'demanded'
  /** Takes `prompt_cache_key`, and OpenAI's own `service_tier`, `verbosity` and `prompt_cache_retention`. */
  cacheKey: boolean
  serviceTier: boolean
  /** Takes OpenAI's optional fields at all: `user`, `stream_options`; strict servers refuse unknown ones. */
  openFields: boolean
  /** Takes a JSON schema as response format; else only `json_object`. */
  jsonSchema: boolean
  /** Takes system messages after the first turn; chat templates of local servers often refuse them. */
  midSystem: boolean
  webSearch: boolean
  toolIds: 'any' | 'nine'
}

export function toFamily({ model, host = '' }: Target): Family {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase() // OpenRouter's names have the vendor in front
  const at = (...domains: string[]): boolean => domains.some((domain) => host === domain || host.endsWith(`.${domain}`))
  const openai = at('openai.com', 'azure.com')
  const openrouter = at('openrouter.ai')
  const mistral = at('mistral.ai')
  const switched = at('deepseek.com', 'moonshot.ai', 'moonshot.cn', 'kimi.com', 'z.ai', 'bigmodel.cn')
  const reasons = /^(?:o\d|codex|gpt-(?:[5-9]|oss))/.test(name) && !name.includes('chat')
  const gemini = name.startsWith('gemini') && !openrouter
  const openaiReasons = reasons && !name.startsWith('gpt-oss')
  return {
    maxTokensField: openai || openaiReasons && !openrouter ? 'max_completion_tokens' : 'max_tokens',
    sampling: !openaiReasons,
    stops: openaiReasons ? 0 : openai ? 4 : 16,
    reasoning: openrouter ? 'object' : switched ? 'switch' : mistral || (openai || /^(?:chatgpt|gpt-[34])/.test(name)) && !reasons ? 'none' : 'effort',
    replaysReasoning: switched || /^(?:deepseek|kimi|moonshot|glm|minimax)/.test(name) && !openrouter,
    details: openrouter,
    callProofs: !gemini ? 'none' : at('googleapis.com') && !/^gemini-[12]/.test(name) ? 'demanded' : 'returned',
    cacheMarks: openrouter && /claude|gemini/.test(name),
    cacheKey: openai || openrouter || at('moonshot.ai', 'moonshot.cn', 'kimi.com'),
    serviceTier: openai || openrouter,
    openFields: !mistral,
    jsonSchema: !at('deepseek.com'),
    midSystem: openai || openrouter || switched || at('x.ai', 'groq.com'),
    webSearch: openrouter || /-search-(?:preview|api)/.test(name),
    toolIds: mistral ? 'nine' : 'any',
  }
}
