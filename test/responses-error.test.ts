/**
 * Errors of the Responses dialect, both ways, and what a refusal teaches.
 * @module
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { responsesDialect } from '../src/dialects/responses/dialect.ts'
import { DarioError } from '../src/errors.ts'
import { readWhole } from './helpers/fixtures.ts'

const { decodeError, encodeError, encodeStreamError, readRepairs } = responsesDialect
const openai = (message: string, more: object = {}): string => JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null, ...more } })

test('E3: errors go out in the OpenAI envelope', () => {
  const { status, body } = encodeError(new DarioError('invalid_request', 'input: must be a list', { path: 'input' }), 'req_1')
  assert.equal(status, 400)
  assert.deepEqual(body['error'], { message: 'input: must be a list', type: 'invalid_request_error', param: 'input', code: 'invalid_request' })
})

test('E9: the message of a failed answer is one line of bounded length', () => {
  const { message } = decodeError(200, openai(`a\r\nforged: line\u0007${'x'.repeat(9000)}`))
  assert.ok(message.length <= 2000 && message.startsWith('a forged: line x'))
})

test('E4: overloaded is 503 here', () => {
  assert.equal(encodeError(new DarioError('overloaded', 'busy'), 'r').status, 503)
  assert.equal(decodeError(503, 'busy').code, 'overloaded')
})

test('E1: context overflow is recognised and named, whatever the words', () => {
  for (const message of ["This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.", 'Your input exceeds the context window of this model.']) {
    assert.equal(decodeError(400, openai(message)).code, 'context_length_exceeded', message)
  }
  const { body } = encodeError(new DarioError('context_length_exceeded', 'too long'), 'r')
  assert.equal((body['error'] as { code: string }).code, 'context_length_exceeded')
})

test('E2, E5: the status decides, not the words', () => {
  const codes = [[401, 'authentication'], [402, 'payment_required'], [403, 'permission'], [404, 'not_found'], [413, 'request_too_large'],
    [429, 'rate_limited'], [500, 'upstream_error'], [502, 'upstream_error'], [504, 'upstream_timeout'], [529, 'overloaded'], [418, 'invalid_request']] as const
  for (const [status, code] of codes) {
    const error = decodeError(status, openai('invalid api key'))
    assert.deepEqual([error.code, error.status], [code, status])
  }
  assert.equal(decodeError(404, openai('no such model', { code: 'model_not_found' })).code, 'model_not_found')
})

test('E8: pages of markup and empty bodies become one sentence', () => {
  assert.equal(decodeError(502, '<html><body>Bad Gateway</body></html>').message, 'the upstream answered 502 without a message')
  assert.equal(decodeError(500, '').message, 'the upstream answered 500 without a message')
  assert.equal(decodeError(500, 'plain words').message, 'plain words')
})

test('responses error: other envelopes are read too', () => {
  assert.equal(decodeError(422, JSON.stringify({ detail: [{ loc: ['body', 'input'], msg: 'field required' }] })).message, 'body.input: field required')
  assert.equal(decodeError(400, JSON.stringify({ error: 'just a string' })).message, 'just a string')
  assert.equal(decodeError(400, JSON.stringify([{ error: { message: 'in a list' } }])).message, 'in a list')
})

test('S17: an error inside a relayed stream is one response.failed event', () => {
  const text = encodeStreamError(new DarioError('upstream_error', 'gone'), 'req_1')
  const data = JSON.parse(text.split('\n')[1]!.slice('data: '.length)) as { type: string; response: { status: string; error: { code: string; message: string } } }
  assert.equal(data.type, 'response.failed')
  assert.equal(data.response.status, 'failed')
  assert.deepEqual(data.response.error, { code: 'server_error', message: 'gone' })
})

test('O7: a failure whose code is a status is what the status says', () => {
  const codeOf = (code: unknown): string => decodeError(200, JSON.stringify({ type: 'error', error: { code, message: 'slow down' } })).code
  assert.deepEqual([429, '429', 503, 401, 1, null, { toString: 1 }].map(codeOf),
    ['rate_limited', 'rate_limited', 'overloaded', 'authentication', 'upstream_error', 'upstream_error', 'upstream_error'])
})

test('F4: inside an answer a vendor\'s own word for a fault of its own counts more than the words around it', () => {
  for (const code of ['server_error', 'api_error']) assert.equal(decodeError(200, openai('an unsupported state', { type: undefined, code })).code, 'upstream_error')
})

test('E1: an overflow that a local server reports as its own fault is still one', () => {
  assert.equal(decodeError(500, openai('request (9000 tokens) exceeds the available context size (4096 tokens)')).code, 'context_length_exceeded')
})

test('A6: a refused parameter teaches a repair', () => {
  const repairs = (message: string, more: object = {}, status = 400) => readRepairs(decodeError(status, openai(message, more)), 'm')
  const recorded = decodeError(400, JSON.stringify(readWhole('responses', 'openai-reasoning-model-temperature-error')))
  assert.deepEqual(readRepairs(recorded, 'm'), ['no_sampling'])
  assert.deepEqual(repairs('Encrypted content is not supported with this model.', { param: 'include' }), ['no_thinking'])
  assert.deepEqual(repairs('Unsupported value', { param: 'include[0]' }), ['no_thinking'])
  assert.deepEqual(repairs("Unsupported parameter: 'reasoning.effort' is not supported with this model.", { param: 'reasoning.effort' }), ['no_thinking'])
  assert.deepEqual(repairs('The encrypted content gAAA... could not be verified.', { code: 'invalid_encrypted_content' }), ['no_thinking_history'])
  assert.deepEqual(repairs("Item 'rs_1' of type 'reasoning' was provided without its required following item."), ['no_thinking_history'])
  const unknown = "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."
  assert.deepEqual([repairs(unknown, { param: 'input' }, 404), repairs(unknown)], [['no_thinking_history'], ['no_thinking_history']])
  assert.deepEqual(repairs("Unknown parameter: 'tools[0].strict'."), ['no_strict'])
  assert.deepEqual(repairs("Unsupported parameter: 'parallel_tool_calls'"), ['no_parallel_tools'])
  assert.deepEqual(repairs("Unsupported parameter: 'text.format'"), ['no_format'])
})

test('F4: the client\'s own mistake teaches nothing', () => {
  assert.deepEqual(readRepairs(decodeError(400, openai('input: field required')), 'm'), [])
  assert.deepEqual(readRepairs(decodeError(404, openai("Item with id 'msg_1' not found.", { param: 'input' })), 'm'), [])
  assert.deepEqual(readRepairs(decodeError(404, openai('The model `m` does not exist or you do not have access to it.')), 'm'), [])
  assert.deepEqual(readRepairs(decodeError(429, openai("Unsupported parameter: 'temperature'")), 'm'), [])
  assert.deepEqual(readRepairs(decodeError(400, openai('Your input exceeds the context window of this model.')), 'm'), [])
})
