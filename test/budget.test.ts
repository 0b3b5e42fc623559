import { deepStrictEqual, doesNotMatch, match, ok, strictEqual, throws } from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BudgetConfig } from '../src/config/types.ts'
import { parseConfig } from '../src/config/parse.ts'
import { DarioError } from '../src/index.ts'
import type { RequestRecord } from '../src/index.ts'
import { createBudgets } from '../src/observe/budget.ts'
import type { BudgetOptions, Budgets } from '../src/observe/budget.ts'
import { createHome } from './helpers/command.ts'
import { createRecord } from './helpers/record.ts'
import { startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'

interface Bench {
  budgets: Budgets
  warnings: string[]
  /** Admits and settles one request; returns the backends that were allowed. */
  spend(tokens: number, given?: Parameters<typeof createRecord>[0], chain?: string[]): string[]
  clock: { now: number }
}

/** Local noon, in the middle of a month. */
const NOON = new Date(2026, 10, 15, 12).getTime()

function createBench(list: BudgetConfig[], options: Partial<BudgetOptions> = {}): Bench {
  const clock = { now: NOON }
  const warnings: string[] = []
  const budgets = createBudgets({ budgets: () => list, priceOf: () => undefined, used: () => [], now: () => clock.now, warn: (line) => warnings.push(line), ...options })
  let count = 0
  return {
    budgets, warnings, clock,
    spend(tokens, given = {}, chain = ['a']) {
      const record = createRecord({ id: `req_${count++}`, time: clock.now, requestBytes: 4, usage: undefined, ...given })
      const allowed = budgets.admit(record, chain.map((id) => ({ backend: { id }, model: 'm' }))).map(({ backend }) => backend.id)
      budgets.settle({ ...record, backend: allowed[0], usage: { input: tokens } })
      return allowed
    },
  }
}

test('budget: from 80 % on a request is warned once in the log, at 100 % refused with the day it renews', () => {
  const { spend, warnings, clock } = createBench([{ scope: 'all', per: 'day', tokens: 1000 }])
  spend(790)
  strictEqual(warnings.length, 0)
  spend(20)
  spend(100)
  spend(1)
  deepStrictEqual(warnings, ['81 % of the budget of 1000 tokens a day is used'])
  spend(200) // what it really used is known only afterwards
  throws(() => spend(1), (error: DarioError) => {
    strictEqual(error.code, 'rate_limited')
    strictEqual(error.retryAfterMs, 12 * 3_600_000)
    match(error.message, /^the budget of 1000 tokens a day is used up \(1111 tokens.*renews at 2026-11-16 00:00.*"budgets"/)
    return true
  })
  clock.now += 12 * 3_600_000
  deepStrictEqual(spend(1), ['a'])
})

test('budget: a month renews on the first, and its days count together', () => {
  const { spend, clock } = createBench([{ scope: 'all', per: 'month', tokens: 100 }])
  spend(60)
  clock.now += 86_400_000
  spend(60)
  throws(() => spend(1), /renews at 2026-12-01 00:00/)
  clock.now = new Date(2026, 11, 1).getTime()
  deepStrictEqual(spend(1), ['a'])
})

test('budget: one backend, route or key that is used up leaves the others', () => {
  const { spend } = createBench([
    { scope: 'backend:a', per: 'day', tokens: 10 }, { scope: 'route:fast', per: 'day', tokens: 10 }, { scope: 'key:ci', per: 'day', tokens: 10 },
  ])
  deepStrictEqual(spend(20, {}, ['a', 'b']), ['a', 'b'])
  deepStrictEqual(spend(20, {}, ['a', 'b']), ['b']) // the chain goes on without it
  throws(() => spend(1), /for backend:a is used up/)
  spend(20, { route: 'fast' }, ['b'])
  throws(() => spend(1, { route: 'fast' }, ['b']), /for route:fast/)
  spend(20, { accessKey: 'ci' }, ['b'])
  throws(() => spend(1, { accessKey: 'ci' }, ['b']), /for key:ci/)
  deepStrictEqual(spend(1, { accessKey: 'other' }, ['b']), ['b'])
})

test('budget: what a request holds for itself does not refuse it the rest of its chain', () => {
  const { budgets } = createBench([{ scope: 'all', per: 'day', tokens: 1000 }])
  const chain = ['a', 'b'].map((id) => ({ backend: { id }, model: 'm' }))
  deepStrictEqual(budgets.admit(createRecord({ time: NOON, requestBytes: 2400 }), chain), chain)
})

test('budget: one that is raised, made or taken away while dario runs counts what was used before', () => {
  let list: BudgetConfig[] = [{ scope: 'all', per: 'day', tokens: 1000 }]
  const { spend } = createBench([], { budgets: () => list })
  spend(1000)
  throws(() => spend(1), /used up/)
  list = [{ scope: 'all', per: 'day', tokens: 2000 }]
  spend(500)
  list = [{ scope: 'backend:a', per: 'month', tokens: 1500 }]
  throws(() => spend(1), /for backend:a/)
  spend(1, {}, ['b'])
  list = []
  spend(1)
})

test('budget: requests under way are reserved, and given back when they end', () => {
  const { budgets } = createBench([{ scope: 'all', per: 'day', tokens: 1000 }])
  const chain = [{ backend: { id: 'a' }, model: 'm' }]
  const first = createRecord({ id: 'one', time: NOON, requestBytes: 2400, usage: undefined })
  budgets.admit(first, chain)
  throws(() => budgets.admit(createRecord({ id: 'two', time: NOON, requestBytes: 2400 }), chain), DarioError)
  budgets.settle({ ...first, usage: { input: 10 } })
  deepStrictEqual(budgets.admit(createRecord({ id: 'three', time: NOON, requestBytes: 2400 }), chain), chain)
})

test('budget: many short questions at once use it up as far as their answers will', () => {
  for (const price of [undefined, { input: 1e-6, output: 1e-5, source: 's' }]) {
    const { budgets, clock } = createBench([{ scope: 'all', per: 'day', ...(price ? { dollars: 0.2 } : { tokens: 20_000 }) }], { priceOf: () => price })
    const open: RequestRecord[] = []
    const admit = (): void => {
      const record = createRecord({ time: clock.now, requestBytes: 40, usage: undefined })
      budgets.admit(record, [{ backend: { id: 'a' }, model: 'm' }])
      open.push(record)
    }
    const settleAll = (): void => {
      for (const record of open.splice(0)) budgets.settle({ ...record, usage: { input: 10, output: 1000 }, ...(price && { cost: { dollars: 0.01, source: 's' } }) })
    }
    for (let index = 0; index < 4; index++) admit()
    settleAll()
    throws(() => {
      for (let index = 0; index < 1000; index++) admit()
    }, /a day (?:is used up|has no room for this request) \(/)
    ok(open.length >= 16 && open.length < 24, `${open.length}`) // the first 4 took a fifth; an answer was guessed to be some 700 tokens
    settleAll()
    throws(admit, /used up/)
  }
})

test('budget: money is counted by the price, a plan and an unknown price cost none', () => {
  const { spend, budgets } = createBench([{ scope: 'all', per: 'day', dollars: 1 }], { priceOf: (id) => id === 'plan' ? 'plan' : undefined })
  spend(1e9, {}, ['plan'])
  const record = createRecord({ id: 'paid', time: NOON })
  budgets.admit(record, [{ backend: { id: 'a' }, model: 'm' }])
  budgets.settle({ ...record, cost: { dollars: 0.999, source: 's' } })
  deepStrictEqual(spend(1), ['a'])
  budgets.settle(createRecord({ id: 'more', time: NOON, cost: { dollars: 0.002, source: 's' } }))
  throws(() => spend(1), /\$1 a day is used up \(about \$1\.00/)
})

test('budget: one that comes later counts what this process used before it, and nothing twice', () => {
  const list: BudgetConfig[] = []
  const asked: number[] = []
  const { spend, clock } = createBench(list, { used: (_since, until) => {
    asked.push(until)
    return []
  } })
  spend(60)
  clock.now += 1000
  list.push({ scope: 'all', per: 'day', tokens: 100 })
  spend(30)
  throws(() => spend(30, { requestBytes: 80 }), /a day has no room for this request \(90 tokens/)
  deepStrictEqual(asked, [NOON])
})

test('budget: a scope, a period or a limit that makes no sense is an error with its place', () => {
  for (const [budget, says] of [
    [{ scope: 'model:x', per: 'day', tokens: 1 }, /budgets\[0\]\.scope: must be all, backend:NAME/],
    [{ scope: 'all', per: 'week', tokens: 1 }, /budgets\[0\]\.per: must be one of day, month/],
    [{ scope: 'all', per: 'day' }, /budgets\[0\]: must have either/],
    [{ scope: 'all', per: 'day', tokens: 1, dollars: 1 }, /budgets\[0\]: must have either/],
    [{ scope: 'all', per: 'day', dollars: -1 }, /budgets\[0\]\.dollars: must be a number/],
  ] as const) throws(() => parseConfig({ budgets: [budget] }), says)
})

test('budget: a scope that names nothing is a warning', () => {
  const budgets = ['all', 'backend:echo', 'backend:opnai', 'key:ci', 'route:fast'].map((scope) => ({ scope, per: 'day' as const, tokens: 1 }))
  deepStrictEqual(parseConfig({ budgets }).warnings.map((warning) => /^(\S+) no (\w+)/.exec(warning)?.slice(1).join(' ')),
    ['budgets[2].scope: backend', 'budgets[3].scope: key', 'budgets[4].scope: route'])
})

const BODY = { id: 'c', object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }], usage: { prompt_tokens: 900, completion_tokens: 50 } }
const ASK = {
  '/v1/messages': { model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'x' }] },
  '/v1/chat/completions': { model: 'm', messages: [{ role: 'user', content: 'x' }] },
  '/v1/responses': { model: 'm', input: 'x' },
} as const

test('budget: clients get a header from 80 % on, then a 429 in their dialect; a restart forgets nothing', async (t) => {
  const upstream = await startUpstream(t, (request, response) => sendJson(response, request.method === 'GET' ? 404 : 200, BODY))
  const options = {
    backends: { b: { type: 'openai' as const, baseUrl: upstream.url, keys: ['sk-test'] } },
    budgets: [{ scope: 'all', per: 'day' as const, tokens: 1000 }], usageFolder: join(createHome(t), 'usage'),
  }
  const ask = (url: string, path: keyof typeof ASK): Promise<Response> => fetch(url + path, { method: 'POST', body: JSON.stringify(ASK[path]) })
  const first = await startProxy(t, options)
  const one = await ask(first.url, '/v1/chat/completions')
  await one.text()
  strictEqual(one.headers.get('dario-budget-warning'), null)
  const two = await ask(first.url, '/v1/messages')
  await two.text()
  match(two.headers.get('dario-budget-warning') ?? '', /^95 % of the budget of 1000 tokens a day is used$/)
  await first.proxy.close(1000)
  const second = await startProxy(t, options)
  const errors = await Promise.all((Object.keys(ASK) as (keyof typeof ASK)[]).map(async (path) => {
    const response = await ask(second.url, path)
    strictEqual(response.status, 429)
    ok(Number(response.headers.get('retry-after')) <= 86_400)
    return (await response.json()) as { type?: string; error: { type: string; message: string } }
  }))
  for (const { error } of errors) match(error.message, /1000 tokens a day is used up \(1900 tokens/)
  deepStrictEqual([errors[0]?.type, errors[0]?.error.type], ['error', 'rate_limit_error'])
  strictEqual(upstream.received.filter(({ method }) => method === 'POST').length, 2)
  const count = await fetch(`${second.url}/v1/messages/count_tokens`, { method: 'POST', body: JSON.stringify(ASK['/v1/messages']) })
  strictEqual(count.status, 200) // counting costs nothing
  doesNotMatch(await count.text(), /budget/)
})
