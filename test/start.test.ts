/**
 * What dario loads when it starts, and that what it loads later is there when it is needed.
 * @module
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { buildDario } from './helpers/built.ts'
import { createHome, startDario } from './helpers/command.ts'
import type { Started } from './helpers/command.ts'
import { startPlanProxy } from './helpers/plan-proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

const BUILT = buildDario()
const MESSAGE = {
  id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-x', content: [{ type: 'text', text: 'hi' }],
  stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 },
}

async function start(context: TestContext, backends: object, built: string = BUILT): Promise<{ url: string; home: string; dario: Started }> {
  const home = createHome(context)
  writeFileSync(join(home, 'config.json'), JSON.stringify({ backends }), { mode: 0o600 })
  const dario = startDario(context, home, ['proxy', '--port', '0', '--config', join(home, 'config.json')],
    { built, environment: { NODE_V8_COVERAGE: join(home, 'coverage') } })
  const [, url = ''] = await dario.says(/listens on (http:\S+)/)
  return { url, home, dario }
}

async function ask(url: string, path: string, body: object): Promise<{ status: number; text: string }> {
  const response = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return { status: response.status, text: await response.text() }
}

/** Ends dario; Node then writes down which files it had loaded. */
async function readLoaded(home: string, dario: Started): Promise<string[]> {
  dario.child.kill('SIGTERM')
  strictEqual((await dario.finished).code, 0)
  const [name = ''] = readdirSync(join(home, 'coverage'))
  const { result } = JSON.parse(readFileSync(join(home, 'coverage', name), 'utf8')) as { result: { url: string }[] }
  return result.flatMap(({ url }) => url.split('/dist/')[1] ?? []).sort()
}

test('start: a relay loads what it needs of its own dialect, and nothing of translation, the plan, the echo, pages or other commands', async (context) => {
  const upstream = await startUpstream(context, (_request, response) => sendJson(response, 200, MESSAGE))
  const { url, home, dario } = await start(context, { vendor: { type: 'anthropic', baseUrl: upstream.url, keys: ['k'] } })
  match((await ask(url, '/v1/messages', { model: 'claude-x', max_tokens: 9, messages: [{ role: 'user', content: 'hello' }] })).text, /"hi"/)
  const loaded = await readLoaded(home, dario)
  ok(loaded.includes('dialects/anthropic/relay.js'))
  const late = new RegExp('^(?:plan|shim)/|^dialects/(?:chat|responses)/|^dialects/.*(?:dialect|encode|decode|wire|schema)|^backends/(?:echo|probe|model-list)'
    + '|^config/discovery|^survey|^observe/(?:history|capture|otlp|dashboard)|^exchange/(?:translat.*|.*-store)|^hub/(?:fold|repair|seal)|^server/models')
  deepStrictEqual(loaded.filter((name) => late.test(name)), [])
  deepStrictEqual(loaded.filter((name) => name.startsWith('cli/')).map((name) => name.slice(4, -3)), ['arguments', 'command', 'help', 'main', 'output', 'serve'])
  ok(loaded.length <= 78, `${loaded.length} files are loaded; each costs half a millisecond of processor time at every start`)
})

test('start: first requests in all dialects at once find what they need', async (context) => {
  const { url } = await start(context, { echo: { type: 'echo' } })
  const messages = [{ role: 'user', content: 'hello' }]
  const answers = await Promise.all([
    ask(url, '/v1/chat/completions', { model: 'echo', messages }),
    ask(url, '/v1/responses', { model: 'echo', input: 'hello' }),
    ask(url, '/v1/messages', { model: 'echo', max_tokens: 99, messages }),
    ask(url, '/v1/messages/count_tokens', { model: 'echo', messages }),
    ask(url, '/v1/chat/completions', { model: 'echo', messages, stream: true }),
  ])
  deepStrictEqual(answers.map(({ status }) => status), [200, 200, 200, 200, 200])
  for (const { text } of answers) match(text, /hello|input_tokens/)
})

test('start: a first request that is refused at the door is refused in the words of its dialect', async (context) => {
  const { url } = await start(context, { echo: { type: 'echo' } })
  const { status, text } = await ask(url, '/v1/responses/nothing/here?x', { broken: true })
  strictEqual(status, 404)
  match(text, /"error"/)
  const wrong = await fetch(`${url}/v1/messages`)
  strictEqual(wrong.status, 405)
  match(await wrong.text(), /^\{"type":"error"/)
})

test('start: a part that cannot be loaded is an error answer, and dario goes on', async (context) => {
  const broken = createHome(context)
  cpSync(BUILT, broken, { recursive: true })
  for (const name of ['exchange/translation', 'observe/dashboard', 'server/models', 'dialects/responses/dialect']) rmSync(join(broken, 'dist', `${name}.js`))
  const upstream = await startUpstream(context, (_request, response) => sendJson(response, 200, MESSAGE))
  const { url } = await start(context, { vendor: { type: 'anthropic', baseUrl: upstream.url, keys: ['k'] } }, broken)
  const messages = [{ role: 'user', content: 'hello' }]
  const translated = await ask(url, '/v1/chat/completions', { model: 'claude-x', messages })
  strictEqual(translated.status, 500)
  match(translated.text, /^\{"error"/)
  strictEqual(translated.text.includes('translation'), false, 'what is missing is for the log alone')
  for (const path of ['/metrics', '/v1/models']) strictEqual((await fetch(url + path)).status, 500)
  // Its own words for an error are what is missing here.
  await rejects(ask(url, '/v1/responses', { model: 'claude-x', input: 'hello' }))
  strictEqual((await ask(url, '/v1/messages', { model: 'claude-x', max_tokens: 9, messages })).status, 200)
})

test('start: model lists that cannot be read are no reason to stop, and neither is a backend that cannot be loaded', async (context) => {
  const broken = createHome(context)
  cpSync(BUILT, broken, { recursive: true })
  for (const name of ['backends/echo', 'backends/model-list']) rmSync(join(broken, 'dist', `${name}.js`))
  const reply = { id: 'c', object: 'chat.completion', model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1 } }
  const upstream = await startUpstream(context, (_request, response) => sendJson(response, 200, reply))
  const { url, dario } = await start(context, { vendor: { type: 'openai', baseUrl: upstream.url, keys: ['k'] } }, broken)
  const messages = [{ role: 'user', content: 'hello' }]
  // A price is looked for in the backend's list when the first answer is over.
  for (let count = 0; count < 3; count++) strictEqual((await ask(url, '/v1/chat/completions', { model: 'vendor/m', messages })).status, 200)
  strictEqual((await ask(url, '/v1/messages', { model: 'echo', max_tokens: 9, messages })).status, 500)
  dario.child.kill('SIGTERM')
  strictEqual((await dario.finished).code, 0)
})

test('start: a plan that was closed before its first request starts no program', async (context) => {
  const { proxy, fake } = await startPlanProxy(context)
  await proxy.close(0)
  const response = await proxy.fetch(new Request('http://dario/v1/messages', {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'sonnet', max_tokens: 9, messages: [{ role: 'user', content: 'hello' }] }),
  }))
  strictEqual(response.status, 529)
  match(await response.text(), /closing/)
  deepStrictEqual(fake.records('start'), [])
})
