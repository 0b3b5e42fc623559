import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { judge, judgeError, readLimits, readRetryAfter, readTime } from '../src/backends/outcome.ts'
import { DarioError } from '../src/errors.ts'

const NOW = Date.parse('2026-11-22T10:00:00Z')

const TIMES: [text: string, ms: number | undefined][] = [
  ['20', 20_000], ['0.5', 500], ['0', 0], [' 7 ', 7000],
  ['6ms', 6], ['1s', 1000], ['1m30.5s', 90_500], ['6m0s', 360_000], ['1h2m3s', 3_723_000], ['1d', 86_400_000],
  [String(NOW / 1000 + 30), 30_000], [String(NOW + 45_000), 45_000], [String(NOW - 5000), 0],
  ['2026-11-22T10:00:10Z', 10_000], ['2026-11-22T12:00:10+02:00', 10_000], ['2026-11-22T09:00:00Z', 0],
  ['Sun, 22 Nov 2026 10:00:20 GMT', 20_000], ['Sunday, 22-Nov-26 10:00:20 GMT', 20_000], ['Sun Nov 22 10:00:20 2026', 20_000],
  ['', undefined], ['soon', undefined], ['-1', undefined], ['1x', undefined], ['1s later', undefined], ['Infinity', undefined],
]
for (const [text, ms] of TIMES) {
  test(`outcome: the time "${text}" is ${ms} ms away`, () => strictEqual(readTime(text, NOW), ms))
}

test('outcome: HTTP dates mean UTC wherever the machine stands', () => {
  const zone = process.env['TZ']
  process.env['TZ'] = 'America/New_York'
  try {
    strictEqual(readTime('Sun Nov 22 10:00:20 2026', NOW), 20_000)
  } finally {
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
  }
})

const WAITS: [name: string, headers: Record<string, string>, ms: number | undefined][] = [
  ['retry-after in seconds', { 'retry-after': '12' }, 12_000],
  ['retry-after as a date', { 'retry-after': 'Sun, 22 Nov 2026 10:01:00 GMT' }, 60_000],
  ['retry-after-ms before retry-after', { 'retry-after-ms': '83', 'retry-after': '1' }, 83],
  ['an empty retry-after-ms is none', { 'retry-after-ms': '', 'retry-after': '2' }, 2000],
  ['an unreadable retry-after leaves it to the resets', {
    'retry-after': 'later', 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '3s',
  }, 3000],
  ['Anthropic: the reset of the exhausted limit, not of the others', {
    'anthropic-ratelimit-requests-remaining': '4', 'anthropic-ratelimit-requests-reset': '2026-11-22T10:05:00Z',
    'anthropic-ratelimit-input-tokens-remaining': '0', 'anthropic-ratelimit-input-tokens-reset': '2026-11-22T10:00:30Z',
  }, 30_000],
  ['the latest reset of several exhausted limits', {
    'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '1s',
    'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '6m0s',
  }, 360_000],
  ['OpenRouter: bare names and Unix ms', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW + 9000) }, 9000],
  ['the IETF draft', { 'ratelimit-remaining': '0', 'ratelimit-reset': '50' }, 50_000],
  ['Cerebras: limits per day in seconds', { 'x-ratelimit-remaining-requests-day': '0', 'x-ratelimit-reset-requests-day': '33011.5' }, 33_011_500],
  ['nothing exhausted is no wait', { 'x-ratelimit-remaining-tokens': '5', 'x-ratelimit-reset-tokens': '3s' }, undefined],
]
for (const [name, headers, ms] of WAITS) {
  test(`E7: the wait is read from ${name}`, () => strictEqual(readRetryAfter(headers, NOW), ms))
}

test('E7: a wait that only the body tells is read', () => {
  const gemini = '[{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay": "31s"}]}}]'
  strictEqual(judge(429, {}, gemini, NOW).retryAfterMs, 31_000)
  strictEqual(judge(429, {}, 'Rate limit reached. Please try again in 7.66s. Visit ...', NOW).retryAfterMs, 7660)
  strictEqual(judge(429, {}, 'Please try again in 1m30s.', NOW).retryAfterMs, 90_000)
  strictEqual(judge(429, { 'retry-after': '2' }, 'Please try again in 9s', NOW).retryAfterMs, 2000)
})

test('outcome: limits are read in the spelling of each vendor', () => {
  const headers = {
    'anthropic-ratelimit-requests-limit': '50', 'anthropic-ratelimit-requests-remaining': '49', 'anthropic-ratelimit-requests-reset': '2026-11-22T10:00:01Z',
    'x-ratelimit-limit-tokens': '1000', 'x-ratelimit-remaining-tokens': '250', 'x-ratelimit-reset-tokens': '2s',
    'x-ratelimit-limit': '20', 'x-ratelimit-remaining': '10', 'x-ratelimit-remaining-broken': 'many', 'content-type': 'text/plain',
  }
  deepStrictEqual(readLimits(headers), [
    { limit: 50, remaining: 49, reset: '2026-11-22T10:00:01Z' },
    { limit: 1000, remaining: 250, reset: '2s' },
    { limit: 20, remaining: 10, reset: '' },
  ])
})

const JUDGED: [pitfall: string, status: number, text: string, outcome: string, wholeKey: boolean][] = [
  ['F4', 400, 'messages: field required', 'client_error', false],
  ['F4', 400, 'tools.0: "billing" has no description; see /usage for the capacity', 'client_error', false],
  ['F4', 404, 'model not found', 'client_error', false],
  ['F4', 413, 'too large', 'client_error', false],
  ['F4', 422, 'unprocessable', 'client_error', false],
  ['E5', 429, 'invalid x-api-key', 'rate_limited', false],
  ['E5', 401, 'overloaded_error', 'auth', true],
  ['E5', 403, 'forbidden', 'auth', true],
  ['E5', 500, 'rate limit', 'overloaded', false],
  ['E4', 529, '{"type":"error","error":{"type":"overloaded_error"}}', 'overloaded', false],
  ['E4', 503, '', 'overloaded', false],
  ['E4', 408, '', 'overloaded', false],
  ['E6', 402, 'Insufficient Balance', 'rate_limited', true],
  ['E6', 429, 'You exceeded your current quota, please check your plan and billing details', 'rate_limited', true],
  ['E6', 400, 'Your credit balance is too low to access the Anthropic API', 'rate_limited', true],
  ['E6', 400, 'You have reached your specified API usage limits. You will regain access on 2026-12-01', 'rate_limited', true],
  ['F4', 403, '{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["x"],"flagged_input":"y"}}}', 'client_error', false],
  ['E6', 403, 'Key limit exceeded (total limit)', 'rate_limited', true],
  ['E6', 403, 'Your team has used all available credits or reached its monthly spending limit', 'rate_limited', true],
  ['E6', 400, '{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing"}', 'rate_limited', true],
  ['E6', 429, '{"error":{"code":"insufficient_quota"}}', 'rate_limited', true],
]
for (const [pitfall, status, text, outcome, wholeKey] of JUDGED) {
  test(`${pitfall}: ${status} with "${text.slice(0, 60)}" is ${outcome}${wholeKey ? ' of the whole key' : ''}`, () => {
    const verdict = judge(status, {}, text, NOW)
    deepStrictEqual([verdict.outcome, verdict.wholeKey], [outcome, wholeKey])
  })
}

const INSIDE: [error: DarioError, outcome: string][] = [
  [new DarioError('overloaded', 'Overloaded', { upstreamType: 'overloaded_error' }), 'overloaded'],
  [new DarioError('upstream_error', 'Overloaded', { upstreamType: 'overloaded_error' }), 'overloaded'],
  [new DarioError('upstream_error', 'the server had an error'), 'overloaded'],
  [new DarioError('rate_limited', 'slow down'), 'rate_limited'],
  [new DarioError('upstream_error', 'insufficient_quota'), 'rate_limited'],
  [new DarioError('authentication', 'bad key'), 'auth'],
  [new DarioError('invalid_request', 'bad request'), 'client_error'],
  [new DarioError('upstream_timeout', 'timed out', { upstreamType: 'timeout_error' }), 'overloaded'],
  [new DarioError('upstream_timeout', 'silence'), 'unreachable'],
  [new DarioError('upstream_unreachable', 'reset'), 'unreachable'],
  [new DarioError('upstream_protocol', 'a page'), 'unreachable'],
]
for (const [error, outcome] of INSIDE) {
  test(`F1: the error ${error.code} "${error.message}" (${error.upstreamType}) before content is ${outcome}`, () => {
    strictEqual(judgeError(error).outcome, outcome)
  })
}

test('outcome: digits without end are no time, and found out at once', () => {
  const started = performance.now()
  strictEqual(readTime(`${'1'.repeat(32_000)}x`, NOW), undefined)
  strictEqual(judge(503, {}, `try again in ${'1'.repeat(1_000_000)}.s`, NOW).retryAfterMs, undefined)
  ok(performance.now() - started < 300) // a second for a header, minutes for a body
})
