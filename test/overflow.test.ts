import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { readOverflow } from '../src/dialects/error.ts'

const OVERFLOWS: [vendor: string, message: string, limit?: number, requested?: number][] = [
  ['Anthropic', 'prompt is too long: 208310 tokens > 200000 maximum', 200000, 208310],
  ['Anthropic, short', 'Prompt is too long'],
  ['Anthropic, sum', 'input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length', 200000, 188240],
  ['OpenAI', "This model's maximum context length is 128000 tokens. However, your messages resulted in 130012 tokens. Please reduce the length of the messages.", 128000, 130012],
  ['OpenAI Responses', 'Your input exceeds the context window of this model. Please adjust your input and try again.'],
  ['OpenRouter', "This endpoint's maximum context length is 131072 tokens. However, you requested about 140000 tokens (135904 of text input, 4096 in the output).", 131072, 140000],
  ['vLLM', "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.", 4096, 5000],
  ['DeepSeek', "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (69000 in the messages, 1000 in the completion).", 65536, 70000],
  ['Gemini', 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).', 1048576, 1200000],
  ['xAI', "This model's maximum prompt length is 131072 but the request contains 150000 tokens.", 131072, 150000],
  ['llama.cpp', 'the request exceeds the available context size, try increasing it'],
  ['llama.cpp, new', 'request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it', 8192, 9000],
  ['Mistral', 'Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length', 32768],
  ['Bedrock', 'Input is too long for requested model.'],
  ['Copilot', 'prompt token count of 70001 exceeds the limit of 64000', 64000, 70001],
  ['Groq', 'Please reduce the length of the messages or completion.'],
  ['LM Studio', 'The number of tokens to keep from the initial prompt is greater than the context length.'],
  ['a code alone', 'context_length_exceeded'],
]

for (const [vendor, message, limit, requested] of OVERFLOWS) {
  test(`E1: overflow in the words of ${vendor} is recognised`, () => {
    deepStrictEqual(readOverflow(message), {
      ...(limit === undefined ? {} : { limit }),
      ...(requested === undefined ? {} : { requested }),
    })
  })
}

test('E1: other refusals are not overflow', () => {
  for (const message of ['max_tokens: must be at least 1', 'rate limit exceeded', 'request too large for this tier: tokens per minute', '']) {
    strictEqual(readOverflow(message), undefined, message)
  }
})
