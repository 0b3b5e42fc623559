/**
 * The dashboard's page, its feed, and what they show to whom.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseConfig } from '../src/config/parse.ts'
import { readHistory } from '../src/observe/history.ts'
import { createLive } from '../src/observe/live.ts'
import type { LiveState } from '../src/observe/live.ts'
import { withDeadline } from './helpers/deadline.ts'
import { startProxy } from './helpers/proxy.ts'
import { createRecord } from './helpers/record.ts'
import { startUpstream } from './helpers/upstream.ts'

const NOON = new Date(2026, 4, 17, 12, 30).getTime()
const ASK = { method: 'POST', body: JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] }) }

const KEYS = ['one', 'two'].map((name) => ({ name, key: `the-access-key-${name}` }))

/** States of a feed until one is as wanted. */
async function readUntil(response: Response, wanted: (state: LiveState) => boolean): Promise<LiveState> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { value, done } = await withDeadline(reader.read(), 10_000, 'the next state')
    ok(!done, 'the feed ended')
    const events = (text + value).split('\n\n')
    text = events.pop() ?? ''
    const found = events.map((event) => JSON.parse(event.replace(/^data: /, '')) as LiveState).find(wanted)
    if (found === undefined) continue
    await reader.cancel()
    return found
  }
}

test('Z13: the page allows its own script and style by hash, and sets every value as text only', async (context) => {
  const { url } = await startProxy(context, {})
  const response = await fetch(`${url}/`)
  const html = await response.text()
  const policy = response.headers.get('content-security-policy') ?? ''
  match(policy, /^default-src 'none';/)
  ok(!policy.includes('unsafe'))
  for (const tag of ['script', 'style']) {
    const [[, text = ''] = [], ...more] = [...html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))]
    deepStrictEqual(more, [])
    ok(policy.includes(`${tag}-src 'sha256-${createHash('sha256').update(text).digest('base64')}'`), tag)
  }
  ok(!/\son[a-z]+=|\sstyle=|javascript:|https?:\/\/(?!www\.w3\.org)/.test(html.replace(/<script>[^]*<\/script>/, '')), 'no handlers, no inline styles, no other origin')
  ok(!/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b/.test(html), 'values are set as text only')
})

test('Z8: with an access key the page alone is open, and it holds no data', async (context) => {
  const { url } = await startProxy(context, { accessKeys: [{ name: 'me', key: 'the-access-key-1' }] })
  const page = await fetch(`${url}/`)
  strictEqual(page.status, 200)
  ok(!(await page.text()).includes('"me"'))
  for (const path of ['/events', '/explain?model=echo', '/metrics', '/v1/models']) strictEqual((await fetch(url + path)).status, 401, path)
  for (const path of ['/explain?model=echo', '/metrics']) {
    strictEqual((await fetch(url + path, { headers: { authorization: 'Bearer the-access-key-1' } })).status, 200, path)
  }
})

test('dashboard: pages are read with GET, by this machine only', async (context) => {
  const { url } = await startProxy(context, {})
  for (const path of ['/', '/events', '/explain', '/metrics']) {
    strictEqual((await fetch(url + path, { method: 'POST', body: '{}' })).status, 405, path)
    strictEqual((await fetch(url + path, { headers: { origin: 'https://evil.example' } })).status, 403, path)
    strictEqual((await fetch(url + path, { method: 'HEAD' })).status, 200, path)
  }
})

test('dashboard: a request is in the feed while it runs, and its end follows', async (context) => {
  let finish = (): void => {}
  const upstream = await startUpstream(context, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    finish = () => response.end('{"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":20}}}')
    response.write(' ')
  })
  const { url } = await startProxy(context, { backends: { up: { type: 'openai', baseUrl: upstream.url, speaks: ['chat'], keys: ['sk-SECRETSECRET'] } } })
  const feed = await fetch(`${url}/events`)
  match(feed.headers.get('content-type') ?? '', /^text\/event-stream/)
  const answer = fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: { 'user-agent': 'tool/1 (x)' }, body: '{"model":"up:<b>m</b>","messages":[]}' })
  const during = await readUntil(feed, ({ requests }) => requests[0]?.firstByteMs !== undefined)
  deepStrictEqual([during.running, during.requests[0]?.end, during.requests[0]?.model, during.requests[0]?.tool], [1, 'running', 'up:<b>m</b>', 'tool/1'])
  finish()
  await (await answer).text()
  const after = await readUntil(await fetch(`${url}/events`), ({ running }) => running === 0)
  const [request] = after.requests
  deepStrictEqual([request?.end, request?.backend, request?.key, request?.servedModel], ['complete', 'up', 'up#1', '<b>m</b>'])
  const { requests, input, cacheRead, output, unpriced } = after.hours.at(-1)!
  deepStrictEqual({ requests, input, cacheRead, output, unpriced }, { requests: 1, input: 10, cacheRead: 20, output: 7, unpriced: 1 })
  deepStrictEqual(after.days.at(-1)?.output, 7)
  ok(!JSON.stringify(after).includes('SECRET'))
})

test('dashboard: open feeds neither outlive their readers nor keep dario from closing', async (context) => {
  const { proxy, url } = await startProxy(context, {})
  await readUntil(await fetch(`${url}/events`), () => true)
  const open = await fetch(`${url}/events`)
  await withDeadline(proxy.close(5_000), 4_000, 'close')
  await open.text().catch(() => '')
})

test('dashboard: an open feed ends when its access key is taken away, and no other does', async (context) => {
  const { proxy, url } = await startProxy(context, { accessKeys: KEYS })
  const read = async (key: string): Promise<Response> => await fetch(`${url}/events`, { headers: { authorization: `Bearer ${key}` } })
  const [first, second] = await Promise.all(KEYS.map(({ key }) => read(key)))
  proxy.update(parseConfig({ port: 0, accessKeys: KEYS.slice(1) }, {}).config)
  const after = Date.now()
  const seen = await withDeadline(first!.text(), 10_000, 'the end of the feed')
  for (const [, time] of seen.matchAll(/^data: \{"time":(\d+)/gm)) ok(Number(time) <= after, 'no state is told behind the update')
  await readUntil(second!, ({ time }) => time > after)
})

test('dashboard: a model that leads nowhere is explained as well', async (context) => {
  const { url } = await startProxy(context, { backends: { up: { type: 'openai', baseUrl: 'http://127.0.0.1:9', keys: ['k'] } }, routes: [{ model: 'fast', to: ['up:m'] }] })
  const explain = async (model: string): Promise<string> => JSON.stringify(await (await fetch(`${url}/explain?model=${encodeURIComponent(model)}`)).json())
  match(await explain('fast'), /asks up for m/)
  match(await explain(''), /lines/)
  await (await fetch(`${url}/v1/messages`, ASK)).text()
})

test('live: failures stay when newer requests push them out, counts of tokens are no requests', () => {
  const live = createLive({ now: () => NOON, version: '1', backends: () => [], running: () => [] })
  const run = (given: Parameters<typeof createRecord>[0]): void => {
    const record = createRecord({ time: NOON, ...given })
    live.end?.(record)
  }
  run({ id: 'bad', end: 'failed', error: { code: 'rate_limited', message: 'wait' } })
  for (let index = 0; index < 200; index++) run({ id: `r${index}` })
  run({ id: 'count', path: '/v1/messages/count_tokens' })
  const state = live.read()
  strictEqual(state.requests.length, 50)
  strictEqual(state.requests[0]?.id, 'r199')
  deepStrictEqual(state.errors.map(({ id }) => id), ['bad'])
  strictEqual(state.hours.at(-1)?.requests, 201)
})

test('live: hours and days move on with the clock, empty ones between', () => {
  let time = NOON
  const live = createLive({ now: () => time, version: '1', backends: () => [], running: () => [] })
  const run = (): void => {
    const record = createRecord({ time, cost: { dollars: 0.25, source: 'configuration' } })
    live.end?.(record)
  }
  run()
  time += 2 * 3_600_000
  run()
  run()
  const { hours, days, sources } = live.read()
  deepStrictEqual(hours.slice(-4).map(({ requests }) => requests), [0, 1, 0, 2])
  deepStrictEqual([hours.length, days.length, days.at(-1)?.requests, days.at(-1)?.dollars], [24, 30, 3, 0.75])
  deepStrictEqual(sources, ['configuration'])
  time += 24 * 3_600_000
  deepStrictEqual(live.read().hours.map(({ requests }) => requests).join(''), '0'.repeat(24))
  deepStrictEqual(live.read().days.slice(-2).map(({ requests }) => requests), [3, 0])
})

test('live: a request counts where the ledger has it, by its arrival', () => {
  const start = NOON - NOON % 3_600_000
  const live = createLive({ now: () => start + 60_000, version: '1', backends: () => [], running: () => [] })
  for (const time of [start, start - 30_000, start + 1, start - 86_400_000]) live.end?.(createRecord({ time }))
  const { hours, days } = live.read()
  deepStrictEqual([hours.slice(-2), days.slice(-2)].map((sums) => sums.map(({ requests }) => requests)), [[1, 2], [1, 3]])
})

test('live: what was before this process comes from the ledger, and today goes on from there', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'dario-live-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const row = (time: number, more: object): string => JSON.stringify({
    time: new Date(time).toISOString(), id: 'r', path: '/v1/messages', dialect: 'anthropic', model: 'm', stream: false, status: 200, end: 'complete', attempts: 1, totalMs: 1, ...more,
  })
  for (const days of [3, 0]) {
    const time = NOON - 1 - days * 86_400_000
    writeFileSync(join(folder, `${new Date(time).toISOString().slice(0, 10)}.jsonl`), `${row(time, { input: 5, output: 2, dollars: 1, price: 'x' })}\n${row(time, { output: 1, price: 'plan' })}\n`)
  }
  mkdirSync(join(folder, `${new Date(NOON - 2 * 86_400_000).toISOString().slice(0, 10)}.jsonl`)) // one that cannot be read hides no other
  const live = createLive({ now: () => NOON, version: '1', backends: () => [], running: () => [], history: (until) => readHistory(folder, NOON, until) })
  // What this process writes is in memory already, and its day may be summed up by then.
  appendFileSync(join(folder, `${new Date(NOON).toISOString().slice(0, 10)}.jsonl`), `${row(NOON, { output: 10 })}\n`)
  const record = createRecord({ time: NOON, usage: { output: 10 } })
  live.end?.(record)
  deepStrictEqual(live.read().hours.at(-1)?.requests, 1)
  await new Promise<void>((resolve) => live.subscribe(resolve))
  const { hours, sources, ...state } = live.read()
  deepStrictEqual([hours.at(-1)?.requests, hours.at(-1)?.output, hours.at(-1)?.dollars, hours.at(-1)?.plan], [3, 13, 1, 1])
  deepStrictEqual(sources, ['x'])
  const days = state.days.map(({ requests, output, dollars, plan, unpriced }) => [requests, output, dollars, plan, unpriced])
  deepStrictEqual(days.slice(-4), [[2, 3, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [3, 13, 1, 1, 1]])
})

test('live: how fast a running stream is comes from its bytes so far and the last stream of the same model', () => {
  const open = createRecord({ id: 'open', time: NOON - 11_000, stream: true, firstByteMs: 1000, responseBytes: 5000, usage: undefined })
  const live = createLive({ now: () => NOON, version: '1', backends: () => [], running: () => [open] })
  const read = (id: string): number | undefined => live.read().requests.find((one) => one.id === id)?.tokensPerSecond
  live.end?.(createRecord({ id: 'other', stream: true, servedModel: 'x', responseBytes: 10, usage: { output: 10 } }))
  live.end?.(createRecord({ id: 'whole', stream: false, responseBytes: 10, usage: { output: 10 } }))
  strictEqual(read('open'), undefined) // nothing like it has ended yet, so nothing is known
  live.end?.(createRecord({ id: 'done', stream: true, firstByteMs: 0, totalMs: 2000, responseBytes: 1000, usage: { output: 100 } }))
  strictEqual(read('open'), 50) // 500 tokens in ten seconds
  strictEqual(read('done'), 50)
  open.firstByteMs = 10_500
  strictEqual(read('open'), undefined) // half a second says too little
})
