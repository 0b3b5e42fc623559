import { deepStrictEqual, equal, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Backend } from '../src/backends/backend.ts'
import { checkKey, probeDialects } from '../src/backends/probe.ts'
import { KEY, never, startBackend } from './helpers/http-backend.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

/** Answers per path with a status and a body; 404 elsewhere. */
async function startServer(t: TestContext, answers: Record<string, readonly [status: number, body: unknown]>): Promise<Backend> {
  const upstream = await startUpstream(t, (request, response) => {
    const [status, body] = answers[request.url] ?? [404, { error: 'Not Found' }]
    sendJson(response, status, body)
  })
  return startBackend(t, upstream.url)
}

test('probe: a path that refuses {} is spoken, one that is missing is not', async (t) => {
  const backend = await startServer(t, {
    '/v1/chat/completions': [400, { error: { message: 'model is required' } }],
    '/v1/messages': [422, { detail: [] }],
    '/v1/responses': [405, {}],
  })
  deepStrictEqual(await probeDialects(backend, KEY, never()), ['chat', 'anthropic'])
})

test('probe: a 404 about the model is a path that exists', async (t) => {
  const backend = await startServer(t, { '/v1/responses': [404, { error: { message: "model '' not found" } }] })
  deepStrictEqual(await probeDialects(backend, KEY, never()), ['responses'])
})

test('probe: 200 to an empty request is a catch-all, not a dialect', async (t) => {
  const backend = await startServer(t, {
    '/v1/chat/completions': [400, {}],
    '/v1/messages': [200, { error: 'Unexpected endpoint or method. (POST /v1/messages)' }],
    '/v1/responses': [200, '<html></html>'],
  })
  deepStrictEqual(await probeDialects(backend, KEY, never()), ['chat'])
})

test('probe: a server that refuses the key everywhere leaves it open', async (t) => {
  const backend = await startServer(t, {
    '/v1/chat/completions': [401, {}], '/v1/messages': [401, {}], '/v1/responses': [403, {}],
  })
  await rejects(probeDialects(backend, KEY, never()), { code: 'authentication' })
})

for (const [status, verdict] of [[200, 'ok'], [404, 'ok'], [401, 'refused'], [403, 'refused'], [500, 'unreachable']] as const) {
  test(`probe: a key answered with ${status} is ${verdict}`, async (t) => {
    equal(await checkKey(await startServer(t, { '/v1/models': [status, {}] }), KEY, never()), verdict)
  })
}

test('probe: a key of a backend that is away is unreachable', async (t) => {
  const backend = await startServer(t, {})
  equal(await checkKey(backend, KEY, AbortSignal.abort()), 'unreachable')
})
