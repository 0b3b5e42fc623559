/**
 * Paths and methods to operations, and errors in the words of the dialect that was called.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { DarioError } from '../src/errors.ts'
import { parseTarget } from '../src/server/routes.ts'
import { startServer } from './helpers/server.ts'

const ENDPOINTS = [
  ['POST', '/v1/messages', 'generate', 'anthropic'],
  ['POST', '/v1/messages/count_tokens', 'count_tokens', 'anthropic'],
  ['POST', '/v1/messages/batches', 'passthrough', 'anthropic'],
  ['GET', '/v1/messages/batches/b1/results', 'passthrough', 'anthropic'],
  ['POST', '/v1/chat/completions', 'generate', 'chat'],
  ['POST', '/v1/responses', 'generate', 'responses'],
  ['GET', '/v1/responses/r1', 'passthrough', 'responses'],
  ['DELETE', '/v1/responses/r1', 'passthrough', 'responses'],
  ['GET', '/v1/responses/r1/input_items', 'passthrough', 'responses'],
  ['POST', '/v1/responses/r1/cancel', 'passthrough', 'responses'],
  ['POST', '/v1/embeddings', 'passthrough', 'chat'],
  ['POST', '/v1/completions', 'passthrough', 'chat'],
  ['POST', '/v1/moderations', 'passthrough', 'chat'],
  ['POST', '/v1/rerank', 'passthrough', 'chat'],
  ['POST', '/v1/images/generations', 'passthrough', 'chat'],
  ['POST', '/v1/audio/transcriptions', 'passthrough', 'chat'],
  ['GET', '/v1/files', 'passthrough', 'chat'],
  ['POST', '/v1/files', 'passthrough', 'chat'],
  ['GET', '/v1/files/f1/content', 'passthrough', 'chat'],
  ['DELETE', '/v1/files/f1', 'passthrough', 'chat'],
  ['GET', '/v1/batches/b1', 'passthrough', 'chat'],
] as const

for (const [method, path, operation, dialect] of ENDPOINTS) {
  test(`routes: ${method} ${path} is ${operation} in ${dialect}, written in any of the usual ways`, async (context) => {
    const { url, seen } = await startServer(context)
    for (const written of [path, path.slice(3), `${path}/`, `/v1${path}`, `/${path}`, path.replace('/v1/', '/v1//')]) {
      await (await fetch(`${url}${written}?beta=true&x=/a/..//`, { method })).text()
    }
    deepStrictEqual(seen.map((incoming) => [incoming.operation, incoming.dialect, incoming.method, incoming.path]),
      Array.from({ length: 6 }, () => [operation, dialect, method, `${path}?beta=true&x=/a/..//`]))
  })
}

test('routes: files are Anthropic\'s when the caller is', async (context) => {
  const { url, seen } = await startServer(context)
  await (await fetch(`${url}/v1/files`, { headers: { 'anthropic-version': '2023-06-01' } })).text()
  strictEqual(seen[0]?.dialect, 'anthropic')
})

test('routes: HEAD goes where GET goes', async (context) => {
  const { url, seen } = await startServer(context)
  for (const path of ['/health', '/', '/v1/models']) strictEqual((await fetch(url + path, { method: 'HEAD' })).status, 200, path)
  strictEqual((await fetch(`${url}/v1/files/f1`, { method: 'HEAD' })).status, 200)
  strictEqual(seen[0]?.method, 'HEAD')
})

test('routes: a page is found exactly and takes GET only', async (context) => {
  const { url } = await startServer(context)
  strictEqual(await (await fetch(`${url}/?x=1`)).text(), 'page')
  const answer = await fetch(url, { method: 'POST', body: 'x' })
  strictEqual(answer.status, 405)
  strictEqual(answer.headers.get('allow'), 'GET, HEAD')
})

for (const path of ['/v1/nothing', '/__proto__', '/constructor', '/v1', '/v1/messages/other', '/v1x/messages', '/v1/embeddings/x']) {
  test(`routes: ${path} is a 404 that lists what there is`, async (context) => {
    const { url, seen } = await startServer(context)
    const answer = await fetch(url + (path === '/v1' ? '/v1/no' : path), { method: 'POST', body: '{}' })
    strictEqual(answer.status, 404)
    match(await answer.text(), /\/v1\/chat\/completions/)
    strictEqual(seen.length, 0)
  })
}

test('routes: a wrong method is a 405 with allow', async (context) => {
  const { url, seen } = await startServer(context)
  for (const [method, path, allow] of [
    ['GET', '/v1/messages', 'POST'], ['PUT', '/v1/files/f1', 'GET, HEAD, POST, DELETE'], ['DELETE', '/v1/models/m', 'GET, HEAD'],
    ['POST', '/health', 'GET, HEAD'], ['OPTIONS', '/v1/responses', 'POST'],
  ] as const) {
    const answer = await fetch(url + path, { method })
    strictEqual(answer.status, 405, path)
    strictEqual(answer.headers.get('allow'), allow)
  }
  strictEqual(seen.length, 0)
})

test('routes: a refusal names the path as it was asked for', async (context) => {
  const { url } = await startServer(context)
  match(await (await fetch(`${url}/v1/nothing?key=x`)).text(), /dario has no GET \/v1\/nothing; it has/)
  match(await (await fetch(`${url}/v1/messages`)).text(), /dario has no GET \/v1\/messages; that path takes POST/)
})

for (const [path, headers, dialect] of [
  ['/v1/messages', {}, 'anthropic'],
  ['/messages?x=/chat/completions', {}, 'anthropic'],
  ['/v1/chat/completions', { 'anthropic-version': 'x' }, 'chat'],
  ['/v1/responses', {}, 'responses'],
  ['/v1/nothing', { 'anthropic-version': 'x' }, 'anthropic'],
  ['/v1/nothing', {}, 'chat'],
] as const) {
  test(`E3: an error on ${path} ${JSON.stringify(headers)} is in the words of ${dialect}`, async (context) => {
    const { url } = await startServer(context)
    const answer = await fetch(url + path, { method: 'PUT', headers })
    strictEqual((await answer.json() as { dialect: string }).dialect, dialect)
  })
}

test('routes: every answer that is made at the door has its own dario-request-id', async (context) => {
  const { url } = await startServer(context)
  const ids = await Promise.all(['/health', '/', '/v1/models', '/v1/nothing'].map(async (path) => {
    const answer = await fetch(url + path)
    await answer.text()
    return answer.headers.get('dario-request-id') ?? ''
  }))
  strictEqual(new Set(ids).size, 4)
  ok(ids.every((id) => id.startsWith('req_')))
})

test('E10: what breaks inside is one sentence for the client and a stack for the log', async (context) => {
  const { url, lines } = await startServer(context, { answer: () => { throw new Error('inner detail') } })
  const answer = await fetch(`${url}/v1/files`)
  strictEqual(answer.status, 500)
  strictEqual((await answer.text()).includes('inner detail'), false)
  match(lines[0] ?? '', /inner detail[^]*at /)
})

test('routes: an error in an answer that has begun cuts it', async (context) => {
  const { url } = await startServer(context, {
    answer: (_incoming, response) => {
      response.write('half')
      throw new Error('later')
    },
  })
  const text = fetch(`${url}/v1/files`).then((answer) => answer.text())
  strictEqual(await text.catch(() => 'cut'), 'cut')
})

test('routes: retry-after is in whole seconds, rounded up', async (context) => {
  const { url } = await startServer(context, {
    handler: { models: async () => { throw new DarioError('rate_limited', 'wait', { retryAfterMs: 1_200 }) } },
  })
  const answer = await fetch(`${url}/v1/models`)
  strictEqual(answer.status, 429)
  strictEqual(answer.headers.get('retry-after'), '2')
})

test('Z6: a query string is never logged', async (context) => {
  const { url, lines } = await startServer(context)
  await (await fetch(`${url}/v1/nothing?key=dario-test-key-query`)).text()
  strictEqual(lines.length, 1)
  strictEqual(lines.join().includes('dario-test-key'), false)
})

test('routes: dots inside a name are no path', () => {
  strictEqual(parseTarget('/v1/models/gpt-4.1..x').path, '/models/gpt-4.1..x')
  strictEqual(parseTarget('/v1/models/a%2Fb').path, '/models/a%2Fb')
})
