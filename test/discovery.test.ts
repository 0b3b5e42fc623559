import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { isUnconfigured, parseConfig } from '../src/config/parse.ts'
import { discover, isOurselves } from '../src/config/discovery.ts'
import type { DiscoverOptions, Discovered } from '../src/config/discovery.ts'

function look(environment: Record<string, string>, rest: Partial<DiscoverOptions> = {}): Promise<Discovered> {
  return discover({ environment, findClaude: async () => undefined, probe: async () => undefined, port: 3456, ...rest })
}

test('discovery: nothing found is the echo backend and a list of what was looked for', async () => {
  const { backends, found, missing } = await look({})
  deepStrictEqual(Object.keys(backends), ['echo'])
  deepStrictEqual(found, ['echo (built in)'])
  deepStrictEqual(missing.length, 11)
  ok(missing.includes('groq (GROQ_API_KEY)') && missing.includes('ollama (127.0.0.1:11434)'))
})

const VARIABLES = [
  ['ANTHROPIC_API_KEY', 'anthropic', 'https://api.anthropic.com'], ['OPENAI_API_KEY', 'openai', 'https://api.openai.com'],
  ['OPENROUTER_API_KEY', 'openrouter', 'https://openrouter.ai/api'], ['GROQ_API_KEY', 'groq', 'https://api.groq.com/openai'],
  ['GEMINI_API_KEY', 'gemini', 'https://generativelanguage.googleapis.com/v1beta/openai'],
  ['DEEPSEEK_API_KEY', 'deepseek', 'https://api.deepseek.com'], ['MISTRAL_API_KEY', 'mistral', 'https://api.mistral.ai'],
  ['XAI_API_KEY', 'xai', 'https://api.x.ai'],
] as const
for (const [variable, name, baseUrl] of VARIABLES) {
  test(`discovery: ${variable} is the backend ${name}`, async () => {
    const { backends, found } = await look({ [variable]: ' the-key ' })
    deepStrictEqual(backends[name]?.keys, [{ label: `${name}#1`, value: 'the-key', weight: 1 }])
    deepStrictEqual([backends[name]?.baseUrl, backends[name]?.discovered], [baseUrl, true])
    ok(found.includes(`${name} (${variable})`))
  })
}

test('discovery: the plan comes before a metered key', async () => {
  const { backends } = await look({ ANTHROPIC_API_KEY: 'k' }, { findClaude: async () => '/usr/bin/claude' })
  deepStrictEqual(Object.keys(backends), ['plan', 'anthropic', 'echo'])
  strictEqual(backends['plan']?.type, 'claude-code')
})

test('discovery: local servers speak what they answered, and are asked for 300 ms', async () => {
  const asked: [string, number][] = []
  const { backends } = await look({}, {
    probe: async (baseUrl, timeoutMs) => {
      asked.push([baseUrl, timeoutMs])
      return baseUrl.endsWith(':11434') ? ['chat', 'anthropic'] : undefined
    },
  })
  deepStrictEqual(asked, [['http://127.0.0.1:11434', 300], ['http://127.0.0.1:1234', 300]])
  deepStrictEqual([backends['ollama']?.speaks, backends['lmstudio']], [['chat', 'anthropic'], undefined])
})

test('discovery: a search that throws is one that found nothing', async () => {
  const fails = async (): Promise<never> => { throw new Error('no') }
  deepStrictEqual(Object.keys((await look({}, { findClaude: fails, probe: fails })).backends), ['echo'])
})

test('discovery: empty variables and our own placeholder are no keys', async () => {
  deepStrictEqual(Object.keys((await look({ OPENAI_API_KEY: 'dario', GROQ_API_KEY: ' ' })).backends), ['echo'])
})

test('discovery: a base URL beside the key is used, unless it is our own', async () => {
  const there = await look({ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'https://gateway.example/v1/' })
  deepStrictEqual([there.backends['openai']?.baseUrl, there.backends['openai']?.speaks], ['https://gateway.example', ['chat']])
  const own = await look({ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://localhost:3456/v1', ANTHROPIC_API_KEY: 'k', ANTHROPIC_BASE_URL: 'http://[::1]:3456' })
  deepStrictEqual([own.backends['openai']?.baseUrl, own.backends['anthropic']?.baseUrl], ['https://api.openai.com', 'https://api.anthropic.com'])
})

test('discovery: a base URL on another port is not ourselves', () => {
  ok(isOurselves('http://127.0.0.1:3456/v1', 3456))
  ok(!isOurselves('http://127.0.0.1:4000', 3456))
  ok(!isOurselves('https://example.com:3456', 3456))
  ok(!isOurselves('nonsense', 3456))
})

test('discovery: backends of the user are the whole truth', () => {
  ok(!isUnconfigured(parseConfig({ backends: { a: { type: 'anthropic' } } }).config))
  ok(isUnconfigured(parseConfig({ port: 1 }).config))
})
