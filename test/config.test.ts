import { deepStrictEqual, doesNotMatch, match, ok, strictEqual, throws } from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashKey, listSecrets, parseConfig } from '../src/config/parse.ts'

const OPENAI = { type: 'openai' }
const SECRET = 'sk-very-secret'

test('config: an empty file has the defaults and the echo backend', () => {
  const { config, warnings } = parseConfig({})
  strictEqual(config.port, 3456)
  strictEqual(config.host, undefined)
  strictEqual(config.maxBodyBytes, 67_108_864)
  deepStrictEqual(Object.keys(config.backends), ['echo'])
  deepStrictEqual(warnings, [])
})

test('config: a backend has the defaults of its type', () => {
  const { a, o, p } = parseConfig({ backends: { a: { type: 'anthropic' }, o: OPENAI, p: { type: 'claude-code' } } }).config.backends
  deepStrictEqual([a?.baseUrl, a?.speaks], ['https://api.anthropic.com', ['anthropic']])
  deepStrictEqual([o?.baseUrl, o?.speaks], ['https://api.openai.com', ['responses', 'chat']])
  deepStrictEqual([p?.baseUrl, p?.speaks, p?.idle, p?.maxProcesses], [undefined, ['anthropic'], 600_000, 10])
  deepStrictEqual(o?.timeouts, { connect: 10_000, firstByte: 600_000, silence: 300_000 })
})

const WRONG: [name: string, json: unknown, path: string, says: RegExp][] = [
  ['a list instead of an object', [], 'the file', /must be an object/],
  ['an unknown setting', { prot: 1 }, 'prot', /did you mean "port"/],
  ['an unknown setting without a near name', { zzzzzzz: 1 }, 'zzzzzzz', /known: host, port/],
  ['a port as text', { port: '3456' }, 'port', /whole number from 0 to 65535/],
  ['a port too high', { port: 65_536 }, 'port', /65535/],
  ['a broken port', { port: 1.5 }, 'port', /whole/],
  ['a null host', { host: null }, 'host', /text/],
  ['backends as a list', { backends: [] }, 'backends', /object/],
  ['a backend name with a slash', { backends: { 'a/b': OPENAI } }, 'backends["a/b"]', /lower-case/],
  ['a backend name with a path', { backends: { '../x': OPENAI } }, 'backends["../x"]', /lower-case/],
  ['an upper-case backend name', { backends: { OpenAI: OPENAI } }, 'backends.OpenAI', /lower-case/],
  ['a backend called __proto__', JSON.parse('{"backends":{"__proto__":{"type":"openai"}}}'), 'backends.__proto__', /lower-case/],
  ['an unknown setting called __proto__', JSON.parse('{"__proto__":{}}'), '__proto__', /not a setting/],
  ['no type', { backends: { a: {} } }, 'backends.a.type', /one of anthropic, openai/],
  ['a wrong type', { backends: { a: { type: 'gpt' } } }, 'backends.a.type', /one of/],
  ['an unknown backend setting', { backends: { a: { ...OPENAI, baseURL: 'x' } } }, 'backends.a.baseURL', /did you mean "baseUrl"/],
  ['a base URL without a scheme', { backends: { a: { ...OPENAI, baseUrl: 'localhost' } } }, 'backends.a.baseUrl', /must be a URL/],
  ['a base URL of another scheme', { backends: { a: { ...OPENAI, baseUrl: 'file:///etc/passwd' } } }, 'backends.a.baseUrl', /http/],
  ['a base URL with a password', { backends: { a: { ...OPENAI, baseUrl: `http://u:${SECRET}@h/v1` } } }, 'backends.a.baseUrl', /keys/],
  ['a base URL with a query', { backends: { a: { ...OPENAI, baseUrl: 'http://h/v1?x=1' } } }, 'backends.a.baseUrl', /no \?/],
  ['keys as text', { backends: { a: { ...OPENAI, keys: SECRET } } }, 'backends.a.keys', /list/],
  ['a key with a line break', { backends: { a: { ...OPENAI, keys: ['x', `${SECRET}\nx: y`] } } }, 'backends.a.keys[1]', /paste it again/],
  ['a weight of zero', { backends: { a: { ...OPENAI, keys: [{ key: SECRET, weight: 0 }] } } }, 'backends.a.keys[0].weight', /number/],
  ['an unknown dialect', { backends: { a: { ...OPENAI, speaks: ['chat', 'klingon'] } } }, 'backends.a.speaks[1]', /one of anthropic, chat/],
  ['no dialect', { backends: { a: { ...OPENAI, speaks: [] } } }, 'backends.a.speaks', /at least one/],
  ['a timeout beyond what timers know', { backends: { a: { ...OPENAI, timeouts: { silence: 2 ** 31 } } } }, 'backends.a.timeouts.silence', /number/],
  ['a header that splits', { backends: { a: { ...OPENAI, headers: { 'x-a': 'b\r\nc: d' } } } }, 'backends.a.headers.x-a', /header/],
  ['a price without output', { backends: { a: { ...OPENAI, models: [{ id: 'm', price: { input: 1 } }] } } }, 'backends.a.models[0].price.output', /number/],
  ['a route to nowhere', { backends: { groq: OPENAI }, routes: [{ model: '*', to: ['grok'] }] }, 'routes[0].to[0]', /did you mean "groq"/],
  ['a route to constructor', { routes: [{ model: '*', to: ['constructor'] }] }, 'routes[0].to[0]', /no backend/],
  ['a route without an end', { routes: [{ model: '*', to: [] }] }, 'routes[0].to', /at least one/],
  ['a route with an empty model', { routes: [{ model: '*', to: ['echo:'] }] }, 'routes[0].to[0]', /after the colon/],
  ['two plans in one chain', { backends: { p: { type: 'claude-code' }, q: { type: 'claude-code' } }, routes: [{ model: '*', to: ['p', 'q'] }] }, 'routes[0].to[1]', /one claude-code/],
  ['the same plan twice', { backends: { p: { type: 'claude-code' } }, routes: [{ model: '*', to: ['p:opus', 'p:haiku'] }] }, 'routes[0].to[1]', /one claude-code/],
  ['an open host without a key', { host: '0.0.0.0' }, 'host', /DARIO_ACCESS_KEY/],
  ['a host that only looks like loopback', { host: '127.0.0.1.example.com' }, 'host', /other machines/],
  ['an access key without any', { accessKeys: ['k', { name: 'a' }] }, 'accessKeys[1]', /must have a "key" or a "hash"/],
  ['an access key hash that is none', { accessKeys: [{ name: 'a', hash: 'abc' }] }, 'accessKeys[0].hash', /SHA-256/],
]

for (const [name, json, path, says] of WRONG) {
  test(`config: ${name} is refused with its path`, () => {
    throws(() => parseConfig(json), (error: Error & { code: string; path: string }) => {
      strictEqual(error.code, 'config_invalid')
      strictEqual(error.path, path)
      match(error.message, says)
      doesNotMatch(error.message, new RegExp(SECRET))
      return true
    })
  })
}

const BASE_URLS = [
  ['http://localhost:4000/v1', 'http://localhost:4000'], ['http://localhost:4000/v1/', 'http://localhost:4000'],
  ['http://localhost:4000///', 'http://localhost:4000'], ['HTTPS://Example.com', 'https://example.com'],
  ['https://openrouter.ai/api/v1', 'https://openrouter.ai/api'], ['http://h/v1beta/openai/', 'http://h/v1beta/openai'],
  [' http://h/xv1 ', 'http://h/xv1'],
] as const
for (const [given, expected] of BASE_URLS) {
  test(`config: X10: the base URL ${given} is ${expected}`, () => {
    strictEqual(parseConfig({ backends: { a: { ...OPENAI, baseUrl: given } } }).config.backends['a']?.baseUrl, expected)
  })
}

test('config: a backend without an address has the one of its name, else of its type', () => {
  const { backends } = parseConfig({ backends: {
    groq: { type: 'openai', keys: ['gsk-1'] }, work: { type: 'openai' }, anthropic: { type: 'openai' }, constructor: { type: 'anthropic' }, plan: { type: 'claude-code' },
  } }).config
  deepStrictEqual(Object.entries(backends).map(([name, { baseUrl }]) => [name, baseUrl]), [
    ['groq', 'https://api.groq.com/openai'], ['work', 'https://api.openai.com'], ['anthropic', 'https://api.openai.com'],
    ['constructor', 'https://api.anthropic.com'], ['plan', undefined], ['echo', undefined],
  ])
  deepStrictEqual(backends['groq']?.speaks, ['chat'])
})

test('config: keys come as literals, from variables, from files and with weights', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dario-key-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'key'), 'from-file\n')
  const keys = ['literal', 'env:K', 'file:~/key', { key: 'env:K', weight: 2 }]
  const { config } = parseConfig({ backends: { a: { ...OPENAI, keys } } }, { K: ' from-env ', HOME: folder })
  deepStrictEqual(config.backends['a']?.keys, [
    { label: 'a#1', value: 'literal', weight: 1 }, { label: 'a#2', value: 'from-env', weight: 1 },
    { label: 'a#3', value: 'from-file', weight: 1 }, { label: 'a#4', value: 'from-env', weight: 2 },
  ])
})

test('config: a variable or file that is missing leaves only its key out, with a warning that names it', () => {
  const { config, warnings } = parseConfig({ backends: { a: { ...OPENAI, keys: ['env:GONE', 'file:/no/such', 'here'] } } }, {})
  deepStrictEqual(config.backends['a']?.keys.map(({ label }) => label), ['a#3'])
  match(warnings[0] ?? '', /^backends\.a\.keys\[0\]: GONE is not set/)
  match(warnings[1] ?? '', /^backends\.a\.keys\[1\]: \/no\/such cannot be read \(ENOENT\)/)
})

test('config: access keys are kept as hashes only', () => {
  const { config } = parseConfig({ accessKeys: [SECRET, { name: 'ci', key: 'env:CI', routes: ['fast'] }] }, { CI: 'two' })
  deepStrictEqual(config.accessKeys, [{ name: 'accessKeys[0]', hash: hashKey(SECRET) }, { name: 'ci', hash: hashKey('two'), routes: ['fast'] }])
  ok(!JSON.stringify(config).includes(SECRET))
})

test('config: Z4: another address is allowed with an access key', () => {
  strictEqual(parseConfig({ host: '0.0.0.0' }, { DARIO_ACCESS_KEY: 'k' }).config.host, '0.0.0.0')
  throws(() => parseConfig({ host: '0.0.0.0', accessKeys: ['env:GONE'] }, {}), /lets other machines in/)
})

for (const host of ['127.0.0.1', '127.9.9.9', '::1', '[::1]', 'localhost']) {
  test(`config: Z4: ${host} needs no access key`, () => strictEqual(parseConfig({ host }).config.host, host.replace(/[[\]]/g, '')))
}

test('config: flags beat the environment, which beats the file', () => {
  const json = { port: 1 }
  strictEqual(parseConfig(json, {}).config.port, 1)
  strictEqual(parseConfig(json, { DARIO_PORT: '2' }).config.port, 2)
  strictEqual(parseConfig(json, { DARIO_PORT: '2' }, { port: '3' }).config.port, 3)
})

test('config: W14: variables are trimmed, empty ones are unset, wrong ones are named', () => {
  strictEqual(parseConfig({}, { DARIO_PORT: ' 8080 ' }).config.port, 8080)
  strictEqual(parseConfig({}, { DARIO_PORT: ' ' }).config.port, 3456)
  for (const bad of ['8080 # comment', '1e3', '-1', '99999']) throws(() => parseConfig({}, { DARIO_PORT: bad }), /^DarioError: DARIO_PORT: must be/)
  throws(() => parseConfig({}, {}, { port: 'x' }), /--port: must be/)
})

test('config: a model or alias called like a member of Object finds nothing', () => {
  const { config } = parseConfig({ aliases: { fast: 'echo:x' } })
  strictEqual(config.aliases['constructor'], undefined)
  strictEqual(config.backends['toString'], undefined)
})

test('config: an access key for a route that is not there is warned of', () => {
  const accessKeys = [{ name: 'ci', key: SECRET, routes: ['fast', 'slow'] }]
  const routes = [{ model: 'fast', to: ['echo'] }]
  deepStrictEqual(parseConfig({ accessKeys, routes }).warnings, ['accessKeys: "ci" may use a route "slow", and there is none'])
  deepStrictEqual(parseConfig({ accessKeys, routes: [...routes, { model: 'slow', to: ['echo'] }] }).warnings, [])
})

test('config: M8: an alias of an alias is warned of', () => {
  match(parseConfig({ aliases: { a: 'b', b: 'c' } }).warnings[0] ?? '', /^aliases\.a: "b" is an alias too/)
})

test('Z6: what is redacted are keys, and what is as long as one among headers and the environment of the plan', () => {
  const long = 'a-value-of-16-bytes'
  const { config } = parseConfig({ backends: {
    o: { ...OPENAI, keys: ['sk-1'], headers: { 'x-team': 'blue', 'x-token': `${long}-h` } },
    p: { type: 'claude-code', env: { TOKEN: `${long}-e`, MODE: 'fast' } },
  } })
  deepStrictEqual(listSecrets(config).sort(), [`${long}-e`, `${long}-h`, 'sk-1'])
})
