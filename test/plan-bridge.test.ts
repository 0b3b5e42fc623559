import { deepStrictEqual, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { Server } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { JsonObject } from '../src/hub/types.ts'
import { createBridge, encodeResult } from '../src/plan/bridge.ts'
import type { Door } from '../src/plan/bridge.ts'
import { withDeadline } from './helpers/deadline.ts'

const TOOL = { name: 'get', sent: 'get', description: undefined, schema: { type: 'object' } }

async function openDoor(context: TestContext): Promise<Door> {
  const bridge = createBridge('1.2.3')
  context.after(() => bridge.close())
  return await bridge.open([TOOL])
}

interface Reply { status: number; body: JsonObject | undefined }

async function call(url: string, bearer: string | undefined, body: unknown, method = 'POST'): Promise<Reply> {
  return await withDeadline(new Promise<Reply>((resolve, reject) => {
    const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
    const sent = request(url, { method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) as JsonObject })
      })
    })
    sent.on('error', reject).end(typeof body === 'string' ? body : JSON.stringify(body))
  }), 5_000, 'the bridge')
}

const toCall = (id: string): JsonObject =>
  ({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'get', arguments: {}, _meta: { 'claudecode/toolUseId': id } } })
const RESULT = { content: [{ type: 'text', text: 'r' }], isError: false }

test('bridge: only the right path with the right bearer gets an answer', async (context) => {
  const door = await openDoor(context)
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
  strictEqual((await call(door.url, door.bearer, ping)).status, 200)
  strictEqual((await call(door.url, undefined, ping)).status, 404)
  strictEqual((await call(door.url, `${door.bearer}x`, ping)).status, 404)
  strictEqual((await call(`${door.url}x`, door.bearer, ping)).status, 404)
  strictEqual((await call(new URL('/', door.url).href, door.bearer, ping)).status, 404)
})

test('bridge: one run\'s bearer does not open another run\'s door', async (context) => {
  const bridge = createBridge('1')
  context.after(() => bridge.close())
  const [a, b] = [await bridge.open([TOOL]), await bridge.open([TOOL])]
  strictEqual((await call(a.url, b.bearer, { jsonrpc: '2.0', id: 1, method: 'tools/list' })).status, 404)
})

test('bridge: a closed door stays closed', async (context) => {
  const door = await openDoor(context)
  door.close()
  strictEqual((await call(door.url, door.bearer, { jsonrpc: '2.0', id: 1, method: 'ping' })).status, 404)
})

test('bridge: it speaks the protocol version that it was asked for', async (context) => {
  const door = await openDoor(context)
  const { body } = await call(door.url, door.bearer, { jsonrpc: '2.0', id: 'x', method: 'initialize', params: { protocolVersion: '2099-01-01' } })
  deepStrictEqual(body, {
    jsonrpc: '2.0', id: 'x',
    result: { protocolVersion: '2099-01-01', capabilities: { tools: {} }, serverInfo: { name: 'dario', version: '1.2.3' } },
  })
})

test('bridge: notifications are accepted, other methods and verbs are refused, garbage is a 400', async (context) => {
  const door = await openDoor(context)
  strictEqual((await call(door.url, door.bearer, { jsonrpc: '2.0', method: 'notifications/initialized' })).status, 202)
  deepStrictEqual((await call(door.url, door.bearer, { jsonrpc: '2.0', id: 2, method: 'server/discover' })).body?.['error'], { code: -32601, message: 'method not found' })
  strictEqual((await call(door.url, door.bearer, '', 'GET')).status, 405)
  strictEqual((await call(door.url, door.bearer, '{not json')).status, 400)
})

test('bridge: a call is parked until its result is brought', async (context) => {
  const door = await openDoor(context)
  let answered = false
  const parked = call(door.url, door.bearer, toCall('a')).then((reply) => {
    answered = true
    return reply
  })
  strictEqual((await call(door.url, door.bearer, { jsonrpc: '2.0', id: 1, method: 'ping' })).status, 200)
  strictEqual(answered, false)
  door.deliver('b', RESULT)
  strictEqual((await call(door.url, door.bearer, toCall('b'))).status, 200) // a result that came first waits for its call
  strictEqual(answered, false)
  door.deliver('a', RESULT)
  deepStrictEqual((await parked).body, { jsonrpc: '2.0', id: 7, result: RESULT })
})

test('bridge: a call that is asked again on a new connection gets its result there', async (context) => {
  const door = await openDoor(context)
  const first = request(door.url, { method: 'POST', headers: { authorization: `Bearer ${door.bearer}` }, agent: false })
  first.on('error', () => {}).end(JSON.stringify(toCall('a')))
  await call(door.url, door.bearer, { jsonrpc: '2.0', id: 1, method: 'ping' })
  const second = call(door.url, door.bearer, toCall('a'))
  await call(door.url, door.bearer, { jsonrpc: '2.0', id: 2, method: 'ping' })
  first.destroy()
  await call(door.url, door.bearer, { jsonrpc: '2.0', id: 3, method: 'ping' })
  door.deliver('a', RESULT)
  strictEqual((await second).status, 200)
})

test('bridge: a connection that is idle stays, since its next call must not meet its end', async (context) => {
  const door = await openDoor(context)
  const agent = new Agent({ keepAlive: true })
  context.after(() => agent.destroy())
  const sent = request(door.url, { method: 'POST', headers: { authorization: `Bearer ${door.bearer}` }, agent })
  const [response] = await once(sent.end('{}'), 'response') as [IncomingMessage]
  strictEqual(response.resume().headers['keep-alive'], undefined) // Node would close it after 5 s, and say so
})

test('bridge: a system that has no socket left fails one run, not those after it', async (context) => {
  const listen = context.mock.method(Server.prototype, 'listen', function (this: Server) {
    process.nextTick(() => this.emit('error', new Error('EMFILE')))
    return this
  })
  const bridge = createBridge('1.2.3')
  context.after(() => bridge.close())
  await rejects(bridge.open([TOOL]), /EMFILE/)
  listen.mock.restore()
  const door = await bridge.open([TOOL])
  strictEqual((await call(door.url, door.bearer, { jsonrpc: '2.0', id: 1, method: 'ping' })).status, 200)
})

test('bridge: a connection that cannot be taken does not end dario', async (context) => {
  const listen = context.mock.method(Server.prototype, 'listen')
  await openDoor(context)
  strictEqual((listen.mock.calls[0]?.this as Server).emit('error', new Error('EMFILE')), true)
})

test('bridge: a call without a tool use id is an error, never parked', async (context) => {
  const door = await openDoor(context)
  const { body } = await call(door.url, door.bearer, { jsonrpc: '2.0', id: 3, method: 'tools/call', params: { name: 'get' } })
  strictEqual((body?.['error'] as JsonObject)['code'], -32602)
})

test('bridge: a string, a list and nothing are results; unknown parts are not', () => {
  const encode = (content: JsonObject['x']): unknown => encodeResult({ type: 'tool_result', content })?.['content']
  deepStrictEqual(encode('a'), [{ type: 'text', text: 'a' }])
  deepStrictEqual(encode(undefined), [])
  deepStrictEqual(encode([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA' } }]), [{ type: 'image', data: 'AA', mimeType: 'image/png' }])
  strictEqual(encode([{ type: 'document', source: {} }]), undefined)
  strictEqual(encode({ type: 'text' }), undefined)
})
