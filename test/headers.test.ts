import { deepStrictEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { mergeBetas, toClientHeaders, toHeaderValue, toUpstreamHeaders } from '../src/backends/headers.ts'

test('H1: no credential, cookie or account of the client travels upstream', () => {
  const secrets = {
    authorization: 'Bearer sk-client', 'x-api-key': 'sk-client', 'api-key': 'sk-client', 'x-goog-api-key': 'sk-client',
    'x-litellm-api-key': 'sk-client', 'cf-aig-authorization': 'sk-client', 'helicone-auth': 'sk-client', 'x-auth-token': 'sk-client',
    'proxy-authorization': 'Basic x', cookie: 'a=b', 'openai-organization': 'org', 'openai-project': 'p', 'chatgpt-account-id': 'a',
  }
  for (const dialect of ['anthropic', 'chat', 'responses'] as const) deepStrictEqual(toUpstreamHeaders(secrets, dialect), {})
})

test('H2: hop-by-hop headers, framing and traces of the way stay here', () => {
  deepStrictEqual(toUpstreamHeaders({
    connection: 'keep-alive, X-Hop , close', 'x-hop': '1', 'keep-alive': 'timeout=5', te: 'trailers', trailer: 'x',
    'transfer-encoding': 'chunked', upgrade: 'h2c', expect: '100-continue', host: 'localhost:3456', 'content-length': '3',
    'content-encoding': 'gzip', 'accept-encoding': 'gzip', forwarded: 'for=1', via: '1.1 x', 'x-forwarded-for': '1',
    'x-real-ip': '1', origin: 'http://a', referer: 'http://a/b', 'sec-fetch-mode': 'cors', 'dario-route': 'x', 'proxy-connection': 'x',
  }, 'chat'), {})
})

test('H4: Anthropic words go to the Anthropic dialect only, OpenAI words to the others', () => {
  const client = { 'anthropic-beta': 'a', 'anthropic-version': '2023-06-01', 'openai-beta': 'b', 'content-type': 'application/json' }
  deepStrictEqual(toUpstreamHeaders(client, 'anthropic'), {
    'anthropic-beta': 'a', 'anthropic-version': '2023-06-01', 'content-type': 'application/json',
  })
  deepStrictEqual(toUpstreamHeaders(client, 'responses'), { 'openai-beta': 'b', 'content-type': 'application/json' })
})

test('H9: attribution, idempotency and unknown headers travel', () => {
  const client = { 'http-referer': 'https://app.example', 'x-title': 'App', 'idempotency-key': 'i', 'user-agent': 'tool/1', 'x-new': '1' }
  deepStrictEqual(toUpstreamHeaders(client, 'chat'), client)
})

test('H6: values keep the bytes of the wire, wider characters become UTF-8, control characters go', () => {
  equal(toHeaderValue('caf\xe9\t'), 'caf\xe9\t')
  equal(toHeaderValue('日本'), Buffer.from('日本').toString('latin1'))
  equal(toHeaderValue('a\r\nb: c\0'), 'ab: c')
})

test('H8: request ids, rate limits and retry times reach the client', () => {
  const upstream = {
    'content-type': 'text/event-stream', 'request-id': 'req_1', 'x-request-id': 'r', 'cf-ray': 'c', 'retry-after': '3',
    'anthropic-ratelimit-requests-remaining': '1', 'x-ratelimit-reset-tokens': '1s', 'openai-processing-ms': '5',
  }
  deepStrictEqual(toClientHeaders(upstream, false), upstream)
})

test('X1: length and encoding stay with untouched bytes only', () => {
  const upstream = { 'content-encoding': 'gzip', 'content-length': '9', 'content-type': 'application/json' }
  deepStrictEqual(toClientHeaders(upstream, true), upstream)
  deepStrictEqual(toClientHeaders(upstream, false), { 'content-type': 'application/json' })
})

test('headers: cookies, CORS words, origin policies and hop-by-hop headers of the upstream stop here', () => {
  deepStrictEqual(toClientHeaders({
    'set-cookie': ['a=b'], 'alt-svc': 'h3', 'strict-transport-security': 'x', 'access-control-allow-origin': '*',
    connection: 'close, x-hop', 'x-hop': '1', 'keep-alive': 'x', 'transfer-encoding': 'chunked', trailer: 'x', upgrade: 'h2',
    'proxy-authenticate': 'x', 'dario-backend': 'other', date: 'x', 'clear-site-data': '*',
  }, true), {})
})

test('H3: beta lists are merged in order, each token once, without the dropped ones', () => {
  equal(mergeBetas('a, b', 'b,c', ['a']), 'b,c')
  equal(mergeBetas(undefined, 'c', []), 'c')
  equal(mergeBetas(' ,', undefined, []), undefined)
  equal(mergeBetas('a', undefined, ['a']), undefined)
})
