/**
 * The model list in both shapes (pitfall M4).
 * @module
 */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { encodeModels } from '../src/server/models.ts'
import type { ModelEntry, ModelQuery } from '../src/server/models.ts'
import { startServer } from './helpers/server.ts'

const ENTRIES: ModelEntry[] = [
  {
    id: 'claude-sonnet', backend: 'anthropic',
    info: { id: 'claude-sonnet', displayName: 'Claude Sonnet', created: 1_700_000_000, maxInputTokens: 200_000, maxOutputTokens: 64_000 },
  },
  { id: 'meta/llama 3', backend: 'groq', info: { id: 'meta/llama 3', ownedBy: 'meta' } },
  { id: 'fast', backend: 'groq' },
  { id: 'claude-sonnet', backend: 'router' },
]
const ANTHROPIC = { headers: { 'anthropic-version': '2023-06-01' } }
const handler = { models: async (query: ModelQuery) => encodeModels(ENTRIES, query) }

async function read(url: string, init: RequestInit = {}): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(url, init)
  return { status: answer.status, body: await answer.json() }
}

test('M4: without anthropic-version the list is OpenAI\'s', async (context) => {
  const { url } = await startServer(context, { handler })
  deepStrictEqual((await read(`${url}/v1/models`)).body, {
    object: 'list',
    data: [
      {
        id: 'claude-sonnet', object: 'model', created: 1_700_000_000, owned_by: 'anthropic', context_length: 200_000,
        max_input_tokens: 200_000, max_output_tokens: 64_000,
      },
      { id: 'meta/llama 3', object: 'model', created: 0, owned_by: 'meta' },
      { id: 'fast', object: 'model', created: 0, owned_by: 'groq' },
    ],
  })
})

test('M4: with anthropic-version the list is Anthropic\'s', async (context) => {
  const { url } = await startServer(context, { handler })
  deepStrictEqual((await read(`${url}/models/`, ANTHROPIC)).body, {
    data: [
      {
        type: 'model', id: 'claude-sonnet', display_name: 'Claude Sonnet', created_at: '2023-11-14T22:13:20Z',
        max_input_tokens: 200_000, max_tokens: 64_000,
      },
      { type: 'model', id: 'meta/llama 3', display_name: 'meta/llama 3', created_at: '1970-01-01T00:00:00Z' },
      { type: 'model', id: 'fast', display_name: 'fast', created_at: '1970-01-01T00:00:00Z' },
    ],
    has_more: false,
    first_id: 'claude-sonnet',
    last_id: 'fast',
  })
})

test('M4: an empty list has no first and last id', async (context) => {
  const { url } = await startServer(context)
  deepStrictEqual((await read(`${url}/v1/models`, ANTHROPIC)).body, { data: [], has_more: false, first_id: null, last_id: null })
})

for (const [query, ids, hasMore] of [
  ['limit=2', ['claude-sonnet', 'meta/llama 3'], true],
  ['limit=2&after_id=meta%2Fllama+3', ['fast'], false],
  ['limit=1&before_id=fast', ['meta/llama 3'], true],
  ['limit=2&before_id=fast', ['claude-sonnet', 'meta/llama 3'], false],
  ['after_id=fast', [], false],
] as const) {
  test(`models: a page of ${query} is ${ids.join(' and ') || 'empty'}`, async (context) => {
    const { url } = await startServer(context, { handler })
    const { body } = await read(`${url}/v1/models?${query}`, ANTHROPIC)
    const { data, has_more } = body as { data: { id: string }[]; has_more: boolean }
    deepStrictEqual([data.map((model) => model.id), has_more], [[...ids], hasMore])
  })
}

for (const query of ['limit=0', 'limit=1001', 'limit=x', 'limit=1.5', 'after_id=nothing', 'before_id=nothing']) {
  test(`models: ${query} is a 400`, async (context) => {
    const { url } = await startServer(context, { handler })
    strictEqual((await read(`${url}/v1/models?${query}`, ANTHROPIC)).status, 400)
  })
}

for (const [path, id] of [
  ['claude-sonnet', 'claude-sonnet'], ['meta/llama%203', 'meta/llama 3'], ['meta%2Fllama%203', 'meta/llama 3'],
  ['groq/meta/llama%203', 'groq/meta/llama 3'], ['groq:fast', 'groq:fast'], ['claude-sonnet/?x=1', 'claude-sonnet'],
] as const) {
  test(`models: /v1/models/${path} is one model`, async (context) => {
    const { url } = await startServer(context, { handler })
    strictEqual(((await read(`${url}/v1/models/${path}`)).body as { id: string }).id, id)
    strictEqual(((await read(`${url}/v1/models/${path}`, ANTHROPIC)).body as { type: string }).type, 'model')
  })
}

test('models: an unknown one is a 404', async (context) => {
  const { url } = await startServer(context, { handler })
  const { status, body } = await read(`${url}/v1/models/nothing`)
  strictEqual(status, 404)
  strictEqual((body as { code: string }).code, 'model_not_found')
})

test('models: a date that is none does not break the list', async (context) => {
  const entries = [1.7e12, Number.NaN, 1e300, 1.5].map((created, index): ModelEntry => (
    { id: `m${index}`, backend: 'b', info: { id: `m${index}`, created } }))
  const { url } = await startServer(context, { handler: { models: async (query) => encodeModels(entries, query) } })
  const { body } = await read(`${url}/v1/models`, ANTHROPIC)
  deepStrictEqual((body as { data: { created_at: string }[] }).data.map((model) => model.created_at.slice(0, 20)),
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '1970-01-01T00:00:01.'])
})
