import { deepStrictEqual, doesNotMatch, match, strictEqual } from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createHome, runDario, startDario } from './helpers/command.ts'

test('keys: a new key is shown once, kept as a hash, and opens the door under its name', async (t) => {
  const home = createHome(t)
  const { stdout, stderr, code } = await runDario(t, home, ['key', 'add', 'laptop'])
  strictEqual(code, 0)
  const key = stdout.trim()
  match(key, /^dario-[\w-]{32}$/)
  match(stderr, /cannot be shown again/)
  doesNotMatch(readFileSync(join(home, '.dario', 'config.json'), 'utf8'), new RegExp(key))
  const list = await runDario(t, home, ['key', 'list'])
  match(list.stdout, /laptop +all/)
  doesNotMatch(list.stdout + list.stderr, new RegExp(key))
  const dario = startDario(t, home, ['--port', '0'])
  const [, url] = await dario.says(/ANTHROPIC_BASE_URL=(http:\S+)/)
  const ask = (headers: Record<string, string>): Promise<Response> => fetch(`${url}/v1/messages`, {
    method: 'POST', headers, body: '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' })
  strictEqual((await ask({})).status, 401)
  strictEqual((await ask({ 'x-api-key': key })).status, 200)
  dario.child.kill('SIGTERM')
  const { stderr: log } = await dario.finished
  match(log, /"accessKey":"laptop"/)
  doesNotMatch(log, new RegExp(key))
  const usage = await runDario(t, home, ['usage', '--by', 'key', '--csv'])
  match(usage.stdout, /\nlaptop,1,/)
})

test('keys: one name, one key; a removed one is gone; routes must exist', async (t) => {
  const home = createHome(t)
  await runDario(t, home, ['route', 'add', 'fast', 'echo'])
  const added = JSON.parse((await runDario(t, home, ['key', 'add', 'ci', '--route', 'fast', '--json'])).stdout) as Record<string, unknown>
  deepStrictEqual([added['name'], added['routes']], ['ci', ['fast']])
  match((await runDario(t, home, ['key', 'add', 'ci'])).stderr, /a key is called ci already; first: dario key remove ci/)
  match((await runDario(t, home, ['key', 'add', 'x', '--route', 'fats'])).stderr, /no route for "fats"/)
  match((await runDario(t, home, ['key', 'add', 'a b'])).stderr, /cannot be a name/)
  match((await runDario(t, home, ['key', 'remove', 'ic'])).stderr, /no key is called "ic"/)
  strictEqual((await runDario(t, home, ['key', 'remove', 'ci'])).code, 0)
  match((await runDario(t, home, ['key', 'list'])).stdout, /no access keys/)
})

test('keys: what the configuration warns of is told once, however many routes are named', async (t) => {
  const home = createHome(t)
  for (const model of ['a', 'b']) await runDario(t, home, ['route', 'add', model, 'echo'])
  const file = join(home, '.dario', 'config.json')
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), budgets: [{ scope: 'key:nobody', per: 'day', tokens: 1 }] }))
  strictEqual((await runDario(t, home, ['key', 'add', 'ci', '--route', 'a,b'])).stderr.match(/warning:/g)?.length, 1)
})

test('keys: one without a name is removed by the one that the list gives it', async (t) => {
  const home = createHome(t)
  const file = join(home, 'config.json')
  writeFileSync(file, '{ "accessKeys": ["the-access-key-1", { "name": "x", "key": "the-access-key-2" }] }', { mode: 0o600 })
  match((await runDario(t, home, ['key', 'list', '--config', file])).stdout, /^accessKeys\[0\] /m)
  strictEqual((await runDario(t, home, ['key', 'remove', 'accessKeys[0]', '--config', file])).code, 0)
  deepStrictEqual(Object.keys(JSON.parse(readFileSync(file, 'utf8')) as object), ['accessKeys'])
  match((await runDario(t, home, ['key', 'list', '--config', file])).stdout, /^NAME +ROUTES\nx +all\n$/)
})
