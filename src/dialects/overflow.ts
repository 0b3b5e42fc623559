/**
 * Context overflow, recognised in the words of many vendors (pitfall E1): clients compact their history on it, so it
 * must never look like any other 400.
 * @module
 */

/** Each pattern may name the groups `limit` and `requested`, in tokens. */
const WORDINGS: readonly RegExp[] = [
  /prompt is too long(?:: (?<requested>[\d,]+) tokens? > (?<limit>[\d,]+) maximum)?/i, // Anthropic
  // Anthropic
  /input length and `?max_tokens`? exceed context limit: (?<requested>[\d,]+) \+ [\d,]+ > (?<limit>[\d,]+)/i,
  // OpenAI, vLLM, OpenRouter, DeepSeek
  /maximum context length (?:is|of) (?<limit>[\d,]+).*?(?:resulted in|requested(?: about)?|has) (?<requested>[\d,]+)/is,
  /maximum context length (?:is|of) (?<limit>[\d,]+)/i,
  // Gemini
  /input tokens? count (?:of )?\(?(?<requested>[\d,]+)\)? exceeds the maximum number of tokens\D*(?<limit>[\d,]+)/i,
  /maximum prompt length is (?<limit>[\d,]+)(?:.*?request contains (?<requested>[\d,]+))?/is, // xAI
  /request \((?<requested>[\d,]+) tokens\) exceeds the available context size \((?<limit>[\d,]+)/i, // llama.cpp
  /prompt contains (?<requested>[\d,]+) tokens.*?maximum context length of (?<limit>[\d,]+)/is, // Mistral
  /input is too long for requested model/i, // Bedrock
  /prompt token count of (?<requested>[\d,]+) exceeds the limit of (?<limit>[\d,]+)/i, // Copilot
  // OpenAI, llama.cpp, LM Studio
  /exceeds? (?:the )?(?:model'?s? )?(?:available |maximum )?context (?:window|size|length|limit)/i,
  /context[_ ](?:length|window)[_ ]exceeded|exceed_context_size|model_context_window_exceeded/i,
  /reduce the length of the (?:messages|prompt|input)/i, // Groq
  /context (?:length|window) (?:is )?(?:only |too small|overflow)/i, // LM Studio
  /greater than the context length/i, // LM Studio
  /too large for model with (?<limit>[\d,]+) maximum context length/i, // Mistral
  /(?:input|prompt) exceeds the (?:max(?:imum)?|limit)/i, // Ollama and others
]

/** undefined: the message is about something else. */
export function readOverflow(message: string): { limit?: number; requested?: number } | undefined {
  for (const wording of WORDINGS) {
    const found = wording.exec(message)
    if (found === null) continue
    const limit = toTokens(found.groups?.['limit'])
    const requested = toTokens(found.groups?.['requested'])
    return { ...(limit === undefined ? {} : { limit }), ...(requested === undefined ? {} : { requested }) }
  }
  return undefined
}

function toTokens(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits.replaceAll(',', ''))
}
