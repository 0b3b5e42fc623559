import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { JsonObject } from '../src/hub/types.ts'
import type { BackendStatus, Proxy, ProxyOptions } from '../src/index.ts'
import { DIALECTS, END_MARKS, STREAM_ERRORS, WHOLES, wholeStream } from './helpers/answers.ts'
import { isAlive } from './helpers/fake-claude.ts'
import { makeResults, makeTools, post, startPlanProxy } from './helpers/plan-proxy.ts'
import { until } from './helpers/until.ts'
import { sendJson, sendSse, startUpstream } from './helpers/upstream.ts'
import type { TestUpstream } from './helpers/upstream.ts'

const user = (content: JsonObject['content'] & {} | string): JsonObject => ({ role: 'user', content })
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** A vendor that answers, with a key that costs. */
async function startMetered(context: TestContext): Promise<{ upstream: TestUpstream; backends: NonNullable<ProxyOptions['backends']> }> {
  const upstream = await startUpstream(context, ({ body }, response) => {
    if ((JSON.parse(body.toString()) as { stream?: boolean }).stream === true) return sendSse(response, [wholeStream('anthropic')])
    return sendJson(response, 200, WHOLES.anthropic)
  })
  return { upstream, backends: { anthropic: { type: 'anthropic', baseUrl: upstream.url, keys: ['sk-test-SECRETSECRET'] } } }
}

async function readStatus(proxy: Proxy): Promise<BackendStatus> {
  return (await proxy.status()).backends.find(({ id }) => id === 'plan')!
}

for (const dialect of DIALECTS) {
  test(`plan: a ${dialect} client gets its answer, whole and as a stream, from one process per conversation`, async (context) => {
    const { url, fake } = await startPlanProxy(context)
    const first = await post(url, dialect, [user('hello')])
    strictEqual(first.text, '1: hello')
    strictEqual(first.response.headers.get('dario-backend'), 'plan')
    strictEqual(first.response.headers.get('dario-dropped'), null)
    const turns = [user('hello'), { role: 'assistant', content: first.text }, user('more')]
    const second = await post(url, dialect, turns, { stream: true })
    match(second.raw, END_MARKS[dialect])
    doesNotMatch(second.raw, STREAM_ERRORS[dialect])
    strictEqual(fake.records('start').length, 1)
  })

  test(`plan: a ${dialect} client's loop of two calls at once stays in one process`, async (context) => {
    const { url, fake } = await startPlanProxy(context)
    const tools = makeTools(dialect, ['get', 'put.it'])
    const turns = [user('call get {"a":1}; call get {"a":2}')]
    const first = await post(url, dialect, turns, { tools })
    deepStrictEqual(first.calls.map(({ name, input }) => ({ name, input })), [{ name: 'get', input: { a: 1 } }, { name: 'get', input: { a: 2 } }])
    const second = await post(url, dialect, [...turns, ...makeResults(dialect, first, ['one', 'two'])], { tools })
    strictEqual(second.text, 'got one and two')
    strictEqual(fake.records('start').length, 1)
  })

  test(`plan: an image of a ${dialect} client reaches the program`, async (context) => {
    const { url, fake } = await startPlanProxy(context)
    const data = `data:image/png;base64,${PIXEL}`
    const image: JsonObject = dialect === 'anthropic' ? { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }
      : dialect === 'chat' ? { type: 'image_url', image_url: { url: data } } : { type: 'input_image', image_url: data }
    const words = { type: dialect === 'responses' ? 'input_text' : 'text', text: 'look' }
    strictEqual((await post(url, dialect, [user([image, words])])).text, '1: look')
    const [sent] = fake.records('request')[0]?.['last'] as JsonObject[]
    deepStrictEqual(sent, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } })
  })

  test(`plan: what the program cannot be told is named to a ${dialect} client`, async (context) => {
    const { url } = await startPlanProxy(context)
    const { response } = await post(url, dialect, [user('hello')], { temperature: 0.5, top_p: 0.9 })
    const named = (response.headers.get('dario-dropped') ?? '').split(', ')
    ok(named.includes('temperature') && named.includes('top_p'), String(named))
  })

  test(`plan: its limits reach a ${dialect} client, streamed or not`, async (context) => {
    const { url, proxy } = await startPlanProxy(context)
    await post(url, dialect, [user('hello')])
    await until(async () => ((await readStatus(proxy)).plan?.windows.length ?? 0) > 0) // the program tells them after its answer
    for (const stream of [true, false]) {
      const { headers } = (await post(url, dialect, [user('again')], { stream })).response
      deepStrictEqual(
        ['status', 'five-hour-utilization', 'five-hour-reset', 'seven-day-utilization', 'seven-day-reset'].map((name) => headers.get(`dario-plan-${name}`)),
        ['allowed', '0.25', '5000', '0.5', '9000'],
      )
    }
  })

  for (const [word, status] of [['529', 529], ['400', 400], ['401', 401], ['429', 429]] as const) {
    test(`plan: a ${word} of the program is one for a ${dialect} client`, async (context) => {
      const { url } = await startPlanProxy(context)
      const { response, raw } = await post(url, dialect, [user(word)], { stream: true })
      strictEqual(response.status, dialect === 'anthropic' || status !== 529 ? status : response.status)
      ok(response.status >= 400, raw)
      const { type, error } = JSON.parse(raw) as { type?: string; error: JsonObject }
      ok(dialect === 'anthropic' ? type === 'error' : 'code' in error, raw)
      if (status === 401) match(raw, /claude auth login/)
      if (status === 429) deepStrictEqual([response.headers.get('retry-after'), response.headers.get('dario-plan-status')], ['1', 'rejected'])
    })
  }

  test(`plan: an answer that breaks in the middle never looks whole to a ${dialect} client`, async (context) => {
    const { url } = await startPlanProxy(context)
    const { raw } = await post(url, dialect, [user('crash')], { stream: true })
    doesNotMatch(raw, END_MARKS[dialect])
    doesNotMatch(raw, /sk-ant-secret/)
  })

  test(`plan: a ${dialect} client of another machine is refused in its own words, and nobody else suffers`, async (context) => {
    const { upstream, backends } = await startMetered(context)
    const { url, proxy, fake } = await startPlanProxy(context, {
      backends, accessKeys: ['the-access-key'], allowedHosts: ['dario.lan'],
      routes: [{ model: 'chain', to: ['plan:claude-sonnet-4-5', 'anthropic:claude-sonnet-4-5'] }, { model: '*', to: ['plan'] }],
    })
    const remote = createServer(proxy.handle).on('connection', (socket) => Object.defineProperty(socket, 'remoteAddress', { value: '192.168.1.7' }))
    remote.listen(0, '127.0.0.1')
    await once(remote, 'listening')
    context.after(() => {
      remote.closeAllConnections()
      remote.close()
    })
    const there = `http://127.0.0.1:${(remote.address() as AddressInfo).port}`
    const key = { authorization: 'Bearer the-access-key' }
    const { response, raw } = await post(there, dialect, [user('hello')], {}, key)
    strictEqual(response.status, 403)
    const { type, error } = JSON.parse(raw) as { type?: string; error: JsonObject & { message: string } }
    ok(dialect === 'anthropic' ? type === 'error' : 'code' in error, raw)
    match(error.message, /its own machine/)
    strictEqual(fake.records().length, 0)
    const here = await post(url, dialect, [user('hello')], { model: 'chain' }, key)
    strictEqual(here.response.headers.get('dario-backend'), 'plan')
    strictEqual(upstream.received.length, 0)
  })
}

test('plan: a limit fails over when the route lists a metered backend after it, and that answer is not the plan\'s', async (context) => {
  const { backends } = await startMetered(context)
  const { url } = await startPlanProxy(context, { backends, routes: [{ model: '*', to: ['plan', 'anthropic'] }] })
  const { response, text } = await post(url, 'anthropic', [user('429')], { temperature: 1 })
  strictEqual(text, 'Hello world')
  deepStrictEqual(['backend', 'attempts', 'dropped', 'plan-status'].map((name) => response.headers.get(`dario-${name}`)), ['anthropic', '2', null, null])
})

for (const [name, routes] of [['no route', undefined], ['a route to the plan alone', [{ model: 'claude-*', to: ['plan'] }]]] as const) {
  test(`plan: with ${name} a limit is a 429, whatever else is configured`, async (context) => {
    const { upstream, backends } = await startMetered(context)
    const given = routes === undefined ? {} : { routes: routes.map(({ model, to }) => ({ model, to: [...to] })) }
    const { url } = await startPlanProxy(context, { backends, ...given })
    for (const dialect of DIALECTS) strictEqual((await post(url, dialect, [user('429')])).response.status, 429)
    strictEqual(upstream.received.length, 0)
  })
}

test('plan: a limit of one model leaves the plan to the others', async (context) => {
  const { backends } = await startMetered(context)
  const { url } = await startPlanProxy(context, { backends, routes: [{ model: '*', to: ['plan', 'anthropic'] }] })
  const ask = async (words: string, model: string): Promise<string | null> => (await post(url, 'anthropic', [user(words)], { model })).response.headers.get('dario-backend')
  deepStrictEqual([await ask('429', 'claude-opus-4-5'), await ask('hi', 'claude-sonnet-4-5'), await ask('hi', 'claude-opus-4-5')], ['anthropic', 'plan', 'anthropic'])
})

test('plan: tokens are estimated, and the program is not asked', async (context) => {
  const { url, fake } = await startPlanProxy(context)
  const response = await fetch(`${url}/v1/messages/count_tokens`, {
    method: 'POST', body: JSON.stringify({ model: 'claude-sonnet-4-5', messages: [{ role: 'user', content: 'hello '.repeat(100) }] }),
  })
  strictEqual(response.headers.get('dario-estimated'), 'true')
  ok((await response.json() as { input_tokens: number }).input_tokens > 50)
  strictEqual(fake.records().length, 0)
})

test('plan: its models are listed', async (context) => {
  const { url } = await startPlanProxy(context)
  const { data } = await (await fetch(`${url}/v1/models`)).json() as { data: { id: string }[] }
  deepStrictEqual(data.map(({ id }) => id).filter((id) => id !== 'echo'), ['opus', 'sonnet', 'haiku'])
})

test('plan: other endpoints are a 404 that the program never sees', async (context) => {
  const { url, fake } = await startPlanProxy(context)
  const response = await fetch(`${url}/v1/embeddings`, { method: 'POST', body: JSON.stringify({ model: 'plan:sonnet', input: 'x' }) })
  strictEqual(response.status, 404)
  strictEqual(fake.records().length, 0)
})

test('plan: health shows the limits to who has the access key only', async (context) => {
  const { url } = await startPlanProxy(context, { accessKeys: ['the-access-key'] })
  const headers = { 'x-api-key': 'the-access-key' }
  await post(url, 'anthropic', [user('hello')], {}, headers)
  const read = async (init: RequestInit): Promise<unknown> => await (await fetch(`${url}/health`, init)).json()
  const used = async (): Promise<number[] | undefined> => {
    const { backends } = await read({ headers }) as { backends: { id: string; windows?: { used: number }[] }[] }
    return backends.find(({ id }) => id === 'plan')?.windows?.map((window) => window.used)
  }
  await until(async () => (await used())?.length === 2) // the program tells them after its answer
  deepStrictEqual(await used(), [0.25, 0.5])
  doesNotMatch(JSON.stringify(await read({})), /windows|plan/)
})

test('plan: the status of a backend says whether its program is ready, and its limits', async (context) => {
  const { url, proxy } = await startPlanProxy(context)
  await post(url, 'anthropic', [user('hello')])
  await until(async () => ((await readStatus(proxy)).plan?.windows.length ?? 0) > 0) // the program tells them after its answer
  const { problem, plan } = await readStatus(proxy)
  strictEqual(problem, undefined)
  deepStrictEqual([plan?.version, plan?.login, plan?.windows[0]?.used], ['2.1.330', 'claude.ai', 0.25])
})

test('plan: closing the proxy ends every process', async (context) => {
  const { url, proxy, fake } = await startPlanProxy(context)
  await post(url, 'anthropic', [user('hello')])
  await proxy.close(0)
  deepStrictEqual(fake.records('start').map(({ pid }) => isAlive(pid)), [false])
})
