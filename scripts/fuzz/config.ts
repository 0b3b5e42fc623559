/**
 * Fuzzers of the configuration: JSON with a mistake, values of the wrong kind, names that are traps. Only
 * `config_invalid` may come out, never with a key in it.
 * @module
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { parseConfig } from '../../src/config/parse.ts'
import { DarioError } from '../../src/errors.ts'
import type { Json } from '../../src/hub/types.ts'
import { locatePath, parseJsonText } from '../../src/config/json-text.ts'
import { createRouter } from '../../src/exchange/router.ts'
import { makeJson, mutateJson, mutateText, pick, writeJson } from './make.ts'
import type { Check } from './make.ts'
import { tryDario } from './text.ts'

const SECRET = 'sk-fuzz-SECRETSECRET'
const SEED: Json = {
  host: '127.0.0.1', port: 3456, allowedHosts: ['a.test'], allowedOrigins: ['https://a.test'], maxBodyBytes: 1000, deadline: 1000, attempts: 3,
  accessKeys: [{ name: 'a', key: SECRET, routes: ['*'] }, SECRET],
  backends: {
    anthropic: { type: 'anthropic', keys: [SECRET, { key: 'env:KEY', weight: 2 }], timeouts: { connect: 1 }, headers: { 'x-a': 'b' }, dropBetas: ['x'] },
    other: { type: 'openai', baseUrl: 'http://localhost:4000/v1', keys: [SECRET], speaks: ['chat', 'responses'], models: ['m', { id: 'n', maxInputTokens: 5, price: { input: 1, output: 2 } }], maxConcurrent: 4 },
    plan: { type: 'claude-code', command: 'claude', env: { A: 'b' }, idle: 5, warm: true },
  },
  routes: [{ model: 'claude-*', to: ['plan', 'anthropic:m'] }, { model: '*', to: ['other'] }], aliases: { fast: 'other:m' },
}
const DONOR = JSON.parse(JSON.stringify(SEED).replaceAll(SECRET, 'a b')) as Json
const MODELS = ['claude-x', 'fast', 'm', '__proto__', 'constructor', 'other/x/y', 'plan:', ':', '/', '', '*', '[1m]', 'a'.repeat(200)]

const config: Check = (random) => {
  const json = random(20) === 0 ? makeJson(random) : mutateJson(random, SEED, DONOR)
  const environment = { KEY: pick(random, [SECRET, undefined, '']), DARIO_PORT: pick(random, [undefined, undefined, 'x', '99']) }
  const parsed = tryDario(() => parseConfig(json, environment))
  deepStrictEqual(Object.keys(Object.prototype), [])
  if (parsed instanceof DarioError) {
    strictEqual(parsed.code, 'config_invalid')
    return void ok(!parsed.message.includes(SECRET), parsed.message)
  }
  ok(!parsed.warnings.join().includes(SECRET), parsed.warnings.join())
  ok(!JSON.stringify(parsed.config.accessKeys).includes(SECRET), 'access keys are hashes')
}

const configText: Check = (random) => {
  const text = mutateText(random, writeJson(random, random(2) === 0 ? SEED : mutateJson(random, SEED, DONOR)))
  const parsed = tryDario(() => parseJsonText(text, 'config.json'))
  let native: { value: unknown } | undefined
  try {
    native = { value: JSON.parse(text.replace(/^\uFEFF/, '')) }
  } catch {
    native = undefined
  }
  // JSON.parse would take a name that is there twice, and lose one of the two.
  const isTwice = parsed instanceof DarioError && / is there twice; keep one$/.test(parsed.message)
  strictEqual(parsed instanceof DarioError, native === undefined || isTwice)
  if (parsed instanceof DarioError) {
    ok(/^config\.json:\d+:\d+: /.test(parsed.message) && !parsed.message.includes('SECRET'), parsed.message)
  } else {
    deepStrictEqual(parsed, native?.value)
    const error = tryDario(() => parseConfig(parsed, {}))
    if (error instanceof DarioError && error.path !== undefined && error.path !== '') ok(locatePath(text, error.path) !== undefined, `no place for ${error.path}`)
  }
}

const router: Check = (random) => {
  const parsed = tryDario(() => parseConfig(mutateJson(random, SEED, DONOR), {}))
  if (parsed instanceof DarioError) return
  const { routes, aliases, backends } = parsed.config
  const made = createRouter({ routes, aliases, backends: Object.entries(backends).map(([id, { type }]) => ({ id, type, host: undefined })) })
  const resolved = tryDario(() => made.resolve(pick(random, MODELS)))
  if (!(resolved instanceof DarioError)) for (const { backend } of resolved.chain) ok(Object.hasOwn(backends, backend), backend)
}

export const CONFIG: Readonly<Record<string, Check>> = { config, 'config text': configText, router }
