/**
 * The shim in real child processes, against a stand-in upstream; nothing of ours listens in any of them.
 * @module
 */
import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { isNative } from '../src/cli/shim.ts'
import { buildDario } from './helpers/built.ts'
import { createHome, runDario } from './helpers/command.ts'
import type { Finished } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

const BUILT = buildDario()
const COMPLETION = { id: 'c', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'from upstream' }, finish_reason: 'stop' }] }

/** What every script may use; `listening` would be true if anything in the process did. */
const PRELUDE = `
import { request } from 'node:https'
import https from 'node:https'
import http from 'node:http'
const chat = (more = {}) => JSON.stringify({ model: 'echo:m', messages: [{ role: 'user', content: 'one two three' }], ...more })
const listening = () => process.getActiveResourcesInfo().some((name) => /Server/.test(name))
const post = { method: 'POST', headers: { 'content-type': 'application/json' } }
const ask = (send, options, body) => new Promise((resolve, reject) => {
  const call = send(options, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (part) => { text += part }).on('end', () => resolve({ status: answer.statusCode, text }))
  })
  call.on('error', reject)
  call.end(body)
})
const say = (value) => console.log(JSON.stringify(value))
`

function runScript(t: TestContext, script: string, { config = {}, args = [], environment = {} }: { config?: unknown; args?: string[]; environment?: Record<string, string> } = {}): Promise<Finished & { said: unknown; home: string }> {
  const home = createHome(t)
  mkdirSync(join(home, '.dario'), { mode: 0o700 })
  writeFileSync(join(home, '.dario', 'config.json'), typeof config === 'string' ? config : JSON.stringify(config), { mode: 0o600 })
  writeFileSync(join(home, 'tool.mjs'), PRELUDE + script)
  const done = runDario(t, home, ['shim', ...args, '--', process.execPath, join(home, 'tool.mjs')], { built: BUILT, environment })
  return done.then((finished) => ({ ...finished, home, said: finished.stdout === '' ? undefined : JSON.parse(finished.stdout) as unknown }))
}

const FETCH = "const answer = await fetch('https://api.openai.com/v1/chat/completions', { ...post, body: chat() })\n"

test('shim: fetch is answered in the process, and nothing listens', async (t) => {
  const { said, stderr } = await runScript(t, `${FETCH}say([answer.status, answer.url, answer.headers.get('dario-backend'), (await answer.json()).choices[0].message.content, listening()])`)
  deepStrictEqual(said, [200, 'https://api.openai.com/v1/chat/completions', 'echo', 'one two three', false], stderr)
  strictEqual(stderr, '')
})

test('shim: a stream arrives in pieces', async (t) => {
  const { said } = await runScript(t, `
const answer = await fetch(new Request('https://api.openai.com/v1/chat/completions', { ...post, body: chat({ stream: true }) }))
let text = ''
for await (const part of answer.body) text += Buffer.from(part)
say([answer.headers.get('content-type'), text.match(/^data: /gm).length > 3, text.endsWith('data: [DONE]\\n\\n')])`)
  deepStrictEqual(said, ['text/event-stream; charset=utf-8', true, true])
})

test('shim: https.request, its named import, get and a keep-alive agent are answered', async (t) => {
  const { said, stderr } = await runScript(t, `
const options = { host: 'api.openai.com', path: '/v1/chat/completions', agent: new https.Agent({ keepAlive: true }), timeout: 5000, ...post }
const answers = [await ask(request, options, chat()), await ask(https.request, options, chat())]
answers.push(await ask((o, done) => request('https://api.openai.com/v1/chat/completions', post, done), undefined, chat()))
answers.push(await ask((o, done) => https.get(new URL('https://api.openai.com/v1/models'), done)))
say(answers.map(({ status, text }) => [status, /one two three|"echo"/.test(text)]))`)
  deepStrictEqual(said, Array.from({ length: 4 }, () => [200, true]), stderr)
})

test('shim: a request made by its class is answered, also of a subclass', async (t) => {
  const { said, stderr } = await runScript(t, `
class Mine extends http.ClientRequest {}
const answers = []
for (const Made of [http.ClientRequest, Mine]) {
  const send = (options, done) => new Made(options, done)
  const call = { agent: https.globalAgent, host: 'api.openai.com', path: '/v1/chat/completions', ...post }
  answers.push(await ask(send, call, chat()), new Made({ host: '127.0.0.1', port: 1 }).on('error', () => {}) instanceof http.ClientRequest)
}
say(answers.map((answer) => answer.status ?? answer))`)
  deepStrictEqual(said, [200, true, 200, true], stderr)
})

test('shim: what clients do to sockets does no harm', async (t) => {
  const { said, stderr } = await runScript(t, `
const call = request({ host: 'api.openai.com', path: '/v1/chat/completions', ...post })
call.setTimeout(60_000, () => call.destroy(new Error('late')))
call.setNoDelay(true)
call.setSocketKeepAlive(true, 1000)
const socket = await new Promise((resolve) => { call.once('socket', resolve); call.flushHeaders() })
const seen = [socket.encrypted, socket.connecting, typeof socket.ref().unref().setKeepAlive().setNoDelay().setTimeout(0).address()]
const status = await new Promise((resolve, reject) => { call.once('response', (answer) => { answer.resume(); resolve(answer.statusCode) }).once('error', reject).end(chat()) })
say([...seen, status])`)
  deepStrictEqual(said, [true, false, 'object', 200], stderr)
})

test('shim: an idle socket times out as a real one does', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { said, stderr } = await runScript(t, `
const call = request({ host: 'api.openai.com', path: '/v1/chat/completions', timeout: 100, ...post })
call.once('timeout', () => call.destroy(new Error('late'))).once('error', (error) => say(error.message)).end(chat({ model: 'slow:m' }))`,
  { config: { backends: { slow: { type: 'openai', baseUrl: upstream.url } } } })
  strictEqual(said, 'late', stderr)
})

test('shim: an abort ends the request at the upstream', async (t) => {
  let closed: () => void = () => {}
  const gone = new Promise<void>((resolve) => { closed = resolve })
  const upstream = await startUpstream(t, (_, response) => {
    response.on('close', closed)
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
  })
  const { said, stderr } = await runScript(t, `
const controller = new AbortController()
const answer = await fetch('https://api.openai.com/v1/chat/completions', { ...post, body: chat({ model: 'slow:m', stream: true }), signal: controller.signal })
const reader = answer.body.getReader()
await reader.read()
controller.abort()
say(await reader.read().then(() => 'read', (error) => error.name))`, { config: { backends: { slow: { type: 'openai', baseUrl: upstream.url } } } })
  strictEqual(said, 'AbortError', stderr)
  await withDeadline(gone, 5_000, 'the upstream seeing the abort')
})

test('shim: an upstream that answers slowly read does not fill the memory', async (t) => {
  let written = 0
  const upstream = await startUpstream(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const piece = `data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(60_000)}"}}]}\n\n`
    function more(): void {
      while (written < 200_000_000 && response.writable && response.write(piece)) written += piece.length
    }
    response.on('drain', more)
    more()
  })
  const { said, stderr } = await runScript(t, `
const call = request({ host: 'api.openai.com', path: '/v1/chat/completions', ...post }, (answer) => {
  answer.once('data', () => { answer.pause(); setTimeout(() => { call.destroy(); say('stopped') }, 1000) })
})
call.on('error', () => {}).end(chat({ model: 'slow:m', stream: true }))`, { config: { backends: { slow: { type: 'openai', baseUrl: upstream.url } } } })
  strictEqual(said, 'stopped', stderr)
  ok(written < 60_000_000, `${written} bytes were taken`)
})

test('shim: an error of the proxy is an error of the API', async (t) => {
  const { said } = await runScript(t, `
const answer = await fetch('https://api.anthropic.com/v1/messages', { ...post, body: '{' })
say([answer.status, (await answer.json()).type])`)
  deepStrictEqual(said, [400, 'error'])
})

test('shim: the requests of the proxy itself go out, also to a host on the list', async (t) => {
  const upstream = await startUpstream(t, ({ headers }, response) => sendJson(response, headers.authorization === 'Bearer k' ? 200 : 401, COMPLETION))
  const host = new URL(upstream.url).host
  const { said, stderr } = await runScript(t, `
const answer = await fetch('${upstream.url}/v1/chat/completions', { ...post, body: chat({ model: 'up:m' }) })
say([answer.status, answer.headers.get('dario-backend'), (await answer.json()).choices[0].message.content])`,
  { config: { backends: { up: { type: 'openai', baseUrl: upstream.url, keys: ['k'] } } }, args: ['--hosts', host] })
  deepStrictEqual(said, [200, 'up', 'from upstream'], stderr)
})

test('shim: other hosts and other paths are left alone', async (t) => {
  const upstream = await startUpstream(t, ({ url }, response) => sendJson(response, 200, { url }))
  const { said, stderr } = await runScript(t, `
const answers = [await fetch('${upstream.url}/api/oauth'), await fetch('${upstream.url.replace('127.0.0.1', 'localhost')}/v1/models')]
say([...await Promise.all(answers.map(async (answer) => (await answer.json()).url)), JSON.parse((await ask(http.get, '${upstream.url}/login')).text).url])`,
  { args: ['--hosts', new URL(upstream.url).host] })
  deepStrictEqual(said, ['/api/oauth', '/v1/models', '/login'], stderr)
})

test('shim: calls that are not for it do what they did, the wrong ones too', async (t) => {
  const { said, stderr } = await runScript(t, `
const { uninstall } = await import('${join(BUILT, 'dist/shim/install.js')}')
const nowhere = { host: '127.0.0.1', port: 1 }
const calls = [
  () => fetch(null), () => fetch({ toString() { throw new Error('mine') } }), () => new http.ClientRequest('http://127.0.0.1:1', null),
  () => http.request({ ...nowhere, headers: null }), () => request({ host: 5 }), () => http.get(null),
]
const try_ = async (call) => {
  try {
    const made = call()
    return made instanceof Promise ? await made.catch((error) => 'rejected: ' + error.message) : (made.on('error', () => {}), 'made')
  } catch (error) {
    return 'threw: ' + error.message
  }
}
const during = await Promise.all(calls.map(try_))
uninstall()
say([during, await Promise.all(calls.map(try_))])`)
  const [during, without] = said as string[][]
  deepStrictEqual(during, without, stderr)
  strictEqual(without?.length, 6)
})

test('shim: without a proxy the tool runs untouched after one line', async (t) => {
  const upstream = await startUpstream(t, ({ headers }, response) => sendJson(response, 200, { host: headers.host }))
  const { said, stderr } = await runScript(t, `
const a = await fetch('${upstream.url}/v1/models')
const b = await ask(http.get, '${upstream.url}/v1/models')
say([(await a.json()).host, JSON.parse(b.text).host])`,
  { config: {}, args: ['--hosts', new URL(upstream.url).host], environment: { NODE_OPTIONS: `--require ${breakConfig(t)}` } })
  const { host } = new URL(upstream.url)
  deepStrictEqual(said, [host, host], stderr)
  match(stderr, /^dario: no proxy in this process, so requests go to their own hosts: .*not valid JSON.*\n$/)
})

/** Breaks the configuration after `dario shim` has read it. */
function breakConfig(t: TestContext): string {
  const file = join(createHome(t), 'break.cjs')
  writeFileSync(file, "if (process.env.DARIO_SHIM_HOSTS) require('node:fs').writeFileSync(process.env.DARIO_CONFIG, '{ broken')\n")
  return file
}

test('shim: a preload that cannot load is one line, and the tool runs', async (t) => {
  const home = createHome(t)
  copyFileSync(join(BUILT, 'dist/shim/preload.cjs'), join(home, 'preload.cjs'))
  const child = spawn(process.execPath, ['-e', 'console.log("ran")'], { env: { PATH: process.env['PATH'] ?? '', NODE_OPTIONS: `--require ${join(home, 'preload.cjs')}` } })
  let [out, err] = ['', '']
  child.stdout.on('data', (part: Buffer) => { out += part.toString() })
  child.stderr.on('data', (part: Buffer) => { err += part.toString() })
  const code = await withDeadline(new Promise((resolve) => child.once('close', resolve)), 10_000, 'the child')
  deepStrictEqual([code, out], [0, 'ran\n'])
  match(err, /^dario: the shim is off in this process: Cannot find module/)
})

test('shim: undici is met by whatever name a program loads it', async (t) => {
  const { said, stderr } = await runScript(t, `
const { mkdirSync, writeFileSync } = await import('node:fs')
const { createRequire } = await import('node:module')
const source = 'exports.Agent = class { constructor(options) { this.options = options } dispatch(_, handler) { return handler(typeof this.options?.connect) } }'
const seen = []
for (const name of ['undici', './node_modules/undici', './node_modules/undici/index.js']) {
  const folder = new URL(seen.length + '/', import.meta.url)
  mkdirSync(new URL('node_modules/undici', folder), { recursive: true })
  writeFileSync(new URL('node_modules/undici/index.js', folder), source)
  const { Agent } = createRequire(new URL('tool.js', folder))(name)
  const ask = (origin) => new Agent().dispatch({ origin, path: '/v1/models' }, (connect) => connect)
  seen.push([ask('https://api.openai.com'), ask('https://example.com')])
}
say(seen)`)
  deepStrictEqual(said, Array.from({ length: 3 }, () => ['function', 'undefined']), stderr)
})

test('shim: a file that is only called undici is left alone', async (t) => {
  const { said, stderr } = await runScript(t, `
const { writeFileSync } = await import('node:fs')
const { createRequire } = await import('node:module')
writeFileSync(new URL('undici.js', import.meta.url), 'exports.Agent = () => 7')
say([createRequire(import.meta.url)('./undici').Agent()])`)
  deepStrictEqual(said, [7], stderr)
})

test('shim: workers and child Node processes are included', async (t) => {
  const { said, stderr } = await runScript(t, `
import { Worker } from 'node:worker_threads'
import { execFileSync } from 'node:child_process'
const code = "fetch('https://api.openai.com/v1/models').then(async (a) => OUT((await a.json()).data[0].id))"
const worker = await new Promise((resolve, reject) => new Worker(code.replace('OUT', "require('node:worker_threads').parentPort.postMessage"), { eval: true }).once('message', resolve).once('error', reject))
say([worker, execFileSync(process.execPath, ['-e', code.replace('OUT', 'console.log')]).toString().trim()])`)
  deepStrictEqual(said, ['echo', 'echo'], stderr)
})

test('shim: a tool that is set up for the port needs no port', async (t) => {
  const { said } = await runScript(t, `
const answer = await fetch('http://localhost:3456/v1/chat/completions', { ...post, body: chat() })
say([answer.status, process.env.OPENAI_BASE_URL ?? null, process.env.OPENAI_API_KEY])`, { environment: { OPENAI_BASE_URL: 'http://localhost:3456/v1' } })
  deepStrictEqual(said, [200, null, 'dario'])
})

test('shim: access keys are for the door, which this process does not pass', async (t) => {
  const { said } = await runScript(t, `${FETCH}say(answer.status)`, { config: { accessKeys: [{ name: 'a', hash: 'a'.repeat(64) }] } })
  strictEqual(said, 200)
})

test('shim: options of the user stay, DARIO_SHIM_LOG says that it is there, the exit code is the tool\'s', async (t) => {
  const { code, stderr, said } = await runScript(t, 'say(process.execArgv.length + process.env.NODE_OPTIONS)\nprocess.exitCode = 5', {
    environment: { DARIO_SHIM_LOG: '1', NODE_OPTIONS: '--no-deprecation' } })
  strictEqual(code, 5)
  match(String(said), /^0--no-deprecation --require ".*preload\.cjs"$/)
  match(stderr, /^dario: shim in process \d+ for api\.anthropic\.com, api\.openai\.com, localhost:3456, 127\.0\.0\.1:3456\n$/)
})

test('shim: install and uninstall in one\'s own process', async (t) => {
  const { said, stderr } = await runScript(t, `
const { createProxy } = await import('${join(BUILT, 'dist/index.js')}')
const { install, uninstall } = await import('${join(BUILT, 'dist/shim/install.js')}')
uninstall()
const before = [globalThis.fetch, https.request, http.get]
const proxy = createProxy()
install({ proxy, hosts: ['models.example'] })
${FETCH.replace('api.openai.com', 'models.example')}
const plain = await ask(request, { host: 'models.example', path: '/v1/models' })
const kept = globalThis.fetch
uninstall()
uninstall()
await proxy.close()
const late = await kept('https://models.example/v1/models').then(() => 'answered', (error) => error.message)
say([answer.status, plain.status, [globalThis.fetch, https.request, http.get].every((one, index) => one === before[index]), late])`)
  deepStrictEqual(said, [200, 200, true, 'fetch failed'], stderr)
})

test('shim: native binaries are recognised, also behind the scripts of npm', (t) => {
  const home = createHome(t)
  const put = (name: string, content: string | Buffer): string => (writeFileSync(join(home, name), content, { mode: 0o755 }), join(home, name))
  const environment = { PATH: `${home}:${process.env['PATH']}` }
  for (const magic of ['7f454c46', 'cffaedfe', 'feedfacf', 'cafebabe', '4d5a9000']) {
    strictEqual(isNative(put('tool', Buffer.from(`${magic}0000`, 'hex')), environment), true)
    strictEqual(isNative('tool', environment), true)
  }
  put('cli.js', '#!/usr/bin/env node\n')
  strictEqual(isNative('cli.js', environment), false)
  strictEqual(isNative('node', environment), false)
  strictEqual(isNative('no-such-command', environment), false)
  const script = (target: string): string => `#!/bin/sh\nbasedir=$(dirname "$(echo "$0")")\nexec "$basedir/${target}"   "$@"\n`
  strictEqual(isNative(put('shell', script('tool')), environment), true)
  strictEqual(isNative(put('shell', `#!/bin/sh\nexec node  "$basedir/cli.js" "$@"\n`), environment), false)
  strictEqual(isNative(put('t.cmd', '@ECHO off\r\n"%dp0%\\tool"   %*\r\n'), environment), true)
})

test('shim: a program that cannot be read is not judged', async (t) => {
  const home = createHome(t)
  const socket = createServer().listen(join(home, 'socket')) // to open it is ENXIO, whoever asks
  await once(socket, 'listening')
  t.after(() => socket.close())
  strictEqual(isNative(join(home, 'socket'), { PATH: home }), false)
})

test('shim: a native tool is refused with the way that works', async (t) => {
  const home = createHome(t)
  writeFileSync(join(home, 'thing'), Buffer.from('7f454c46', 'hex'), { mode: 0o755 })
  for (const command of [join(home, 'thing'), 'codex']) {
    const { code, stderr, stdout } = await runDario(t, home, ['shim', '--', command], { built: BUILT })
    deepStrictEqual([code, stdout], [2, ''])
    match(stderr, /is a native binary, which takes no shim; this works for it: dario run -- /)
  }
})

test('shim: what was used is in the ledger, also of a program that exits at once', async (t) => {
  for (const end of ['', 'process.exit(0)']) {
    const { home, stderr } = await runScript(t, `${FETCH}await answer.text()\n${end}`)
    const folder = join(home, '.dario', 'usage')
    const rows = readdirSync(folder).filter((name) => name.endsWith('.jsonl')).flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    deepStrictEqual(rows.map((row) => (JSON.parse(row) as { backend: string; status: number }).backend), ['echo'], stderr)
  }
})

test('shim: the tool\'s own key does not reach the upstream', async (t) => {
  const seen: string[] = []
  const upstream = await startUpstream(t, ({ headers }, response) => (seen.push(JSON.stringify(headers)), sendJson(response, 200, COMPLETION)))
  const { code, stderr } = await runScript(t, `
await fetch('https://api.openai.com/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer sk-of-the-tool' }, body: chat({ model: 'up:m' }) })`,
  { config: { backends: { up: { type: 'openai', baseUrl: upstream.url, keys: ['k'] } } } })
  strictEqual(code, 0, stderr)
  doesNotMatch(seen.join(), /sk-of-the-tool/)
  match(seen.join(), /Bearer k/)
})

test('shim: the process ends when the tool has ended', async (t) => {
  const server = createServer((_, response) => response.end('{}'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => (server.closeAllConnections(), server.close()))
  const { code, stderr } = await runScript(t, `${FETCH}await answer.text()`, {
    config: { backends: { up: { type: 'openai', baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, echo: { type: 'echo' } } } })
  strictEqual(code, 0, stderr)
})
