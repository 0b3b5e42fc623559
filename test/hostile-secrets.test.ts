import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { DIALECTS, ask } from './helpers/answers.ts'
import { createHome, runDario, startDario } from './helpers/command.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

const KEYS = { literal: 'sk-literal-SECRETSECRET', variable: 'plain-variable-SECRETSECRET', file: 'gsk_file-SECRETSECRET', client: 'client-SECRETSECRET', cookie: 'cookie-SECRETSECRET' }

const listFiles = (folder: string): string[] => readdirSync(folder, { withFileTypes: true, recursive: true })
  .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))

test('hostile: Z6: an upstream that says our keys back and breaks in every way gets none of them into output, answers, logs or files', async (context) => {
  const home = createHome(context)
  const upstream = await startUpstream(context, (request, response) => {
    const key = String(request.headers.authorization ?? request.headers['x-api-key'])
    if (request.method === 'GET') return sendJson(response, 500, { error: { message: `no models for ${key}` } }, { 'x-debug': key })
    const asked = JSON.parse(request.body.toString()) as { model: string }
    if (asked.model === 'cut') return void response.destroy()
    if (asked.model === 'page') return void response.writeHead(502, { 'content-type': 'text/html' }).end(`<title>${key}</title>`)
    sendJson(response, Number(asked.model), { error: { type: key, code: key, param: key, message: `Incorrect API key provided: ${key}` } }, { 'x-request-id': 'r' })
  })
  mkdirSync(join(home, '.dario'), { mode: 0o755 })
  const config = join(home, '.dario', 'config.json')
  writeFileSync(join(home, 'key'), `${KEYS.file}\n`, { mode: 0o600 })
  const keys = [KEYS.literal, 'env:MY_KEY', `file:${join(home, 'key')}`]
  const host = { baseUrl: upstream.url, keys }
  writeFileSync(config, JSON.stringify({ backends: {
    a: { type: 'anthropic', ...host }, c: { type: 'openai', ...host, speaks: ['chat'] }, r: { type: 'openai', ...host, speaks: ['responses'] },
    nobody: { type: 'openai', baseUrl: 'http://127.0.0.1:9', keys },
  } }), { mode: 0o666 })
  const environment = { MY_KEY: KEYS.variable, HTTPS_PROXY: `http://user:${KEYS.cookie}@127.0.0.1:9` }
  const dario = startDario(context, home, ['--port', '0', '--log-level', 'debug', '--log-file', join(home, 'log')], { environment })
  const [, url = ''] = await dario.says(/(http:\/\/localhost:\d+)\n/)
  strictEqual(statSync(config).mode & 0o777, 0o600)
  strictEqual(statSync(join(home, '.dario')).mode & 0o777, 0o700)
  const said: string[] = []
  const headers = { 'x-api-key': KEYS.client, authorization: `Bearer ${KEYS.client}`, cookie: KEYS.cookie }
  for (const dialect of DIALECTS) {
    for (const model of ['a:400', 'c:401', 'r:401', 'c:403', 'c:429', 'r:500', 'a:529', 'c:cut', 'a:page', 'nobody:x']) {
      const response = await ask(url, dialect, model, { stream: model.startsWith('c') }, { headers })
      said.push(JSON.stringify([...response.headers]), await response.text())
      ok(response.status >= 400, `${model}: ${response.status}`)
    }
  }
  for (const path of ['/v1/models', '/health', '/metrics', '/', `/v1/nothing?key=${KEYS.client}`]) said.push(await (await fetch(url + path, { headers })).text())
  const command = readFileSync(`/proc/${dario.child.pid}/cmdline`, 'utf8')
  dario.child.kill('SIGTERM')
  const { stdout, stderr } = await dario.finished
  match(stderr, /open to others/)
  said.push(stdout, stderr, command)
  for (const args of [['doctor'], ['doctor', '--json'], ['backend', 'list', '--json'], ['backend', 'test', 'a'], ['backend', 'test', 'c'], ['route', 'list'], ['config', 'check'], ['usage'], ['env']]) {
    const ended = await runDario(context, home, args, { environment })
    said.push(ended.stdout, ended.stderr)
  }
  for (const file of listFiles(home)) {
    if (file !== config && file !== join(home, 'key')) said.push(`${file}: ${readFileSync(file, 'utf8')}`)
    strictEqual(statSync(file).mode & 0o077, 0, `${file} is open to others`)
  }
  ok(said.length > 70)
  deepStrictEqual(said.filter((text) => text.includes('SECRETSECRET')).map((text) => text.slice(0, 1_000)), [])
  ok(upstream.received.every((request) => !JSON.stringify(request.headers).includes(KEYS.client) && !JSON.stringify(request.headers).includes(KEYS.cookie)))
})
