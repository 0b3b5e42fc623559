import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { DarioError } from '../src/errors.ts'
import type { ErrorCode } from '../src/errors.ts'
import { anthropicDialect } from '../src/dialects/anthropic/dialect.ts'
import type { JsonObject } from '../src/hub/types.ts'

const decode = (status: number, body: unknown) => anthropicDialect.decodeError(status, typeof body === 'string' ? body : JSON.stringify(body))
const refusal = (message: string) => decode(400, { type: 'error', error: { type: 'invalid_request_error', message } })
const errorOf = (body: JsonObject) => body['error'] as JsonObject

test('E3: an error goes out in Anthropic\'s envelope', () => {
  deepStrictEqual(anthropicDialect.encodeError(new DarioError('rate_limited', 'wait a minute'), 'req_7'), {
    status: 429,
    body: { type: 'error', error: { type: 'rate_limit_error', message: 'wait a minute' }, request_id: 'req_7' },
  })
})

test('E2, E4: codes and statuses keep their meaning', () => {
  const rows: [ErrorCode, number, string][] = [
    ['invalid_request', 400, 'invalid_request_error'], ['authentication', 401, 'authentication_error'], ['permission', 403, 'permission_error'],
    ['model_not_found', 404, 'not_found_error'], ['request_too_large', 413, 'request_too_large'], ['overloaded', 529, 'overloaded_error'],
    ['upstream_error', 502, 'api_error'], ['upstream_timeout', 504, 'timeout_error'],
  ]
  for (const [code, status, type] of rows) {
    const sent = anthropicDialect.encodeError(new DarioError(code, 'x'), '')
    deepStrictEqual([sent.status, errorOf(sent.body)['type']], [status, type], code)
    strictEqual(anthropicDialect.decodeError(sent.status, JSON.stringify(sent.body)).status, status)
  }
  strictEqual(anthropicDialect.encodeError(new DarioError('overloaded', 'x', { status: 503 }), '').status, 529)
})

test('E1: overflow reaches a Claude client in the words on which it compacts', () => {
  for (const [vendor, sent] of [
    ["This model's maximum context length is 128000 tokens. However, your messages resulted in 130012 tokens.", 'prompt is too long: 130012 tokens > 128000 maximum'],
    ['prompt is too long: 208310 tokens > 200000 maximum', 'prompt is too long: 208310 tokens > 200000 maximum'],
    ['Your input exceeds the context window of this model.', 'prompt is too long: Your input exceeds the context window of this model.'],
  ] as const) {
    for (const status of [400, 413, 500]) {
      const error = decode(status, { error: { message: vendor } })
      strictEqual(error.code, 'context_length_exceeded')
      const { status: out, body } = anthropicDialect.encodeError(error, '')
      deepStrictEqual([out, errorOf(body)], [400, { type: 'invalid_request_error', message: sent }])
    }
  }
})

test('E1: a code alone tells of overflow', () => {
  strictEqual(decode(400, { error: { message: 'too big', code: 'context_length_exceeded' } }).code, 'context_length_exceeded')
})

test('E: error bodies of every shape are read', () => {
  const rows: [unknown, string, string?][] = [
    [{ type: 'error', error: { type: 'invalid_request_error', message: 'a' } }, 'a', 'invalid_request_error'],
    [{ error: { message: 'b', type: 't', code: 'c' } }, 'b', 't'],
    [{ error: 'c' }, 'c'],
    [{ detail: 'd' }, 'd'],
    [{ detail: [{ msg: 'e', loc: [] }] }, 'e'],
    [{ message: 'f' }, 'f'],
    [[{ error: { message: 'g', status: 'INVALID_ARGUMENT' } }], 'g', 'INVALID_ARGUMENT'],
    [{ errors: [{ message: 'h' }] }, 'h'],
    ['plain words', 'plain words'],
    ['', 'the upstream answered 400 without a readable reason'],
    ['null', 'null'],
  ]
  for (const [body, message, type] of rows) {
    const error = decode(400, body)
    deepStrictEqual([error.code, error.message, error.upstreamType], ['invalid_request', message, type])
  }
})

test('E5: the status decides, whatever the body says', () => {
  strictEqual(decode(429, { error: { message: 'invalid api key', type: 'authentication_error' } }).code, 'rate_limited')
  strictEqual(decode(503, 'x').code, 'overloaded')
  strictEqual(decode(521, 'x').code, 'upstream_error')
  deepStrictEqual([decode(418, 'x').code, decode(418, 'x').status], ['invalid_request', 418])
  strictEqual(decode(404, { error: { type: 'not_found_error', message: 'model: claude-x' } }).code, 'model_not_found')
})

test('E8: a web page becomes one sentence, a very long message a shorter one', () => {
  const error = decode(502, '<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>…</body></html>')
  strictEqual(error.message, "the upstream answered with a web page (502 Bad Gateway); check the backend's baseUrl")
  ok(decode(500, 'x'.repeat(100_000)).message.length <= 2000)
})

test('E9: an error message is one line of bounded length', () => {
  const { message } = decode(400, JSON.stringify({ error: { message: `a\r\nforged: line\u0007${'x'.repeat(9000)}` } }))
  ok(message.length <= 2000 && message.startsWith('a forged: line x'))
})

test('I7: an oversized picture keeps its place and size in the message', () => {
  const message = 'messages.3.content.0.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes'
  const { body } = anthropicDialect.encodeError(refusal(message), '')
  strictEqual(errorOf(body)['message'], message)
})

test('S17: an error inside a stream is an error event', () => {
  strictEqual(
    anthropicDialect.encodeStreamError(new DarioError('upstream_error', 'gone'), 'req_1'),
    'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"gone"},"request_id":"req_1"}\n\n',
  )
})

for (const [message, repair] of [
  ['messages.1.content.0: Invalid `signature` in `thinking` block', 'no_thinking_history'],
  ['messages.5.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block', 'no_thinking_history'],
  ['messages.1.content.1: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.', 'no_thinking_history'],
  ['system.0.cache_control.ephemeral.ttl: Extra inputs are not permitted', 'no_cache_ttl'],
  ['cache_control: Extra inputs are not permitted', 'no_cache_marks'],
  ['"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.', 'no_thinking'],
  ['`temperature` may only be set to 1 when thinking is enabled.', 'no_sampling'],
  ['`temperature` and `top_p` cannot both be specified for this model.', 'no_sampling'],
  ['output_config.format: Extra inputs are not permitted', 'no_format'],
  ['tools.0.custom.strict: Extra inputs are not permitted', 'no_strict'],
  ['tool_choice.auto.disable_parallel_tool_use: Extra inputs are not permitted', 'no_parallel_tools'],
  ['stop_sequences: each stop sequence must contain non-whitespace', 'no_stop'],
] as const) {
  test(`T2, C3: a refusal "${message.slice(0, 60)}" is repaired by ${repair}`, () => {
    deepStrictEqual(anthropicDialect.readRepairs(refusal(message), 'claude-x'), [repair])
  })
}

test("E2: the client's own mistakes and other statuses have no repair", () => {
  deepStrictEqual(anthropicDialect.readRepairs(refusal('messages: at least one message is required'), 'm'), [])
  deepStrictEqual(anthropicDialect.readRepairs(decode(429, 'thinking too much'), 'm'), [])
  for (const mistake of ['top_p: Input should be less than or equal to 1', 'temperature: range: 0..1', 'top_k: Input should be a valid integer'])
    deepStrictEqual(anthropicDialect.readRepairs(refusal(mistake), 'm'), [], mistake)
})

test('E8: a page made to keep a reader busy is one sentence in a moment', () => {
  const started = performance.now()
  ok(decode(502, `<html>${'<title'.repeat(200_000)}`).message.startsWith('the upstream answered with a web page;'))
  ok(performance.now() - started < 2000)
})
