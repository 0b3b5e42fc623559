import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Proxy } from '../src/index.ts'
import { createHome, startDario } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { startVendors } from './helpers/vendors.ts'
import { startUpstream } from './helpers/upstream.ts'

/** After the proxy was closed, everything is written. */
async function readCapture(proxy: Proxy, folder: string): Promise<{ names: string[]; text: Record<string, string>; place: string }> {
  await proxy.close(1000)
  const place = join(folder, readdirSync(folder)[0]!)
  const names = readdirSync(place).sort()
  return { place, names, text: Object.fromEntries(names.map((name) => [name, readFileSync(join(place, name), 'utf8')])) }
}

test('capture: one folder per request has both sides as they were, without a key', async (t) => {
  const folder = join(createHome(t), 'capture')
  const vendors = await startVendors(t)
  const { url, proxy } = await startProxy(t, { backends: backendsAt(vendors.url), captureFolder: folder })
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST', headers: { 'x-api-key': 'client-secret-1234', authorization: 'Bearer client-secret-1234' },
    body: JSON.stringify({ model: 'chat:m', max_tokens: 9, stream: true, messages: [{ role: 'user', content: 'my key is sk-test-chat-SECRETSECRET' }] }),
  })
  const answer = await response.text()
  const { names, text, place } = await readCapture(proxy, folder)
  deepStrictEqual(names, ['1-client-request.txt', '2-upstream-1-answer.txt', '2-upstream-1-request.txt', '3-client-answer.txt'])
  match(text['1-client-request.txt']!, /^POST \/v1\/messages\n[^]*x-api-key: \[redacted\][^]*\n\n\{"model":"chat:m"/)
  match(text['2-upstream-1-request.txt']!, /^POST \/v1\/chat\/completions to chat\n[^]*\n\n\{.*"model":"m"/)
  match(text['2-upstream-1-answer.txt']!, /^200\n[^]*chat\.completion\.chunk/)
  ok(text['3-client-answer.txt']!.endsWith(answer))
  match(text['3-client-answer.txt']!, /^200\n[^]*dario-backend: chat/)
  doesNotMatch(Object.values(text).join(''), /SECRETSECRET|client-secret/)
  if (process.platform === 'win32') return
  strictEqual(statSync(place).mode & 0o777, 0o700)
  for (const name of names) strictEqual(statSync(join(place, name)).mode & 0o777, 0o600)
})

test('capture: each attempt has its own files, a relayed answer keeps its bytes, a broken one says so', async (t) => {
  const folder = join(createHome(t), 'capture')
  let calls = 0
  const upstream = await startUpstream(t, (_request, response) => {
    if (++calls === 1) return void response.writeHead(503).end('down')
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
    response.write('{"half":')
    setImmediate(() => response.destroy())
  })
  const { url, proxy } = await startProxy(t, { backends: { a: { type: 'openai', baseUrl: upstream.url, keys: ['sk-one-1234', 'sk-two-1234'] } }, captureFolder: folder })
  const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x' }] })
  await fetch(`${url}/v1/chat/completions`, { method: 'POST', body }).then((response) => response.text()).catch(() => {})
  const { names, text } = await readCapture(proxy, folder)
  deepStrictEqual(names.filter((name) => name.startsWith('2-')).length, 4)
  match(text['2-upstream-1-answer.txt']!, /^503\n[^]*down$/)
  match(text['2-upstream-2-answer.txt']!, /\{"half":$/)
  match(text['3-client-answer.txt']!, /^200 \(cut: the connection closed before its end\)/)
})

test('capture: W16: what is larger than 1 MiB is cut and says how large it was', async (t) => {
  const folder = join(createHome(t), 'capture')
  const { url, proxy } = await startProxy(t, { captureFolder: folder })
  const text = 'x '.repeat(700_000)
  const body = JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: text }] })
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body })).text()
  const { text: files } = await readCapture(proxy, folder)
  for (const name of ['1-client-request.txt', '3-client-answer.txt']) {
    match(files[name]!.slice(-60), /\n\[cut: 14\d{5} bytes in all\]$/)
    ok(files[name]!.length < 1_050_000)
  }
})

test('capture: Z6: a key is taken out also where the cut goes through it', async (t) => {
  const folder = join(createHome(t), 'capture')
  const key = 'own-key-of-no-known-pattern'
  const { url, proxy } = await startProxy(t, { captureFolder: folder, backends: { up: { type: 'openai', baseUrl: 'http://127.0.0.1:9', keys: [key] } } })
  const head = '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"'
  const body = `${head}${'x '.repeat(600_000).slice(0, 1_048_576 - head.length - 12)}${key} and more"}]}`
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body })).text()
  const { text: files } = await readCapture(proxy, folder)
  for (const text of Object.values(files)) doesNotMatch(text, /own-key/)
})

test('capture: a folder that cannot be written costs one line and no request', async (t) => {
  const home = createHome(t)
  writeFileSync(join(home, 'file'), '')
  const lines: string[] = []
  const { url, proxy } = await startProxy(t, { captureFolder: join(home, 'file'), log: (line) => lines.push(line) })
  for (let index = 0; index < 2; index++) {
    const response = await fetch(`${url}/v1/messages`, { method: 'POST', body: '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' })
    strictEqual(response.status, 200)
    await response.text()
  }
  await proxy.close(1000)
  strictEqual(lines.length, 1)
  match(lines[0]!, /the capture has gaps/)
})

if (existsSync('/proc/self')) {
  test('capture: a folder where none can be made, such as below /proc, costs one line and neither a request nor time', async (t) => {
    const lines: string[] = []
    const { url, proxy } = await startProxy(t, { captureFolder: '/proc/self/none/capture', usageFolder: '/proc/self/none/usage', log: (line) => lines.push(line) })
    for (let index = 0; index < 3; index++) {
      const response = await fetch(`${url}/v1/messages`, { method: 'POST', body: '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' })
      strictEqual(response.status, 200)
      await response.text()
    }
    const before = process.cpuUsage()
    await withDeadline(proxy.close(1000), 10_000, 'the close')
    const { user, system } = process.cpuUsage(before)
    ok(user + system < 500_000, `${user + system} µs`)
    deepStrictEqual(lines.map((line) => /the capture has gaps|make room/.exec(line)?.[0]).sort(), ['make room', 'the capture has gaps'])
  })
}

test('capture: the banner warns of it', async (t) => {
  const home = createHome(t)
  const dario = startDario(t, home, ['--port', '0', '--capture', 'seen'])
  await dario.says(/warning: prompts and answers are written to seen; delete it/)
  dario.child.kill('SIGTERM')
  await once(dario.child, 'exit')
})
