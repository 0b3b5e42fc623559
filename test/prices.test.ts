import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../src/config/parse.ts'
import { createObservation } from '../src/observe/observe.ts'
import { estimateCost, findPrice } from '../src/observe/prices.ts'
import type { ProxyOptions } from '../src/index.ts'
import { startProxy } from './helpers/proxy.ts'
import { createRecord } from './helpers/record.ts'
import { until } from './helpers/until.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

test('prices: a longer beginning of a name wins over a shorter one', () => {
  const perMillion = (model: string, host = 'api.openai.com'): number | undefined => {
    const input = findPrice(host, model)?.input
    return input === undefined ? undefined : Math.round(input * 1e9) / 1e3
  }
  deepStrictEqual(['gpt-5-mini-2025-08-07', 'gpt-5-2025-08-07', 'gpt-5.4-nano', 'gpt-4o'].map((model) => perMillion(model)), [0.25, 1.25, 0.2, 2.5])
  deepStrictEqual(['claude-opus-4-1-20250805', 'claude-opus-4-5', 'claude-opus-4-20250514', 'claude-haiku-4-5'].map((model) => perMillion(model, 'api.anthropic.com')), [15, 5, 15, 1])
})

test('prices: a dearer sort of a known model, an unknown model and another host have no price', () => {
  for (const [host, model] of [['api.openai.com', 'gpt-5-pro'], ['api.openai.com', 'gpt-4o-audio-preview'], ['api.openai.com', 'gpt-5.1-codex-mini'], ['api.openai.com', 'x'], ['localhost', 'gpt-5'], [undefined, 'gpt-5']] as const) {
    strictEqual(findPrice(host, model), undefined)
  }
})

test('prices: a long conversation costs its multiple, as a whole', () => {
  const price = findPrice('generativelanguage.googleapis.com', 'gemini-2.5-pro')!
  const dollars = (usage: Parameters<typeof estimateCost>[0]): number => Math.round(estimateCost(usage, price).dollars * 1e6) / 1e6
  strictEqual(dollars({ input: 200_000, output: 100_000 }), 0.25 + 1)
  strictEqual(dollars({ input: 100_000, cacheRead: 200_000, output: 100_000 }), 0.25 + 0.05 + 1.5)
})

test('prices: U2: cached input is paid at its own price, and at the full one where none is known', () => {
  const usage = { input: 100, cacheRead: 1000, cacheWrite: 10, output: 5 }
  const price = { input: 2, output: 10, cacheRead: 0.5, cacheWrite: 3, source: 'configuration' }
  deepStrictEqual(estimateCost(usage, price), { dollars: 200 + 500 + 30 + 50, source: 'configuration' })
  strictEqual(estimateCost(usage, { input: 2, output: 10, source: 's' }).dollars, 200 + 2000 + 20 + 50)
  strictEqual(estimateCost({ ...usage, cacheWriteHour: 4 }, price).dollars, 200 + 500 + 6 * 3 + 4 * 4 + 50)
})

type BackendInput = NonNullable<ProxyOptions['backends']>[string]

const CHAT = { id: 'c', object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1000, completion_tokens: 100 } }

async function ask(url: string, model: string): Promise<void> {
  const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model, messages: [{ role: 'user', content: 'x' }] }) })
  strictEqual(response.status, 200)
  await response.text()
}

test('prices: the configuration beats the list of the backend, which gives the rest, and echo has none', async (t) => {
  const upstream = await startUpstream(t, (request, response) => request.method === 'GET'
    ? sendJson(response, 200, { data: [{ id: 'listed', pricing: { prompt: '0.001', completion: '0.01' } }, { id: 'free', pricing: { prompt: '0', completion: '0' } }] })
    : sendJson(response, 200, CHAT))
  const backend = { type: 'openai', baseUrl: upstream.url, keys: ['sk-test'] } satisfies BackendInput
  const { url, records } = await startProxy(t, {
    backends: { router: backend, mine: { ...backend, models: [{ id: 'own', price: { input: 1000, output: 2000 } }] } },
    budgets: [{ scope: 'key:nobody', per: 'day', tokens: 1 }],
  })
  await fetch(`${url}/v1/models`) // so that the list is known before the first answer
  for (const model of ['router:listed', 'router:free', 'router:other', 'mine:own', 'echo']) await ask(url, model)
  const [listed, free, other, own, echo] = records.map(({ cost }) => cost)
  ok(typeof listed === 'object' && typeof free === 'object' && typeof own === 'object')
  strictEqual(listed.dollars, 2)
  match(listed.source, /^model list of router, \d{4}-\d\d-\d\d$/)
  strictEqual(free.dollars, 0)
  deepStrictEqual(own, { dollars: 1.2, source: 'configuration' })
  deepStrictEqual([other, echo], [undefined, undefined])
})

test('prices: an unknown price makes dario ask for the list once, and no request waits for it', async (t) => {
  let lists = 0
  const upstream = await startUpstream(t, (request, response) => {
    if (request.method === 'POST') return sendJson(response, 200, CHAT)
    lists++
    return undefined // never answered
  })
  const { url } = await startProxy(t, {
    backends: { router: { type: 'openai', baseUrl: upstream.url, keys: ['sk-test'] } }, budgets: [{ scope: 'all', per: 'day', tokens: 1e9 }],
  })
  for (let index = 0; index < 3; index++) await ask(url, 'router:m')
  strictEqual(lists, 1)
})

test('prices: those of a list are asked for again, and dated by the day on which they came', () => {
  let time = Date.parse('2026-11-20T12:00:00Z'), asked = 0
  let price = { input: 1, output: 2 }
  const config = parseConfig({ backends: { router: { type: 'openai', baseUrl: 'http://127.0.0.1:9' } }, budgets: [{ scope: 'all', per: 'day', dollars: 1e9 }] }, {}).config
  const { costOf } = createObservation({
    folder: undefined, config: () => config, observers: [], log: () => {}, now: () => time, ask: () => { asked++ },
    backendOf: () => ({ type: 'openai', host: '127.0.0.1' }), modelOf: (_backend, id) => ({ id, price }),
  })
  const cost = (): unknown => costOf(createRecord({ backend: 'router', usage: { input: 1 } }))
  deepStrictEqual([cost(), asked], [{ dollars: 1, source: 'model list of router, 2026-11-20' }, 1])
  time += 86_400_000
  deepStrictEqual([cost(), asked], [{ dollars: 1, source: 'model list of router, 2026-11-20' }, 2]) // yesterday's, until the new list is there
  price = { input: 3, output: 2 }
  deepStrictEqual([cost(), asked], [{ dollars: 3, source: 'model list of router, 2026-11-21' }, 2])
})

test('prices: a configuration that changes does not lose those of the lists', async (t) => {
  const upstream = await startUpstream(t, (request, response) => request.method === 'GET'
    ? sendJson(response, 200, { data: [{ id: 'm', pricing: { prompt: '0.001', completion: '0.01' } }] }) : sendJson(response, 200, CHAT))
  const given = {
    backends: { router: { type: 'openai' as const, baseUrl: upstream.url, keys: ['sk-test'] } },
    budgets: [{ scope: 'all', per: 'day' as const, dollars: 1e9 }],
  }
  const { url, proxy, records } = await startProxy(t, given)
  const askUntilPriced = (): Promise<void> => until(async () => {
    await ask(url, 'router:m')
    return records.at(-1)?.cost !== undefined
  })
  await askUntilPriced()
  proxy.update(parseConfig({ ...given, port: 0 }, {}).config)
  await askUntilPriced()
})
