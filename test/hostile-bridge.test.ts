import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createBridge } from '../src/plan/bridge.ts'
import { readRequest } from '../src/plan/request.ts'
import type { Door } from '../src/plan/bridge.ts'
import { withDeadline } from './helpers/deadline.ts'

const TOOL = { name: 'get', sent: 'get', description: 'SECRET-TOOL', schema: { type: 'object' } }

async function openDoor(context: TestContext): Promise<Door> {
  const bridge = createBridge('1.2.3')
  context.after(() => bridge.close())
  return await bridge.open([TOOL])
}

const list = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' })
const toCall = (id: unknown, more: object = {}): string =>
  JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'get', arguments: {}, _meta: { 'claudecode/toolUseId': id }, ...more } })

async function post(url: string, authorization: string | undefined, body: string): Promise<{ status: number; text: string }> {
  const response = await fetch(url, { method: 'POST', body, headers: authorization === undefined ? {} : { authorization } })
  return { status: response.status, text: await response.text() }
}

test('hostile bridge: no caller without the whole bearer lists, calls or parks anything', async (context) => {
  const door = await openDoor(context)
  const { bearer, url } = door
  const wrong = [undefined, '', bearer, `Basic ${bearer}`, `bearer ${bearer}`, `Bearer  ${bearer}`, `Bearer ${bearer.slice(1)}`, `Bearer ${bearer}, Bearer ${bearer}`, 'Bearer __proto__', `Bearer ${'x'.repeat(10_000)}`]
  for (const authorization of wrong) {
    for (const body of [list, toCall('a')]) deepStrictEqual(await post(url, authorization, body), { status: 404, text: '' }, String(authorization).slice(0, 50))
  }
  for (const path of ['/', '/mcp', '/tools/list', '/..', `${new URL(url).pathname}/`, `${new URL(url).pathname}?x`, `/${'x'.repeat(4_000)}`]) {
    strictEqual((await post(new URL(url).origin + path, `Bearer ${bearer}`, list)).status, 404, path)
  }
  door.deliver('a', { content: [], isError: false })
  ok((await post(url, `Bearer ${bearer}`, toCall('a'))).text.includes('"result"'), 'nobody has taken the result')
})

test('hostile bridge: messages of any shape get an answer, and the door stays open', async (context) => {
  const { url, bearer } = await openDoor(context)
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const bodies = ['', 'null', '[]', '1', '"x"', '{}', list.slice(0, -1), `[${list}]`, deep, '{"id":{},"method":{}}', '{"id":1,"method":"__proto__"}', '{"id":1,"method":"tools/call","params":[]}',
    '{"id":1,"method":"tools/call","params":{"_meta":"x"}}', toCall({}), toCall(['a']), toCall(null), `{"id":${deep},"method":"ping"}`, `{"id":1,"method":"initialize","params":{"protocolVersion":${deep}}}`, '\u0000', '\ufeff{}']
  for (const body of bodies) {
    const { status } = await withDeadline(post(url, `Bearer ${bearer}`, body), 5_000, body.slice(0, 60))
    ok([200, 202, 400].includes(status), `${status} for ${body.slice(0, 60)}`)
  }
  ok((await post(url, `Bearer ${bearer}`, list)).text.includes('SECRET-TOOL'))
})

test('hostile bridge: a thousand connections that say nothing, half a request or too much delay nobody', async (context) => {
  const { url, bearer } = await openDoor(context)
  const { port, pathname } = new URL(url)
  for (let index = 0; index < 1_000; index++) {
    const socket = connect(Number(port), '127.0.0.1')
    context.after(() => socket.destroy())
    const head = `POST ${pathname} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n`
    socket.on('error', () => {}).write(['', 'GET', `${head}\r\n{`, `${head}authorization: Bearer ${bearer}\r\n\r\n{`][index % 4] ?? '')
  }
  ok((await withDeadline(post(url, `Bearer ${bearer}`, list), 10_000, 'a list')).text.includes('SECRET-TOOL'))
  const large = await post(url, `Bearer ${bearer}`, 'x'.repeat(33 * 1024 * 1024)).catch(() => ({ status: 400 }))
  strictEqual(large.status, 400)
})

test('hostile bridge: a page that was rebound to its port has no bearer, and no answer lets a page read', async (context) => {
  const { url } = await openDoor(context)
  const response = await fetch(url, { method: 'OPTIONS', headers: { origin: 'http://evil.test', 'access-control-request-method': 'POST' } })
  strictEqual(response.status, 404)
  strictEqual(response.headers.get('access-control-allow-origin'), null)
})

test('hostile plan: an object where a block has a word is refused with its path', () => {
  for (const name of ['type', 'text', 'id', 'name', 'tool_use_id']) {
    const block = { type: 'text', text: 'x', [name]: { toString: null } }
    const body = { model: 'opus', max_tokens: 9, messages: [{ role: 'user', content: [block] }] }
    throws(() => readRequest(Buffer.from(JSON.stringify(body)), 'opus'), { code: 'invalid_request', path: `messages[0].content[0].${name}` })
  }
})
