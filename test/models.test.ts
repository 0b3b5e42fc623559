import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { ProxyOptions } from '../src/index.ts'
import type { TestUpstream } from './helpers/upstream.ts'

interface Listed { id: string; created?: number; created_at?: string; max_input_tokens?: number; context_length?: number; owned_by?: string; type?: string; object?: string }

const KEYS = ['sk-test-SECRETSECRET']
const ANTHROPIC = { 'anthropic-version': '2023-06-01' }

async function list(url: string, headers: Record<string, string> = {}): Promise<Listed[]> {
  return (await (await fetch(`${url}/v1/models`, { headers })).json() as { data: Listed[] }).data
}

async function startTwo(context: TestContext, more: ProxyOptions = {}): Promise<{ url: string; claude: TestUpstream; other: TestUpstream; lines: string[] }> {
  const claude = await startUpstream(context, (_, response) => sendJson(response, 200, {
    data: [{ type: 'model', id: 'claude-x', display_name: 'Claude X', created_at: '2026-02-03T04:05:06Z', max_input_tokens: 200_000, max_tokens: 64_000 }], has_more: false,
  }))
  const other = await startUpstream(context, (_, response) => sendJson(response, 200, {
    object: 'list', data: [{ id: 'gpt-x', object: 'model', created: 1_700_000_000, owned_by: 'them', context_length: 270_000 }, { id: 'claude-x', object: 'model' }],
  }))
  const lines: string[] = []
  const { url } = await startProxy(context, {
    backends: {
      anthropic: { type: 'anthropic', baseUrl: claude.url, keys: KEYS },
      other: { type: 'openai', baseUrl: other.url, speaks: ['chat'], keys: KEYS },
    },
    log: (line) => lines.push(line),
    ...more,
  })
  return { url, claude, other, lines }
}

test('models: M4: the lists of all backends in the shape of the caller, each with its own date', async (context) => {
  const { url } = await startTwo(context, { routes: [{ model: 'gpt-*', to: ['other'] }] })
  const openai = await list(url)
  deepStrictEqual(openai.map(({ id }) => id), ['claude-x', 'gpt-x', 'other:claude-x', 'echo'])
  ok(openai.every(({ object, created }) => object === 'model' && Number.isInteger(created)))
  strictEqual(openai[0]?.created, Date.parse('2026-02-03T04:05:06Z') / 1000)
  const anthropic = await list(url, ANTHROPIC)
  deepStrictEqual(anthropic.map(({ id, type }) => [id, type]), openai.map(({ id }) => [id, 'model']))
  strictEqual(anthropic[1]?.created_at, '2023-11-14T22:13:20Z')
})

test('models: M2: context sizes are those of the backend or the configuration', async (context) => {
  const { url } = await startTwo(context)
  const found = new Map((await list(url, ANTHROPIC)).map((model) => [model.id, model.max_input_tokens]))
  deepStrictEqual([found.get('claude-x'), found.get('other:gpt-x'), found.get('echo')], [200_000, 270_000, undefined])
  const configured = await startTwo(context, { backends: {
    mine: { type: 'openai', baseUrl: 'http://127.0.0.1:9', speaks: ['chat'], keys: KEYS, models: [{ id: 'local', maxInputTokens: 32_000 }] },
  } })
  const [local] = await list(configured.url)
  deepStrictEqual([local?.id, local?.context_length], ['local', 32_000])
})

test('models: lists are fetched once', async (context) => {
  const { url, claude, other } = await startTwo(context)
  await Promise.all([list(url), list(url, ANTHROPIC), list(url)])
  await list(url)
  deepStrictEqual([claude.received.length, other.received.length], [1, 1])
  deepStrictEqual([claude.received[0]?.headers['x-api-key'], other.received[0]?.headers.authorization], [KEYS[0], `Bearer ${KEYS[0]}`])
})

test('models: a backend that fails is left out of the list and named in the log', async (context) => {
  const down = await startUpstream(context, (_, response) => sendJson(response, 500, { error: 'x' }))
  const { url, lines } = await startTwo(context, { backends: {
    down: { type: 'openai', baseUrl: down.url, speaks: ['chat'], keys: KEYS }, gone: { type: 'openai', baseUrl: 'http://127.0.0.1:9', speaks: ['chat'], keys: KEYS },
  } })
  deepStrictEqual((await list(url)).map(({ id }) => id), ['echo'])
  match(lines.join('\n'), /models of down are not listed/)
  match(lines.join('\n'), /models of gone are not listed/)
  ok(!lines.join('\n').includes('SECRETSECRET'))
})

test('models: M8: aliases and route names are listed with the size of what they lead to', async (context) => {
  const { url } = await startTwo(context, {
    routes: [{ model: 'fast', to: ['other:gpt-x'] }, { model: 'wild-*', to: ['other'] }], aliases: { best: 'anthropic/claude-x', twice: 'best' },
  })
  const found = new Map((await list(url, ANTHROPIC)).map((model) => [model.id, model.max_input_tokens]))
  deepStrictEqual([found.get('fast'), found.get('best'), found.has('wild-*')], [270_000, 200_000, false])
})

test('models: an alias that leads nowhere does not break the list', async (context) => {
  const { url } = await startTwo(context, { aliases: { lost: 'nobody-has-this' } })
  const found = await list(url)
  deepStrictEqual(found.map(({ id }) => id).filter((id) => id === 'lost' || id === 'claude-x'), ['claude-x'])
})

test('models: one model by its name, also prefixed; an unknown one is a 404 in the words of the caller', async (context) => {
  const { url } = await startTwo(context)
  for (const id of ['claude-x', 'anthropic/claude-x', 'anthropic:claude-x', 'other%2Fgpt-x']) {
    const response = await fetch(`${url}/v1/models/${id}`)
    strictEqual(response.status, 200, id)
    strictEqual((await response.json() as Listed).id, decodeURIComponent(id))
  }
  const response = await fetch(`${url}/v1/models/none`, { headers: ANTHROPIC })
  strictEqual(response.status, 404)
  match(await response.text(), /"type":"error".*not_found_error/)
})
