import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { WHOLES, ask, makeError } from './helpers/answers.ts'
import { startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { ProxyOptions } from '../src/index.ts'
import type { TestProxy } from './helpers/proxy.ts'

const KEYS = ['sk-test-1-SECRETSECRET', 'sk-test-2-SECRETSECRET', 'sk-test-3-SECRETSECRET']

interface Pool extends TestProxy {
  /** Number of the key of each request so far. */
  used: number[]
  /** Status by number of the key; 200 where nothing is set. */
  status: Map<number, number>
}

async function start(context: TestContext, message = 'no', options: ProxyOptions = {}): Promise<Pool> {
  const used: number[] = []
  const status = new Map<number, number>()
  const up = await startUpstream(context, ({ headers }, response) => {
    const key = Number(/sk-test-(\d)/.exec(headers.authorization ?? '')?.[1])
    used.push(key)
    const answer = status.get(key) ?? 200
    sendJson(response, answer, answer === 200 ? WHOLES.chat : makeError('chat', 'x', message))
  })
  const proxy = await startProxy(context, { backends: { up: { type: 'openai', baseUrl: up.url, speaks: ['chat'], keys: KEYS } }, ...options })
  return { ...proxy, used, status }
}

const conversation = (name: string): { messages: { role: string; content: string }[] } => ({ messages: [{ role: 'user', content: name }] })

test('failover: G1: a conversation stays on its key, different ones spread over all', async (context) => {
  const { url, used } = await start(context)
  for (let turn = 0; turn < 5; turn++) await ask(url, 'chat', 'up/m', conversation('one and the same'))
  strictEqual(new Set(used).size, 1)
  for (let name = 0; name < 40; name++) await ask(url, 'chat', 'up/m', conversation(`conversation ${name}`))
  strictEqual(new Set(used).size, 3)
})

test('failover: G2: a session header, metadata.user_id and prompt_cache_key name the conversation in every dialect', async (context) => {
  const { url, used } = await start(context)
  for (let turn = 0; turn < 12; turn++) {
    const more = conversation(`turn ${turn}`)
    await ask(url, 'chat', 'up/m', { ...more, prompt_cache_key: 'session-1' })
    await ask(url, 'anthropic', 'up/m', { ...more, metadata: { user_id: 'session-1' } })
    await ask(url, 'responses', 'up/m', { input: `turn ${turn}` }, { headers: { 'session-id': 'session-1' } })
  }
  strictEqual(new Set(used).size, 1)
})

for (const [refusal, outcome] of [[401, 'auth'], [403, 'auth'], [429, 'rate_limited'], [402, 'rate_limited'], [500, 'overloaded'], [529, 'overloaded']] as const) {
  test(`failover: a ${refusal} sends the request to the next key, and the key to rest`, async (context) => {
    const { url, used, status, records } = await start(context)
    await ask(url, 'chat', 'up/m')
    const [home] = used
    status.set(home!, refusal)
    const response = await ask(url, 'chat', 'up/m')
    deepStrictEqual([response.status, response.headers.get('dario-attempts')], [200, '2'])
    deepStrictEqual(records[1]?.attempts.map((attempt) => attempt.outcome), [outcome, 'ok'])
    await ask(url, 'chat', 'up/m')
    deepStrictEqual([used[1], used.length], [home, 4]) // the third request did not ask the resting key first
    status.clear()
    await ask(url, 'chat', 'up/m')
    strictEqual(used.at(-1), used.at(-2), 'G7: the conversation stays where it landed')
  })
}

test('failover: E6: an empty purse dressed as a 400 or 403 is the key\'s trouble, not the client\'s', async (context) => {
  for (const refusal of [400, 403]) {
    const { url, used, status, records } = await start(context, 'Your credit balance is too low')
    await ask(url, 'chat', 'up/m')
    status.set(used[0]!, refusal)
    strictEqual((await ask(url, 'chat', 'up/m')).status, 200)
    deepStrictEqual(records[1]?.attempts.map(({ outcome }) => outcome), ['rate_limited', 'ok'])
  }
})

test('failover: F4: the client\'s own mistake is told at once and rests no key', async (context) => {
  for (const refusal of [400, 404, 413, 422]) {
    const { url, used, status, proxy } = await start(context)
    for (const key of [1, 2, 3]) status.set(key, refusal)
    strictEqual((await ask(url, 'chat', 'up/m')).status, refusal)
    strictEqual(used.length, 1)
    ok((await proxy.status()).backends[0]?.keys.every(({ state }) => state === 'ready'))
  }
})

test('failover: a resting key still answers when it is all there is', async (context) => {
  const { url, used, status } = await start(context)
  for (const key of [1, 2, 3]) status.set(key, 429)
  const first = await ask(url, 'chat', 'up/m')
  strictEqual(first.status, 429)
  deepStrictEqual([...used].sort(), [1, 2, 3])
  status.clear()
  strictEqual((await ask(url, 'chat', 'up/m')).status, 200)
})

test('failover: M6: the header names who answered when a chain moved on, and nothing of a key shows', async (context) => {
  const { url, status, records } = await start(context, 'no', {})
  for (const key of [1, 2]) status.set(key, 500)
  const answers = await Promise.all(Array.from({ length: 6 }, (_, name) => ask(url, 'chat', 'up/m', conversation(`c ${name}`))))
  ok(answers.every((response) => response.status === 200))
  match(records[0]?.key ?? '', /^up#3$/)
  ok(!JSON.stringify([records, answers.map(({ headers }) => [...headers])]).includes('SECRETSECRET'))
})
