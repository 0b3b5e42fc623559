import { deepStrictEqual, doesNotMatch, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { DialectName, JsonObject } from '../src/hub/types.ts'
import type { ProxyOptions } from '../src/index.ts'
import { content, errorEvent, preamble } from './helpers/pieces.ts'
import { withDeadline } from './helpers/deadline.ts'
import { startProxy } from './helpers/proxy.ts'
import type { TestProxy } from './helpers/proxy.ts'
import { answerWell, ask, letterOf, refuse, sendPieces, startVendor } from './helpers/vendor.ts'
import type { Mood, Vendor } from './helpers/vendor.ts'

const DIALECTS: readonly DialectName[] = ['anthropic', 'chat', 'responses']
const SHORT = { timeouts: { connect: 2000, firstByte: 500, silence: 500 } }

/** A proxy whose only route asks the vendors in their order; backends are called `v1`, `v2`. */
function startChain(t: TestContext, vendors: readonly Pick<Vendor, 'backend'>[], options: ProxyOptions = {}): Promise<TestProxy> {
  const backends = Object.fromEntries(vendors.map(({ backend }, index) => [`v${index + 1}`, backend]))
  return startProxy(t, { backends, routes: [{ model: '*', to: Object.keys(backends) }], ...options })
}

interface Health { backends: { keys: { label: string; state: string; until: number; reason: string }[] }[] }

async function readStates(url: string): Promise<string[]> {
  const { backends } = await (await fetch(`${url}/health`)).json() as Health
  return backends.flatMap(({ keys }) => keys.map(({ state }) => state))
}

const page: Mood = (response) => void response.writeHead(502, { 'content-type': 'text/html' }).end('<html><title>Bad gateway</title><b>x</b></html>')
const goodPage: Mood = (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html><title>Log in</title></html>')
const reset: Mood = (response) => void response.socket?.resetAndDestroy()
const silent: Mood = () => {}
const cutBody: Mood = (response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' }).flushHeaders()
  setImmediate(() => response.socket?.resetAndDestroy())
}

/** Everything that may go wrong before content. */
const FAULTS: [name: string, mood: Mood, streamedOnly?: true][] = [
  ['F4: a limit', refuse(429, 'rate_limit_error', { 'retry-after': '1' })],
  ['F4: a limit without a time', refuse(429, 'rate_limit_error')],
  ['E6: an empty purse as 400', refuse(400, 'insufficient_quota')],
  ['E6: an empty purse as 402', refuse(402, 'billing_error')],
  ['F4: a refused key', refuse(401, 'authentication_error')],
  ['E4: overload', refuse(529, 'overloaded_error')],
  ['E4: a fault', refuse(500, 'api_error')],
  ['E8: a page of markup', page],
  ['E8: a page of markup with status 200', goodPage],
  ['F3: a stall before headers', silent],
  ['F3: a reset before headers', reset],
  ['F3: a reset after headers', cutBody],
  ['F1: an error event before content', sendPieces((dialect) => [preamble(dialect), errorEvent(dialect)]), true],
  ['F1: an error event in one packet with the preamble', sendPieces((dialect) => [preamble(dialect) + errorEvent(dialect)]), true],
  ['F3: a reset after the preamble', sendPieces((dialect) => [preamble(dialect)], 'cut'), true],
  ['S15: an end after the preamble', sendPieces((dialect) => [preamble(dialect)]), true],
  ['F3: a stall after the preamble', sendPieces((dialect) => [preamble(dialect)], 'stall'), true],
]

for (const [name, mood, streamedOnly] of FAULTS) {
  for (const stream of streamedOnly ? [true] : [false, true]) {
    test(`${name} becomes the next key's turn, unseen by a ${stream ? 'streaming' : 'plain'} client of each dialect`, async (t) => {
      for (const dialect of DIALECTS) {
        const vendor = await startVendor(t, dialect, 'ab', name.includes('stall') ? SHORT : {})
        const { url } = await startChain(t, [vendor])
        vendor.next.push(mood)
        const answer = await ask(url, dialect, { stream })
        strictEqual(answer.status, 200, answer.text)
        strictEqual(vendor.received.length, 2)
        ok(answer.text.includes(`from ${vendor.asked()[1]}`), answer.text)
        doesNotMatch(answer.text, /error":\{|html/)
        strictEqual(answer.headers.get('dario-attempts'), '2')
        strictEqual(answer.text.split('message_start').length <= 3, true)
      }
    })

    test(`${name} becomes a backend of another dialect's turn for a ${stream ? 'streaming' : 'plain'} client`, async (t) => {
      for (const [client, first, second] of [['anthropic', 'anthropic', 'chat'], ['chat', 'responses', 'anthropic'], ['responses', 'chat', 'responses']] as const) {
        const vendors = [await startVendor(t, first, 'a', name.includes('stall') ? SHORT : {}), await startVendor(t, second, 'b')] as const
        const { url } = await startChain(t, vendors)
        vendors[0].next.push(mood)
        const answer = await ask(url, client, { stream })
        strictEqual(answer.status, 200, answer.text)
        match(answer.text, /from b/)
        strictEqual(answer.headers.get('dario-backend'), 'v2')
        deepStrictEqual([vendors[0].received.length, vendors[1].received.length], [1, 1])
      }
    })
  }
}

test('F3: a refused connection becomes the next backend\'s turn', async (t) => {
  const vendor = await startVendor(t, 'chat', 'b')
  const dead = await startVendor(t, 'chat', 'a')
  dead.server.close()
  const { url, records } = await startChain(t, [dead, vendor])
  const answer = await ask(url, 'chat')
  match(answer.text, /from b/)
  deepStrictEqual(records[0]?.attempts.map(({ outcome }) => outcome), ['unreachable', 'ok'])
})

test('pool: after an unreachable backend the other backends come before its other keys', async (t) => {
  const dead = await startVendor(t, 'chat', 'abc')
  const vendor = await startVendor(t, 'chat', 'd')
  dead.next.push(reset, reset, reset)
  const { url } = await startChain(t, [dead, vendor])
  match((await ask(url, 'chat')).text, /from d/)
  strictEqual(dead.received.length, 1)
})

test('F9: each attempt is translated afresh from the client\'s own body', async (t) => {
  const first = await startVendor(t, 'chat', 'a')
  const second = await startVendor(t, 'anthropic', 'b')
  const third = await startVendor(t, 'responses', 'c')
  first.next.push(refuse(500, 'api_error'))
  second.next.push(refuse(500, 'api_error'))
  const { url } = await startProxy(t, {
    backends: { v1: first.backend, v2: second.backend, v3: third.backend },
    routes: [{ model: 'mine', to: ['v1:one', 'v2:two', 'v3:three'] }],
  })
  match((await ask(url, 'anthropic', { model: 'mine', text: 'the very words' })).text, /from c/)
  const bodies = [first, second, third].map(({ received }) => JSON.parse(received[0]!.body.toString()) as JsonObject)
  deepStrictEqual(bodies.map(({ model }) => model), ['one', 'two', 'three'])
  // The second speaks the client's dialect: but for the model's name its bytes are the client's.
  deepStrictEqual(bodies[1], { model: 'two', stream: false, max_tokens: 100, messages: [{ role: 'user', content: 'the very words' }] })
  ok(!('max_tokens' in bodies[2]!) && !('messages' in bodies[2]!) && JSON.stringify(bodies[2]).includes('the very words'))
})

test('F9: what one dialect cannot say goes to the next backend that can, and nothing rests for it', async (t) => {
  const first = await startVendor(t, 'anthropic', 'a')
  const second = await startVendor(t, 'chat', 'b')
  const { url } = await startChain(t, [first, second])
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'm', n: 2, messages: [{ role: 'user', content: 'x' }] }),
  })
  match(await response.text(), /from b/)
  strictEqual(first.received.length, 0)
  deepStrictEqual(await readStates(url), ['ready', 'ready'])
})

for (const dialect of DIALECTS) {
  for (const then of ['cut', 'end', 'stall'] as const) {
    test(`F2, S17: a ${dialect} stream that breaks after content (${then}) is never replayed and ends in-protocol`, async (t) => {
      const vendor = await startVendor(t, dialect, 'ab', SHORT)
      const other = await startVendor(t, 'chat', 'c')
      const { url, records } = await startChain(t, [vendor, other])
      vendor.next.push(sendPieces((name) => [preamble(name), content(name, 'half of it')], then))
      const answer = await ask(url, dialect, { stream: true })
      strictEqual(vendor.received.length + other.received.length, 1)
      strictEqual(answer.text.split('half of it').length, 2)
      match(answer.text, { anthropic: /event: error\n/, chat: /"error":\{/, responses: /response\.failed/ }[dialect])
      doesNotMatch(answer.text, /\[DONE\]|message_stop|response\.completed/)
      strictEqual(records[0]?.end, 'broken')
    })
  }
}

const CLOSED: Record<DialectName, RegExp> = { anthropic: /content_block_stop[^]*event: error/, chat: /"error":/, responses: /response\.failed/ }
for (const [client, server] of [['anthropic', 'chat'], ['anthropic', 'responses'], ['responses', 'anthropic'], ['chat', 'anthropic']] as const) {
  test(`S15, S18: a cut ${server} stream ends a ${client} client's with its open block closed and an error, not as if whole`, async (t) => {
    const vendor = await startVendor(t, server, 'ab')
    const { url } = await startChain(t, [vendor])
    vendor.next.push(sendPieces((name) => [preamble(name), content(name, 'half of it')], 'cut'))
    const answer = await ask(url, client, { stream: true })
    match(answer.text, CLOSED[client])
    doesNotMatch(answer.text, /message_stop|\[DONE\]|response\.completed/)
    strictEqual(answer.text.split('half of it').length >= 2, true)
    deepStrictEqual([vendor.received.length, answer.cut], [1, false])
  })
}

test('S19: keep-alives go on while one key after the other is silent', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'abc', SHORT)
  const { url } = await startChain(t, [vendor], { keepAlive: 40 })
  vendor.next.push(silent, silent)
  const answer = await ask(url, 'anthropic', { stream: true })
  match(answer.text, /^(?:event: ping\n.*\n\n){2,}event: message_start/)
  match(answer.text, /from [abc]/)
})

test('S16: an answer that has said why it stopped is whole, though its connection breaks', async (t) => {
  const vendor = await startVendor(t, 'chat', 'ab')
  const { url, records } = await startChain(t, [vendor])
  vendor.next.push(sendPieces(() => [preamble('chat'), content('chat', 'all'), 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'], 'cut'))
  const answer = await ask(url, 'chat', { stream: true })
  doesNotMatch(answer.text, /error/)
  strictEqual(records[0]?.end, 'complete')
  strictEqual(vendor.received.length, 1)
})

for (const client of ['anthropic', 'chat'] as const) {
  test(`F1: a preamble without end is held back up to a bound, then passed to a ${client} client`, async (t) => {
    const vendor = await startVendor(t, 'anthropic', 'ab')
    const { url } = await startChain(t, [vendor])
    const pings = 'event: ping\ndata: {"type": "ping"}\n\n'.repeat(4000)
    vendor.next.push((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(preamble('anthropic') + pings)
      setImmediate(() => response.end(pings + pings))
    })
    const answer = await ask(url, client, { stream: true })
    strictEqual(answer.status, 200)
    if (client === 'anthropic') strictEqual(vendor.received.length, 1) // over the bound it belongs to the client
    else match(answer.text, /from [ab]/) // pings are nothing in chat, so nothing had to be held
  })
}

test('S20: a keep-alive that opened the stream does not stop failover, and a last failure is told inside the stream', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'ab')
  const { url } = await startChain(t, [vendor], { keepAlive: 30 })
  const late = (mood: Mood): Mood => (...given) => void setTimeout(() => void mood(...given), 150)
  vendor.next.push(late(refuse(529, 'overloaded_error')), late(answerWell))
  const saved = await ask(url, 'anthropic', { stream: true })
  match(saved.text, /^event: ping[^]*from [ab]/)
  vendor.next.push(late(refuse(529, 'overloaded_error')), late(refuse(529, 'overloaded_error')))
  const lost = await ask(url, 'anthropic', { stream: true })
  strictEqual(lost.status, 200)
  match(lost.text, /event: error\ndata: .*overloaded_error/)
})

test('S20: an error before the first keep-alive keeps its status', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'a')
  const { url } = await startChain(t, [vendor], { keepAlive: 5000 })
  vendor.next.push(refuse(429, 'rate_limit_error', { 'retry-after': '7' }))
  const answer = await ask(url, 'anthropic', { stream: true })
  deepStrictEqual([answer.status, answer.headers.get('retry-after')], [429, '7'])
})

for (const [status, type] of [[429, 'rate_limit_error'], [401, 'authentication_error'], [500, 'api_error'], [529, 'overloaded_error']] as const) {
  test(`E2: with a single key the vendor's own ${status} is the answer, every time`, async (t) => {
    const vendor = await startVendor(t, 'anthropic', 'a')
    const { url } = await startChain(t, [vendor])
    vendor.moods.set('a', refuse(status, type, { 'x-vendor': 'own' }))
    for (let count = 0; count < 15; count++) {
      const answer = await ask(url, 'anthropic')
      strictEqual(answer.status, status)
      deepStrictEqual((JSON.parse(answer.text) as JsonObject)['error'], { type, message: `${type} of this test` })
      strictEqual(answer.headers.get('retry-after'), null)
    }
    strictEqual(vendor.received.length, 15)
  })
}

test('F4: the client\'s own mistake is answered as it is, without another attempt or a rest', async (t) => {
  const vendor = await startVendor(t, 'chat', 'ab')
  const { url } = await startChain(t, [vendor])
  for (const status of [400, 404, 413, 422]) {
    vendor.next.push(refuse(status, 'invalid_request_error'))
    strictEqual((await ask(url, 'chat')).status, status)
  }
  strictEqual(vendor.received.length, 4)
  deepStrictEqual(await readStates(url), ['ready', 'ready'])
})

test('E7: when every key is limited the shortest wait is told, of all keys', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'abc')
  const { url } = await startChain(t, [vendor])
  vendor.next.push(...['50', '20', '90'].map((wait) => refuse(429, 'rate_limit_error', { 'retry-after': wait })))
  const answer = await ask(url, 'anthropic')
  deepStrictEqual([answer.status, answer.headers.get('retry-after')], [429, '20'])
})

test('E3, E7: another dialect tells the shortest wait in its own envelope', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'ab')
  const { url } = await startChain(t, [vendor])
  vendor.next.push(...['50', '20'].map((wait) => refuse(429, 'rate_limit_error', { 'retry-after': wait })))
  const answer = await ask(url, 'responses')
  deepStrictEqual([answer.status, answer.headers.get('retry-after')], [429, '20'])
  match(answer.text, /rate_limit_exceeded/)
})

const WORTH: [moods: Mood[], status: number][] = [
  [[cutBody, refuse(500, 'api_error'), refuse(429, 'rate_limit_error')], 429],
  [[refuse(429, 'rate_limit_error'), refuse(500, 'api_error'), cutBody], 429],
  [[refuse(401, 'authentication_error'), refuse(529, 'overloaded_error'), cutBody], 529],
  [[cutBody, refuse(401, 'authentication_error'), cutBody], 401],
  [[silent, refuse(500, 'api_error'), cutBody], 500],
]
for (const [index, [moods, status]] of WORTH.entries()) {
  test(`F11: of several failures the most useful one is told (${status}, case ${index + 1}), and every attempt is on record`, async (t) => {
    const vendor = await startVendor(t, 'anthropic', 'abc', SHORT)
    const { url, records } = await startChain(t, [vendor])
    vendor.next.push(...moods)
    const answer = await ask(url, 'anthropic')
    strictEqual(answer.status, status)
    strictEqual(answer.headers.get('dario-attempts'), '3')
    const { attempts } = records[0]!
    strictEqual(new Set(attempts.map(({ key }) => key)).size, 3)
    for (const { key, error } of attempts) ok(key?.startsWith('v1#') && error !== undefined)
  })
}

test('pool: a refused key rests ten minutes and is reported by label, never by value', async (t) => {
  const vendor = await startVendor(t, 'chat', 'ab')
  const { url } = await startChain(t, [vendor])
  vendor.next.push(refuse(401, 'invalid_api_key'))
  await ask(url, 'chat', { session: 's' })
  await ask(url, 'chat', { session: 's' })
  const [first, second, third] = vendor.asked()
  strictEqual(third, second)
  const health = await (await fetch(`${url}/health`)).text()
  doesNotMatch(health, /sk-test/)
  const { backends: [backend] } = JSON.parse(health) as Health
  const refused = backend?.keys[first === 'a' ? 0 : 1]
  deepStrictEqual([refused?.label, refused?.state, refused?.reason], [`v1#${first === 'a' ? 1 : 2}`, 'refused', 'auth'])
  ok(Math.abs(refused!.until - Date.now() - 600_000) < 5000)
})

test('F5: after the client left nothing more is tried, and no key rests for it', async (t) => {
  const vendor = await startVendor(t, 'chat', 'ab')
  const { url, nextRecord } = await startChain(t, [vendor])
  const controller = new AbortController()
  const ended = nextRecord()
  let upstreamClosed: Promise<unknown> | undefined
  vendor.next.push((response) => {
    upstreamClosed = once(response, 'close')
    controller.abort()
  })
  await rejects(ask(url, 'chat', { signal: controller.signal }))
  strictEqual((await withDeadline(ended, 2000, 'record')).status, 499)
  await withDeadline(upstreamClosed!, 2000, 'the upstream request ends')
  strictEqual(vendor.received.length, 1)
  deepStrictEqual(await readStates(url), ['ready', 'ready'])
})

test('F8: attempts are capped', async (t) => {
  const vendor = await startVendor(t, 'chat', 'abcdef')
  const { url } = await startChain(t, [vendor], { attempts: 3 })
  vendor.next.push(...Array.from({ length: 6 }, () => refuse(500, 'api_error')))
  const answer = await ask(url, 'chat')
  deepStrictEqual([answer.status, answer.headers.get('dario-attempts'), vendor.received.length], [500, '3', 3])
})

test('F8: one deadline bounds all attempts together', async (t) => {
  const vendor = await startVendor(t, 'chat', 'abcdef', { timeouts: { connect: 2000, firstByte: 200, silence: 200 } })
  for (const letter of 'abcdef') vendor.moods.set(letter, silent)
  const { url } = await startChain(t, [vendor], { deadline: 500 })
  const started = performance.now()
  const answer = await ask(url, 'chat')
  strictEqual(answer.status, 504)
  match(answer.text, /deadline of 500 ms/)
  ok(performance.now() - started < 1500)
})

test('F8: a vendor that is down gets no storm', async (t) => {
  const down = await startVendor(t, 'chat', 'abc')
  for (const letter of 'abc') down.moods.set(letter, refuse(503, 'overloaded'))
  const { url } = await startChain(t, [down])
  const end = performance.now() + 3000
  while (performance.now() < end) strictEqual((await ask(url, 'chat')).status, 503)
  const before = down.received.length
  for (let count = 0; count < 50; count++) await ask(url, 'chat')
  const asked = down.received.length - before
  ok(asked >= 50 && asked < 60, `50 requests became ${asked}`) // three keys would make 150 of them
})

test('F8: a working backend is asked at once while another one is down', async (t) => {
  const down = await startVendor(t, 'chat', 'abc')
  const up = await startVendor(t, 'chat', 'd')
  for (const letter of 'abc') down.moods.set(letter, refuse(429, 'rate_limit_error', { 'retry-after': '60' }))
  const { url } = await startChain(t, [down, up])
  for (let count = 0; count < 30; count++) match((await ask(url, 'chat', { session: `s${count}` })).text, /from d/)
  strictEqual(down.received.length, 3)
})

test('G9: a full queue is 429 with retry-after and the names of the settings', async (t) => {
  let release = (): void => {}
  const vendor = await startVendor(t, 'chat', 'a', { maxConcurrent: 1, maxQueue: 0 })
  const { url } = await startChain(t, [vendor])
  const arrived = new Promise<void>((resolve) => {
    vendor.next.push((...given) => {
      release = () => void answerWell(...given)
      resolve()
    })
  })
  const first = ask(url, 'chat')
  await withDeadline(arrived, 2000, 'first request')
  const second = await ask(url, 'chat')
  deepStrictEqual([second.status, second.headers.get('retry-after')], [429, '1'])
  match(second.text, /backends\.v1\.maxConcurrent or maxQueue/)
  release()
  strictEqual((await first).status, 200)
  strictEqual((await ask(url, 'chat')).status, 200)
})

test('G9: a full backend sends its overflow to the next of the chain', async (t) => {
  const full = await startVendor(t, 'chat', 'a', { maxConcurrent: 1, maxQueue: 0 })
  const other = await startVendor(t, 'anthropic', 'b')
  const { url } = await startChain(t, [full, other])
  const arrived = new Promise<void>((resolve) => full.next.push((...given) => {
    setTimeout(() => void answerWell(...given), 300)
    resolve()
  }))
  const first = ask(url, 'chat')
  await withDeadline(arrived, 2000, 'first request')
  match((await ask(url, 'chat')).text, /from b/)
  match((await first).text, /from a/)
})

test('G7: 50 turns through a key that fails at turn 20 and recovers at 22 use exactly two keys', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'abcde')
  const { url } = await startChain(t, [vendor])
  let turn = 0
  let home = ''
  const answered = new Set<string>()
  for (const letter of 'abcde') {
    vendor.moods.set(letter, (response, request, dialect) => {
      if (turn === 1) home = letter
      if (letter === home && (turn === 20 || turn === 21)) return refuse(429, 'rate_limit_error', { 'retry-after-ms': '1' })(response, request, dialect)
      answered.add(letter)
      return answerWell(response, request, dialect)
    })
  }
  for (turn = 1; turn <= 50; turn++) strictEqual((await ask(url, 'anthropic', { session: 'one long talk' })).status, 200)
  strictEqual(answered.size, 2)
})

test('G1: a plain and a streamed turn, another model and a count of the same conversation go to one key', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'abcde')
  const { url } = await startChain(t, [vendor])
  for (const stream of [true, false]) for (const model of ['one', 'one[1m]', 'two']) await ask(url, 'anthropic', { stream, model, session: 's' })
  strictEqual(new Set(vendor.asked()).size, 1)
})

test('pool: a new conversation avoids the key with little room, a running one stays', async (t) => {
  const vendor = await startVendor(t, 'chat', 'ab')
  const { url } = await startChain(t, [vendor])
  const low = { 'x-ratelimit-limit-tokens': '1000', 'x-ratelimit-remaining-tokens': '10', 'x-ratelimit-reset-tokens': '60s' }
  const lowMood: Mood = (response, request, dialect) => {
    for (const [name, value] of Object.entries(low)) response.setHeader(name, value)
    return answerWell(response, request, dialect)
  }
  vendor.next.push(lowMood)
  await ask(url, 'chat', { session: 'x' })
  await ask(url, 'chat', { session: 'x', text: 'quoted in a turn: "assistant"' }) // its body is new, by its words
  const running = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json', 'x-session-id': 'y' },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }, { role: 'user', content: 'c' }] }),
  })
  ok(running.ok)
  const [home] = vendor.asked()
  for (let count = 0; count < 10; count++) await ask(url, 'chat', { session: `new ${count}` })
  ok(!vendor.asked().slice(3).includes(home!))
})

test('N3: the limit of counting tokens rests no key', async (t) => {
  const vendor = await startVendor(t, 'anthropic', 'a')
  const { url } = await startChain(t, [vendor])
  vendor.next.push(refuse(429, 'rate_limit_error', { 'retry-after': '60' }))
  await fetch(`${url}/v1/messages/count_tokens`, { method: 'POST', body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x' }] }) })
  strictEqual(vendor.received.length, 1)
  deepStrictEqual(await readStates(url), ['ready'])
})

test('failover: an answer is asked of one key only when all is well', async (t) => {
  const vendor = await startVendor(t, 'chat', 'abc')
  const { url } = await startChain(t, [vendor])
  const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => ask(url, 'chat', { session: `s${index}`, stream: index % 2 === 0 })))
  strictEqual(vendor.received.length, 40)
  strictEqual(answers.every(({ status }) => status === 200), true)
  ok(new Set(vendor.received.map(letterOf)).size === 3)
})

for (const dialect of ['anthropic', 'chat'] as const) {
  test(`F4: the client's own mistake told inside a ${dialect} stream is answered as one, and rests no key`, async (t) => {
    const vendors = [await startVendor(t, dialect, 'a'), await startVendor(t, dialect, 'b')]
    const error = { type: 'invalid_request_error', message: 'messages: too odd' }
    const event = dialect === 'anthropic' ? `event: error\ndata: ${JSON.stringify({ type: 'error', error })}\n\n` : `data: ${JSON.stringify({ error })}\n\n`
    for (const { moods } of vendors) for (const key of ['a', 'b']) moods.set(key, sendPieces(() => [preamble(dialect), event]))
    const { url } = await startChain(t, vendors)
    const { status, text } = await ask(url, dialect, { stream: true })
    strictEqual(status, 400, text)
    match(text, /too odd/)
    deepStrictEqual(vendors.map(({ received }) => received.length), [1, 0])
    deepStrictEqual(await readStates(url), ['ready', 'ready'])
  })
}
