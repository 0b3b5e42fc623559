import { deepStrictEqual, equal, match, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { ModelInfo } from '../src/backends/backend.ts'
import { createModelCatalog, listModels } from '../src/backends/model-list.ts'
import { KEY, never, startBackend } from './helpers/http-backend.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

/** Only the members that are known. */
async function list(t: TestContext, body: unknown): Promise<object[]> {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, body))
  const models = await listModels(startBackend(t, upstream.url), KEY, never())
  return JSON.parse(JSON.stringify(models)) as object[]
}

test('model list: OpenAI', async (t) => {
  deepStrictEqual(await list(t, { object: 'list', data: [{ id: 'gpt-x', object: 'model', created: 17, owned_by: 'openai' }] }), [
    { id: 'gpt-x', created: 17, ownedBy: 'openai' },
  ])
})

test('model list: OpenRouter gives limits and prices as strings', async (t) => {
  const entry = {
    id: 'a/b', name: 'A: B', created: 17, context_length: 200_000, pricing: { prompt: '0.000003', completion: '0.000015', input_cache_read: '0.0000003' },
    top_provider: { context_length: 200_000, max_completion_tokens: 64_000 },
  }
  deepStrictEqual(await list(t, { data: [entry, { id: 'auto', context_length: 2e6, pricing: { prompt: '-1', completion: '-1' }, top_provider: { max_completion_tokens: null } }] }), [
    { id: 'a/b', created: 17, displayName: 'A: B', maxInputTokens: 200_000, maxOutputTokens: 64_000, price: { input: 0.000003, output: 0.000015, cacheRead: 0.0000003 } },
    { id: 'auto', maxInputTokens: 2_000_000 },
  ])
})

test('model list: vLLM, Groq, LiteLLM, Ollama and a bare array', async (t) => {
  deepStrictEqual(await list(t, { data: [
    { id: 'v', max_model_len: 4096 },
    { id: 'g', context_window: 131_072, max_completion_tokens: 32_768 },
    { id: 'l', max_input_tokens: 1000, max_output_tokens: 100, input_cost_per_token: 1e-6, output_cost_per_token: 2e-6 },
  ] }), [
    { id: 'v', maxInputTokens: 4096 },
    { id: 'g', maxInputTokens: 131_072, maxOutputTokens: 32_768 },
    { id: 'l', maxInputTokens: 1000, maxOutputTokens: 100, price: { input: 1e-6, output: 2e-6 } },
  ])
  deepStrictEqual(await list(t, { models: [{ name: 'llama3:8b', model: 'llama3:8b' }] }), [{ id: 'llama3:8b' }])
  deepStrictEqual(await list(t, [{ id: 't' }]), [{ id: 't' }])
})

test('model list: entries of unknown shape are skipped', async (t) => {
  deepStrictEqual(await list(t, { data: [null, 1, 'x', {}, { id: 5 }, { id: 'good', created: 'x', context_length: -1, pricing: 'free' }] }), [{ id: 'good' }])
})

test('model list: Anthropic pages are followed to the end', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    const after = new URL(request.url, 'http://x').searchParams.get('after_id')
    const page = after === null
      ? { data: [{ id: 'claude-a', type: 'model', display_name: 'Claude A', created_at: '2025-01-01T00:00:00Z' }], has_more: true, last_id: 'claude-a' }
      : { data: [{ id: 'claude-b', max_input_tokens: 200_000, max_tokens: 64_000 }], has_more: false }
    sendJson(response, 200, page)
  })
  const models = await listModels(startBackend(t, upstream.url, { type: 'anthropic', speaks: ['anthropic'] }), KEY, never())
  deepStrictEqual(JSON.parse(JSON.stringify(models)), [
    { id: 'claude-a', displayName: 'Claude A', created: 1_735_689_600 },
    { id: 'claude-b', maxInputTokens: 200_000, maxOutputTokens: 64_000 },
  ])
  deepStrictEqual(upstream.received.map((seen) => seen.url), ['/v1/models?limit=1000', '/v1/models?limit=1000&after_id=claude-a'])
})

test('model list: a server that always has more is not asked forever', async (t) => {
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, { data: [{ id: 'm' }], has_more: true }))
  await listModels(startBackend(t, upstream.url), KEY, never())
  equal(upstream.received.length, 20)
})

test('model list: an error status, HTML or another JSON is an error of one sentence', async (t) => {
  let body = '{"error":{"message":"no sk-test-upstream-key"}}'
  let status = 401
  const upstream = await startUpstream(t, (_, response) => { response.writeHead(status).end(body) })
  const backend = startBackend(t, upstream.url)
  await rejects(listModels(backend, KEY, never()), { code: 'upstream_error', status: 401, message: /^the model list was answered with status 401/ })
  status = 200
  await rejects(listModels(backend, KEY, never()), { code: 'upstream_error' })
  body = '<title>Login</title>'
  await rejects(listModels(backend, KEY, never()), { code: 'upstream_error', message: /HTML instead of JSON: Login/ })
})

test('model catalog: lists are kept, concurrent readers share one request', async (t) => {
  let time = 0
  const upstream = await startUpstream(t, (_, response) => sendJson(response, 200, { data: [{ id: 'm' }] }))
  const catalog = createModelCatalog([startBackend(t, upstream.url)], () => time)
  const [first, second] = await Promise.all([catalog.read(), catalog.read()])
  equal(upstream.received.length, 1)
  const ids = (models: Map<string, ModelInfo[]>): (string | undefined)[] => [...models.values()].flat().map((model) => model.id)
  deepStrictEqual([ids(first.models), ids(second.models)], [['m'], ['m']])
  time = 599_999
  await catalog.read()
  equal(upstream.received.length, 1)
  time = 600_000
  await catalog.read()
  equal(upstream.received.length, 2)
  time = -3_600_000 // the clock was set back
  await catalog.read()
  equal(upstream.received.length, 3)
})

test('model catalog: a first key that is refused leaves it to the next', async (t) => {
  const upstream = await startUpstream(t, ({ headers }, response) => (
    headers['authorization'] === 'Bearer good' ? sendJson(response, 200, { data: [{ id: 'm' }] }) : sendJson(response, 401, { error: {} })))
  const keys = ['old', 'good'].map((value) => ({ label: value, value, weight: 1 }))
  const { models, failures } = await createModelCatalog([startBackend(t, upstream.url, { keys })], Date.now).read()
  deepStrictEqual([[...models.values()].flat().map(({ id }) => id), failures.size], [['m'], 0])
})

test('model catalog: a backend that fails is skipped, reported and asked again soon', async (t) => {
  let time = 0
  const good = await startUpstream(t, (_, response) => sendJson(response, 200, { data: [{ id: 'm' }] }))
  const bad = await startUpstream(t, (_, response) => { response.writeHead(500).end('oops') })
  const slow = await startUpstream(t, () => {})
  const backends = [
    startBackend(t, good.url, { id: 'good' }), startBackend(t, bad.url, { id: 'bad' }), startBackend(t, slow.url, { id: 'slow' }),
  ]
  const catalog = createModelCatalog(backends, () => time, { limit: 1000 })
  const { models, failures } = await catalog.read()
  deepStrictEqual([...models.keys()], ['good'])
  match(failures.get('bad') ?? '', /answered 500/)
  equal(failures.get('slow'), 'no model list within 1000 ms')
  time = 30_000
  await catalog.read()
  equal(bad.received.length, 2)
  equal(good.received.length, 1)
})
