import { deepStrictEqual, match, strictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { createRouter } from '../src/exchange/router.ts'
import type { RouteTable, Router } from '../src/exchange/router.ts'

const BACKENDS: RouteTable['backends'] = [
  { id: 'plan', type: 'claude-code', host: undefined },
  { id: 'anthropic', type: 'anthropic', host: 'api.anthropic.com' },
  { id: 'openai', type: 'openai', host: 'api.openai.com' },
  { id: 'openrouter', type: 'openai', host: 'openrouter.ai' },
  { id: 'groq', type: 'openai', host: 'api.groq.com' },
  { id: 'echo', type: 'echo', host: undefined },
]

const route = (table: Partial<RouteTable> = {}): Router => createRouter({ backends: BACKENDS, routes: [], aliases: {}, ...table })
const chainOf = (router: Router, model: string): string[] => router.resolve(model).chain.map((hop) => `${hop.backend} ${hop.model}`)

test('router: M3: exactly one prefix is taken off, with a colon or a slash', () => {
  const router = route()
  deepStrictEqual(chainOf(router, 'openrouter/anthropic/claude-x'), ['openrouter anthropic/claude-x'])
  deepStrictEqual(chainOf(router, 'openrouter:meta-llama/llama-3:free'), ['openrouter meta-llama/llama-3:free'])
  deepStrictEqual(chainOf(router, 'groq:openai/gpt-oss'), ['groq openai/gpt-oss'])
})

test('router: a prefix beats the routes, and a name that is no backend is no prefix', () => {
  const router = route({ routes: [{ model: '*', to: ['groq'] }] })
  deepStrictEqual(chainOf(router, 'openai/gpt-x'), ['openai gpt-x'])
  deepStrictEqual(chainOf(router, 'meta-llama/llama-3'), ['groq meta-llama/llama-3'])
  deepStrictEqual(chainOf(router, 'openai/'), ['groq openai/'])
})

test('router: the first route that matches gives the whole chain, and may rename', () => {
  const router = route({ routes: [
    { model: 'fast', to: ['groq:llama-3.3:70b', 'openai'] }, { model: 'gpt-?', to: ['openrouter:x'] }, { model: 'gpt-*', to: ['openai', 'anthropic:claude'] },
  ] })
  deepStrictEqual(chainOf(router, 'fast'), ['groq llama-3.3:70b', 'openai fast'])
  deepStrictEqual(chainOf(router, 'gpt-5'), ['openrouter x'])
  deepStrictEqual(chainOf(router, 'GPT-55'), ['openai GPT-55', 'anthropic claude'])
  strictEqual(router.resolve('gpt-55').route, 'gpt-*')
})

test('router: a pattern is no regular expression', () => {
  const router = route({ routes: [{ model: 'a.b+(c)', to: ['groq'] }] })
  deepStrictEqual(chainOf(router, 'a.b+(c)'), ['groq a.b+(c)'])
  throws(() => router.resolve('axbb(c)'), /no backend serves/)
  const start = performance.now()
  throws(() => route({ routes: [{ model: '*a*a*a*a*a*b', to: ['groq'] }] }).resolve('a'.repeat(200)), /no backend/)
  strictEqual(performance.now() - start < 1_000, true)
})

test('router: M8: an alias is followed one step, before prefix and routes', () => {
  const router = route({ aliases: { best: 'openrouter/claude-x', again: 'best' }, routes: [{ model: 'best', to: ['groq'] }] })
  deepStrictEqual(chainOf(router, 'best'), ['openrouter claude-x'])
  deepStrictEqual(chainOf(router, 'again'), ['groq best'])
  deepStrictEqual(chainOf(route({ aliases: { ['__proto__x']: 'echo' } }), '__proto__x'), ['echo echo'])
  throws(() => route().resolve('constructor'), /no backend/)
})

test('router: M1: a suffix in brackets does not count, on names, aliases and what they stand for', () => {
  const router = route({ aliases: { big: 'claude-x[1m]' }, routes: [{ model: 'claude-x', to: ['anthropic'] }] })
  for (const name of ['claude-x[1m]', 'claude-x[1M]', 'big', 'big[1m]']) {
    deepStrictEqual(chainOf(router, name), ['anthropic claude-x'])
    strictEqual(router.resolve(name).suffix.toLowerCase(), '[1m]')
  }
  strictEqual(router.resolve('claude-x').suffix, '')
})

test('router: families go to their vendor without a chain, Claude to the plan before a metered key', () => {
  const router = route()
  for (const name of ['claude-opus-5', 'sonnet', 'haiku']) deepStrictEqual(chainOf(router, name), [`plan ${name}`])
  for (const name of ['gpt-5', 'o4-mini', 'chatgpt-5', 'codex-1', 'text-embedding-3-small', 'whisper-1']) deepStrictEqual(chainOf(router, name), [`openai ${name}`])
  deepStrictEqual(chainOf(router, 'echo'), ['echo echo'])
  match(router.resolve('sonnet').reasons.join('; '), /anthropic could too, but only a route makes a chain/)
})

test('router: an unknown name goes to the only real backend, else it is a 404 that lists what there is', () => {
  const one = route({ backends: [BACKENDS[4]!, BACKENDS[5]!] })
  deepStrictEqual(chainOf(one, 'llama'), ['groq llama'])
  deepStrictEqual(chainOf(one, 'gpt-5'), ['groq gpt-5'])
  deepStrictEqual(chainOf(route({ backends: [BACKENDS[5]!] }), 'llama'), ['echo llama'])
  throws(() => route({ routes: [{ model: 'fast', to: ['groq'] }] }).resolve('llama'), (error: Error & { code?: string; path?: string }) => {
    match(error.message, /"llama".*plan, anthropic, openai, openrouter, groq, echo; routes: fast.*dario route add/)
    return error.code === 'model_not_found' && error.path === 'model'
  })
})

test('router: every decision has its reasons', () => {
  const router = route({ aliases: { best: 'fast[1m]' }, routes: [{ model: 'fast', to: ['groq'] }] })
  deepStrictEqual(router.resolve('best').reasons, ['best is an alias of fast[1m]', 'the suffix [1m] does not count for routing', 'the route "fast" matches'])
  match(router.resolve('openai/x').reasons.join(), /prefix names the backend openai/)
})
