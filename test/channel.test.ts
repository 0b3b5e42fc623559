import { deepStrictEqual, match, rejects, strictEqual } from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fanOut } from '../src/observe/channel.ts'
import type { ChannelPayloads } from '../src/observe/channel.ts'
import { createRecord } from './helpers/record.ts'
import { startProxy } from './helpers/proxy.ts'
import { until } from './helpers/until.ts'
import { startUpstream } from './helpers/upstream.ts'

/** What is told while the test runs. */
function listen(t: TestContext): string[] {
  const told: string[] = []
  let id = ''
  const listeners = {
    'dario:request': (message: unknown) => {
      const record = message as ChannelPayloads['dario:request']
      id = record.id
      told.push(`request ${record.model} ${record.status}`)
    },
    'dario:attempt': (message: unknown) => {
      const { record, attempt } = message as ChannelPayloads['dario:attempt']
      told.push(`attempt ${attempt.backend} ${attempt.outcome}`)
      strictEqual(record.id, id)
    },
    'dario:response': (message: unknown) => {
      const record = message as ChannelPayloads['dario:response']
      told.push(`response ${record.status} ${record.end}`)
      strictEqual(record.id, id)
    },
  }
  for (const [name, listener] of Object.entries(listeners)) {
    subscribe(name, listener)
    t.after(() => unsubscribe(name, listener))
  }
  return told
}

test('channel: a request, its attempt and its end are told in this order, with what is known by then', async (t) => {
  const told = listen(t)
  const { url } = await startProxy(t, {})
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body: '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' })).text()
  deepStrictEqual(told, ['request echo 0', 'attempt echo ok', 'response 200 complete'])
})

test('channel: an attempt whose client leaves is told as cancelled', async (t) => {
  const told = listen(t)
  const upstream = await startUpstream(t, () => {}) // no answer
  const { url, nextRecord } = await startProxy(t, { backends: { up: { type: 'openai', baseUrl: upstream.url, keys: ['k'] } } })
  const leave = new AbortController()
  const [over, answer] = [nextRecord(), fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":"up:m","messages":[]}', signal: leave.signal })]
  await until(() => upstream.received.length > 0)
  leave.abort()
  await rejects(answer)
  await over
  deepStrictEqual(told, ['request up:m 0', 'attempt up cancelled', 'response 499 cancelled'])
})

test('channel: an observer that throws is reported and spoils nothing', () => {
  const told: string[] = []
  const problems: string[] = []
  const bad = { end: () => { throw new Error('mine') } }
  const observer = fanOut([bad, { end: ({ id }) => told.push(id) }], (problem) => problems.push(problem))
  observer.end?.(createRecord({ id: 'req_5' }))
  deepStrictEqual(told, ['req_5'])
  match(problems[0]!, /an observer failed: mine/)
})
