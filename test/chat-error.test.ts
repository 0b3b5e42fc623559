/**
 * Errors of Chat Completions: our envelope, vendors' bodies, and what a refusal teaches.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { chatDialect } from '../src/dialects/chat/dialect.ts'
import { DarioError } from '../src/errors.ts'
import type { ErrorCode } from '../src/errors.ts'
import { readWhole } from './helpers/fixtures.ts'

for (const [code, status, type, word] of [
  ['invalid_request', 400, 'invalid_request_error', null],
  ['context_length_exceeded', 400, 'invalid_request_error', 'context_length_exceeded'],
  ['authentication', 401, 'invalid_request_error', 'invalid_api_key'],
  ['payment_required', 402, 'insufficient_quota', 'insufficient_quota'],
  ['permission', 403, 'permission_error', null],
  ['model_not_found', 404, 'invalid_request_error', 'model_not_found'],
  ['rate_limited', 429, 'rate_limit_error', 'rate_limit_exceeded'],
  ['internal', 500, 'server_error', null],
  ['upstream_error', 502, 'server_error', null],
  ['overloaded', 503, 'server_error', 'server_overloaded'],
] as [ErrorCode, number, string, string | null][]) {
  test(`E2, E3, E4: ${code} is ${status} ${type}`, () => {
    deepStrictEqual(chatDialect.encodeError(new DarioError(code, 'do this', { path: 'model', details: { extra: 1 } }), 'req_1'),
      { status, body: { error: { message: 'do this', type, param: 'model', code: word, extra: 1 } } })
  })
}

const BODIES: [string, number, string, ErrorCode, RegExp][] = [
  ['OpenAI', 401, '{"error":{"message":"Incorrect API key","type":"invalid_request_error","code":"invalid_api_key","param":null}}', 'authentication', /^Incorrect API key$/],
  ['OpenRouter', 400, '{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"tools: bad","provider_name":"X"}}}', 'invalid_request', /^Provider returned error: tools: bad$/],
  ['Mistral', 422, '{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}', 'invalid_request', /^body\.stream_options: Extra inputs/],
  ['FastAPI', 422, '{"detail":[{"loc":["body","x"],"msg":"field required"}]}', 'invalid_request', /^body\.x: field required$/],
  ['a detail text', 404, '{"detail":"Not Found"}', 'not_found', /^Not Found$/],
  ['Ollama', 404, '{"error":"model \\"x\\" not found"}', 'model_not_found', /not found/],
  ['vLLM', 400, '{"object":"error","message":"bad","type":"BadRequestError","code":400}', 'invalid_request', /^bad$/],
  ['Gemini', 429, '[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}]', 'rate_limited', /^Quota exceeded$/],
  ['an HTML page (E8)', 502, '<html><head><title>502 Bad Gateway</title></head><body>x</body></html>', 'upstream_error', /^the upstream answered 502 with a web page: 502 Bad Gateway$/],
  ['plain text', 503, 'no healthy upstream', 'overloaded', /^no healthy upstream$/],
  ['nothing', 500, '', 'upstream_error', /^the upstream answered 500 without a message$/],
  ['a misleading text (E5)', 429, '{"error":{"message":"invalid api key"}}', 'rate_limited', /invalid api key/],
  ['a context overflow (E1)', 400, '{"error":{"message":"This model\'s maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}', 'context_length_exceeded', /128000/],
  ['a context overflow by its code only', 400, '{"error":{"message":"too much","code":"context_length_exceeded"}}', 'context_length_exceeded', /too much/],
]
for (const [vendor, status, body, code, message] of BODIES) {
  test(`E2: the error of ${vendor} is ${code}`, () => {
    const error = chatDialect.decodeError(status, body)
    deepStrictEqual([error.code, error.status], [code, status])
    match(error.message, message)
  })
}

test('E9: an error message is one line of bounded length', () => {
  const { message } = chatDialect.decodeError(400, JSON.stringify({ error: { message: `a\r\nforged: line\u0007${'x'.repeat(9000)}` } }))
  ok(message.length <= 2000 && message.startsWith('a forged: line x'))
})

for (const [what, body] of [
  ['a page of tags that never close', '<html>' + '<title'.repeat(100_000)],
  ['one phrase again and again', JSON.stringify({ error: { message: 'maximum context length is 1 '.repeat(30_000) } })],
  ['the same as a code', JSON.stringify({ error: { message: 'no', code: 'maximum context length is 1 '.repeat(30_000) } })],
] as const) {
  test(`E8: ${what} is read in linear time`, () => {
    const began = process.cpuUsage()
    for (const status of [200, 400]) ok(chatDialect.decodeError(status, body).message.length <= 2000)
    const { user } = process.cpuUsage(began)
    ok(user < 2_000_000, `${user / 1000} ms`)
  })
}

const REFUSALS: [number, string, string | undefined, string[]][] = [
  [400, 'Unsupported parameter: \'max_tokens\' is not supported with this model. Use \'max_completion_tokens\' instead.', 'max_tokens', ['max_completion_tokens']],
  [422, 'body.max_completion_tokens: Extra inputs are not permitted', undefined, ['max_tokens']],
  [400, 'Unrecognized request argument supplied: max_completion_tokens', undefined, ['max_tokens']],
  [400, 'Unsupported value: \'temperature\' does not support 0.2 with this model. Only the default (1) value is supported.', 'temperature', ['no_sampling']],
  [400, 'Unsupported parameter: \'stop\' is not supported with this model.', 'stop', ['no_stop']],
  [400, 'Unrecognized request argument supplied: reasoning_effort', undefined, ['no_thinking']],
  [400, 'Model grok-4-latest does not support parameter reasoningEffort.', undefined, ['no_thinking']],
  [400, '`reasoning_effort` must be one of `none` or `default`', undefined, ['no_thinking']],
  [400, '\'reasoning_effort\' : value is not one of the allowed values [\'none\',\'default\']', undefined, ['no_thinking']],
  [400, 'Model grok-4-latest does not support parameter stop.', undefined, ['no_stop']],
  [400, 'Model grok-4-latest does not support parameter presencePenalty.', undefined, ['no_sampling']],
  [422, 'body.stream_options: Extra inputs are not permitted', undefined, ['no_stream_options']],
  [400, 'Unknown parameter: \'tools[0].function.strict\'.', 'tools[0].function.strict', ['no_strict']],
  [400, 'This response_format type is unavailable now: json_schema is not supported', undefined, ['no_format']],
  [400, 'Unsupported parameter: \'parallel_tool_calls\' is not supported with this model.', 'parallel_tool_calls', ['no_parallel_tools']],
  [400, 'The `reasoning_content` in the thinking mode must be passed back to the API.', undefined, ['replay_reasoning']],
  [400, 'thinking is enabled but reasoning_content is missing in assistant tool call message at index 2', undefined, ['replay_reasoning']],
  [400, 'Unrecognized field messages[1].reasoning_content: not supported', undefined, ['no_thinking_history']],
  [400, 'messages.0.content.0.cache_control: Extra inputs are not permitted', undefined, ['no_cache_marks']],
  [400, 'max_tokens is too large: 99999. This model supports at most 4096', 'max_tokens', []],
  [400, 'Invalid \'temperature\': decimal above maximum value. Expected a value <= 2.', 'temperature', []],
  [400, 'Invalid value for messages', undefined, []],
  [500, 'temperature is not supported', undefined, []],
]
for (const [status, message, param, expected] of REFUSALS) {
  test(`A5, A6: "${message.slice(0, 70)}" teaches ${expected.join() || 'nothing'}`, () => {
    deepStrictEqual(chatDialect.readRepairs(chatDialect.decodeError(status, JSON.stringify({ error: { message, param } })), 'm'), expected)
  })
}

test('A5: the recorded refusal of max_tokens teaches the other name', () => {
  const error = chatDialect.decodeError(400, JSON.stringify(readWhole('chat', 'openai-reasoning-model-legacy-parameter-error')))
  deepStrictEqual(chatDialect.readRepairs(error, 'o4-mini'), ['max_completion_tokens'])
  strictEqual(error.upstreamType, 'unsupported_parameter')
})
