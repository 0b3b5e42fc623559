/**
 * The door: Host, Origin, fetch metadata, access keys.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { test } from 'node:test'
import { isLoopbackAddress } from '../src/server/guard.ts'
import { readStatuses, sendRaw, startServer } from './helpers/server.ts'

const KEY = 'dario-test-key-guard'
const accessKeys = [
  { name: 'other', hash: createHash('sha256').update('something else').digest('hex') },
  { name: 'laptop', hash: createHash('sha256').update(KEY).digest('hex'), routes: ['claude-*'] },
]

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

function ask(port: number, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    call.on('error', reject)
    call.end()
  })
}

for (const host of ['localhost', 'LOCALHOST:3456', '127.0.0.1:1', '127.8.9.10', '[::1]', '[::1]:3456']) {
  test(`guard: Host ${host} is this machine`, async (context) => {
    const { port } = await startServer(context)
    strictEqual((await ask(port, '/health', { host })).status, 200)
  })
}

for (const host of [
  'evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'evil.example:3456', '127.evil', 'localhost@evil', '192.168.0.7',
  'localhost:3456:1', '[::2]', 'localhost,evil',
]) {
  test(`Z1: a foreign Host "${host}" is refused with the remedy`, async (context) => {
    const { port, seen } = await startServer(context)
    const answer = await ask(port, '/v1/responses/r1', { host })
    strictEqual(answer.status, 403)
    match(answer.text, /allowedHosts/)
    strictEqual(seen.length, 0)
  })
}

test('Z1: a configured Host is served, with or without its port', async (context) => {
  const { port } = await startServer(context, { guard: { allowedHosts: ['Box.lan'] } })
  strictEqual((await ask(port, '/health', { host: 'box.lan:8080' })).status, 200)
  strictEqual((await ask(port, '/health', { host: 'box.LAN' })).status, 200)
  strictEqual((await ask(port, '/health', { host: 'box.lan.evil' })).status, 403)
})

test('Z1: several Host headers are refused, and so is none', async (context) => {
  const { port, seen } = await startServer(context)
  const two = await sendRaw(port, 'GET /v1/files HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nconnection: close\r\n\r\n')
  ok([400, 403].includes(readStatuses(two)[0] ?? 0), two)
  deepStrictEqual(readStatuses(await sendRaw(port, 'GET /v1/files HTTP/1.0\r\n\r\n')), [403])
  deepStrictEqual(readStatuses(await sendRaw(port, 'GET /v1/files HTTP/1.1\r\nconnection: close\r\n\r\n')), [400])
  deepStrictEqual(readStatuses(await sendRaw(port, 'GET /v1/files HTTP/1.1\r\nHost:\r\nconnection: close\r\n\r\n')), [403])
  strictEqual(seen.length, 0)
})

test('guard: an open port takes bare addresses as Host, but no unknown names', async (context) => {
  const { port } = await startServer(context, { guard: { boundToLoopback: false, accessKeys } })
  strictEqual((await ask(port, '/health', { host: '192.168.0.7:3456' })).status, 200)
  strictEqual((await ask(port, '/health', { host: '[fd00::7]:3456' })).status, 200)
  strictEqual((await ask(port, '/health', { host: 'evil.example' })).status, 403)
})

for (const origin of ['https://evil.example', 'null', 'http://localhost:3456', 'https://good.example.evil']) {
  test(`Z1: the Origin ${origin} is refused unless configured`, async (context) => {
    const { port, seen } = await startServer(context, { guard: { allowedOrigins: ['https://good.example'] } })
    const answer = await ask(port, '/v1/files', { origin })
    strictEqual(answer.status, 403)
    match(answer.text, /allowedOrigins/)
    strictEqual(answer.headers['access-control-allow-origin'], undefined)
    strictEqual(seen.length, 0)
  })
}

test('Z1: a page\'s image, form or no-cors request is refused though it has no Origin', async (context) => {
  const { port } = await startServer(context)
  strictEqual((await ask(port, '/health', { 'sec-fetch-site': 'cross-site' })).status, 403)
  strictEqual((await ask(port, '/health', { 'sec-fetch-site': 'same-site' })).status, 403)
  strictEqual((await ask(port, '/health', { 'sec-fetch-site': 'none' })).status, 200)
  strictEqual((await ask(port, '/health', { 'sec-fetch-site': 'same-origin' })).status, 200)
})

test('Z2: no CORS header is sent by default, not even to a preflight', async (context) => {
  const { port } = await startServer(context)
  const answer = await ask(port, '/v1/messages', { origin: 'https://a.example', 'access-control-request-method': 'POST' }, 'OPTIONS')
  strictEqual(answer.status, 403)
  deepStrictEqual(Object.keys(answer.headers).filter((name) => name.startsWith('access-control')), [])
})

test('Z2: a configured origin gets a preflight with exactly its name, without a key', async (context) => {
  const { port } = await startServer(context, { guard: { allowedOrigins: ['https://good.example'], accessKeys } })
  const answer = await ask(port, '/v1/messages', {
    'origin': 'https://good.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key',
  }, 'OPTIONS')
  strictEqual(answer.status, 204)
  strictEqual(answer.headers['access-control-allow-origin'], 'https://good.example')
  strictEqual(answer.headers['access-control-allow-headers'], 'x-api-key')
  match(String(answer.headers.vary), /origin/)
})

test('Z2: a configured origin can read a refusal, and still needs the key', async (context) => {
  const { port } = await startServer(context, { guard: { allowedOrigins: ['https://good.example'], accessKeys } })
  const headers = { 'origin': 'https://good.example', 'sec-fetch-site': 'cross-site' }
  const refused = await ask(port, '/v1/files', headers)
  strictEqual(refused.status, 401)
  strictEqual(refused.headers['access-control-allow-origin'], 'https://good.example')
  strictEqual((await ask(port, '/v1/files', { ...headers, 'x-api-key': KEY })).status, 200)
})

for (const [title, headers] of [
  ['x-api-key', { 'x-api-key': KEY }],
  ['bearer', { authorization: `Bearer ${KEY}` }],
  ['bearer in small letters', { authorization: `bearer ${KEY}` }],
  ['a right bearer beside a wrong x-api-key', { 'x-api-key': 'sk-dummy', 'authorization': `Bearer ${KEY}` }],
  ['a right x-api-key beside a wrong bearer', { 'x-api-key': KEY, 'authorization': 'Bearer dummy' }],
] as const) {
  test(`H5: the access key is taken from ${title}`, async (context) => {
    const { port, seen } = await startServer(context, { guard: { accessKeys } })
    strictEqual((await ask(port, '/v1/files', headers)).status, 200)
    strictEqual(seen[0]?.accessKey?.name, 'laptop')
    deepStrictEqual(seen[0]?.accessKey?.routes, ['claude-*'])
  })
}

for (const [title, headers] of [
  ['no key', {}],
  ['a wrong key', { 'x-api-key': 'dario-test-key-wrong' }],
  ['the hash itself', { 'x-api-key': accessKeys[1]?.hash ?? '' }],
  ['a basic login', { authorization: `Basic ${KEY}` }],
  ['an empty key', { 'x-api-key': '' }],
] as const) {
  test(`Z8: with ${title} every page but /health is closed, and no key is echoed`, async (context) => {
    const { port, seen, lines } = await startServer(context, { guard: { accessKeys } })
    for (const path of ['/', '/v1/models', '/v1/files', '/nothing', '/v1/messages']) {
      const answer = await ask(port, path, headers)
      strictEqual(answer.status, 401, path)
      ok(!answer.text.includes('dario-test-key') && !lines.join().includes('dario-test-key'))
    }
    const health = await ask(port, '/health', headers)
    strictEqual(health.status, 200)
    strictEqual(health.text.includes('backends'), false)
    strictEqual(seen.length, 0)
  })
}

test('guard: /health tells more to a caller with the key', async (context) => {
  const { port } = await startServer(context, { guard: { accessKeys } })
  match((await ask(port, '/health', { 'x-api-key': KEY })).text, /backends/)
})

test('guard: a broken hash in the configuration matches nothing', async (context) => {
  const { port } = await startServer(context, { guard: { accessKeys: [{ name: 'broken', hash: 'xyz' }] } })
  strictEqual((await ask(port, '/v1/files', { 'x-api-key': '' })).status, 401)
  strictEqual((await ask(port, '/v1/files', { 'x-api-key': 'xyz' })).status, 401)
})

test('E9: what a refusal echoes is short and printable', async (context) => {
  const { port } = await startServer(context)
  const answer = await ask(port, '/health', { origin: `\xff${'a'.repeat(5_000)}` })
  ok(answer.text.length < 500)
  strictEqual(/[^\x20-\x7e]/.test(answer.text), false)
})

test('Z7: only real loopback addresses count as this machine', () => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1']) ok(isLoopbackAddress(address), address)
  for (const address of [undefined, '', '10.0.0.1', '::ffff:10.0.0.1', '127.evil', '1::1', '::', '0.0.0.0']) {
    ok(!isLoopbackAddress(address), String(address))
  }
})

test('Z7: a forwarded address changes nothing', async (context) => {
  const { port, seen } = await startServer(context)
  await ask(port, '/v1/files', { 'x-forwarded-for': '8.8.8.8', 'forwarded': 'for=8.8.8.8' })
  strictEqual(seen[0]?.loopback, true)
})

test('guard: over 200 headers are refused, wherever a second Host might hide', async (context) => {
  const { port, seen } = await startServer(context)
  const many = Array.from({ length: 3_000 }, (_, index) => `a${index}:\r\n`).join('')
  const text = await sendRaw(port, `GET /v1/files HTTP/1.1\r\nHost: localhost\r\n${many}connection: close\r\n\r\n`)
  deepStrictEqual(readStatuses(text), [431])
  strictEqual(seen.length, 0)
})
