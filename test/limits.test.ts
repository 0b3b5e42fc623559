import { deepStrictEqual, match, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { DIALECTS, PAIRS, STREAMS, STREAM_ERRORS, WHOLES, ask, makeError } from './helpers/answers.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { ProxyOptions } from '../src/index.ts'

const KEYS = ['sk-test-one-SECRETSECRET', 'sk-test-two-SECRETSECRET', 'sk-test-three-SECRETSECRET']

for (const [client, backend] of PAIRS) {
  test(`limits: a request over the deadline is a 504 that names the setting, and ends upstream (${client} from ${backend})`, async (context) => {
    let closed: Promise<void> | undefined
    const { url: up } = await startUpstream(context, (_, response) => {
      closed = new Promise((resolve) => response.once('close', resolve))
    })
    const { url, records } = await startProxy(context, { backends: backendsAt(up), deadline: 150 })
    const response = await ask(url, client, `${backend}/m`)
    strictEqual(response.status, 504)
    match(await response.text(), /150 ms.*deadline/)
    await withDeadline(closed!, 2_000, 'the upstream request ends')
    strictEqual(records[0]?.end, 'failed')
  })

  test(`limits: a stream over the deadline ends with the error of the dialect (${client} from ${backend})`, async (context) => {
    const { url: up } = await startUpstream(context, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(STREAMS[backend].preamble + STREAMS[backend].content[0])
    })
    const { url, nextRecord } = await startProxy(context, { backends: backendsAt(up), deadline: 200 })
    const record = nextRecord()
    const text = await (await ask(url, client, `${backend}/m`, { stream: true })).text()
    match(text, /Hello/)
    match(text, STREAM_ERRORS[client])
    match(text, /deadline/)
    strictEqual((await record).end, 'broken')
  })
}

test('limits: F8: no more upstream requests than the setting attempts', async (context) => {
  const up = await startUpstream(context, (_, response) => sendJson(response, 503, makeError('chat', 'x', 'down')))
  const backends: ProxyOptions['backends'] = {
    a: { type: 'openai', baseUrl: up.url, speaks: ['chat'], keys: KEYS }, b: { type: 'openai', baseUrl: up.url, speaks: ['chat'], keys: KEYS },
  }
  const { url } = await startProxy(context, { backends, routes: [{ model: '*', to: ['a', 'b'] }], attempts: 4 })
  const response = await ask(url, 'chat', 'm')
  deepStrictEqual([response.status, response.headers.get('dario-attempts'), up.received.length], [503, '4', 4])
})

for (const client of DIALECTS) {
  test(`limits: G9: a full queue is a 429 with retry-after and the name of the setting for ${client} clients`, async (context) => {
    const held: (() => void)[] = []
    let arrive = (): void => {}
    const arrived = new Promise<void>((resolve) => { arrive = resolve })
    const up = await startUpstream(context, (_, response) => {
      held.push(() => sendJson(response, 200, WHOLES.chat))
      arrive()
    })
    const { url } = await startProxy(context, {
      backends: { one: { type: 'openai', baseUrl: up.url, speaks: ['chat'], keys: [KEYS[0]!], maxConcurrent: 1, maxQueue: 1 } },
    })
    const asked = [1, 2, 3].map(() => ask(url, client, 'one/m'))
    const [full] = await withDeadline(Promise.all([Promise.race(asked), arrived]), 2_000, 'the refusal')
    deepStrictEqual([full.status, full.headers.get('retry-after'), up.received.length], [429, '1', 1])
    match(await full.text(), /backends\.one\.maxConcurrent or maxQueue/)
    const timer = setInterval(() => held.shift()?.(), 5)
    const statuses = (await Promise.all(asked)).map(({ status }) => status)
    clearInterval(timer)
    deepStrictEqual(statuses.sort(), [200, 200, 429])
  })
}

test('limits: a full queue at one backend leaves the request to the next one', async (context) => {
  const slow = await startUpstream(context, () => {})
  const quick = await startUpstream(context, (_, response) => sendJson(response, 200, WHOLES.chat))
  const settings = { type: 'openai', speaks: ['chat'], keys: [KEYS[0]!] } satisfies NonNullable<ProxyOptions['backends']>[string]
  const { url } = await startProxy(context, {
    backends: { slow: { ...settings, baseUrl: slow.url, maxConcurrent: 1, maxQueue: 0 }, quick: { ...settings, baseUrl: quick.url } },
    routes: [{ model: '*', to: ['slow', 'quick'] }],
  })
  const answers = [ask(url, 'chat', 'm'), ask(url, 'chat', 'm')].map((answer) => answer.catch(() => undefined))
  const first = await withDeadline(Promise.race(answers), 2_000, 'an answer')
  deepStrictEqual([first?.status, first?.headers.get('dario-backend')], [200, 'quick'])
})
