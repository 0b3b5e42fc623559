import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { DIALECTS, WHOLES, ask, wholeStream } from './helpers/answers.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, sendSse, startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { ProxyOptions } from '../src/index.ts'
import type { JsonObject } from '../src/hub/types.ts'
import type { TestProxy } from './helpers/proxy.ts'
import type { TestUpstream } from './helpers/upstream.ts'

async function start(context: TestContext, options: ProxyOptions = {}): Promise<TestProxy & { up: TestUpstream }> {
  const up = await startUpstream(context, ({ url, body }, response) => {
    const dialect = DIALECTS.find((name) => url.startsWith({ anthropic: '/v1/messages', chat: '/v1/chat', responses: '/v1/responses' }[name]))!
    const { stream } = JSON.parse(body.toString()) as JsonObject
    if (stream === true) return sendSse(response, [wholeStream(dialect)])
    sendJson(response, 200, WHOLES[dialect])
  })
  return { ...await startProxy(context, { backends: backendsAt(up.url), ...options }), up }
}

/** The id of an answer as the client sees it: in every event of a stream the same. */
async function readId(response: Response): Promise<string> {
  const text = await response.text()
  strictEqual(response.status, 200, text)
  const ids = new Set(text.match(/(?<="id":)"resp_[\w-]+"/g))
  strictEqual(ids.size, 1, [...ids].join())
  return JSON.parse([...ids][0]!) as string
}

const lastBody = (up: TestUpstream): string => up.received.at(-1)!.body.toString()

for (const backend of ['anthropic', 'chat'] as const) {
  for (const stream of [true, false]) {
    test(`state: R18: a conversation goes on by previous_response_id at a ${backend} backend, ${stream ? 'streamed' : 'whole'}`, async (context) => {
      const { url, up } = await start(context)
      const first = await readId(await ask(url, 'responses', `${backend}/m`, { input: 'first question', stream }))
      const second = await readId(await ask(url, 'responses', `${backend}/m`, { input: 'second question', stream, previous_response_id: first }))
      match(lastBody(up), /first question.*Hello world.*second question/)
      await readId(await ask(url, 'responses', `${backend}/m`, { input: 'third question', stream: !stream, previous_response_id: second }))
      match(lastBody(up), /first question.*Hello world.*second question.*Hello world.*third question/)
    })
  }

  test(`state: what is unknown, was not to be stored, or is another key's is a 400 at a ${backend} backend`, async (context) => {
    const keys = ['alice', 'bob'].map((name) => ({ name, hash: createHash('sha256').update(`${name}-key`).digest('hex') }))
    const { url, up } = await start(context, { accessKeys: keys })
    const as = (name: string, more: JsonObject): Promise<Response> =>
      ask(url, 'responses', `${backend}/m`, { input: 'x', ...more }, { headers: { 'x-api-key': `${name}-key` } })
    const kept = await readId(await as('alice', {}))
    const notKept = await readId(await as('alice', { store: false }))
    const asked = up.received.length
    for (const [name, id] of [['bob', kept], ['alice', notKept], ['alice', 'resp_none']] as const) {
      const response = await as(name, { previous_response_id: id })
      const { error } = await response.json() as { error: JsonObject }
      deepStrictEqual([response.status, error['param'], error['code']], [400, 'previous_response_id', 'previous_response_not_found'])
      match(String(error['message']), /not kept here.*whole conversation/)
    }
    strictEqual(up.received.length, asked)
    await readId(await as('alice', { previous_response_id: kept }))
  })
}

test('state: a Responses server keeps its own answers: an unknown id is its to judge', async (context) => {
  const { url, up } = await start(context)
  await (await ask(url, 'responses', 'responses/m', { previous_response_id: 'resp_theirs' })).text()
  match(lastBody(up), /"previous_response_id":"resp_theirs"/)
})

test('state: F11: a limit at the server that holds an answer is told, not that the next in the chain cannot know it', async (context) => {
  const up = await startUpstream(context, ({ url }, response) => url.startsWith('/v1/responses')
    ? sendJson(response, 429, { error: { message: 'slow down', type: 'rate_limit_error' } }, { 'retry-after': '7' })
    : sendJson(response, 200, WHOLES.chat))
  const { url } = await startProxy(context, { backends: backendsAt(up.url), routes: [{ model: 'm', to: ['responses', 'chat'] }] })
  const response = await ask(url, 'responses', 'm', { previous_response_id: 'resp_theirs' })
  deepStrictEqual([response.status, response.headers.get('dario-attempts')], [429, '2'])
})

for (const backend of ['responses', 'anthropic'] as const) {
  for (const stream of [true, false]) {
    test(`state: G1: a chain of answers stays at the key that holds its first one, at a ${backend} backend, ${stream ? 'streamed' : 'whole'}`, async (context) => {
      const up = await startUpstream(context, (_, response) => {
        const own = (text: string): string => text.replaceAll('resp_up', `resp_${up.received.length}`)
        if (stream) return sendSse(response, [own(wholeStream(backend))])
        sendJson(response, 200, JSON.parse(own(JSON.stringify(WHOLES[backend]))))
      })
      const keys = ['sk-test-one-SECRETSECRET', 'sk-test-two-SECRETSECRET', 'sk-test-three-SECRETSECRET']
      const { url } = await startProxy(context, { backends: { it: { ...backendsAt(up.url)[backend]!, keys } } })
      const used = new Set<string>()
      for (let conversation = 0; conversation < 8; conversation++) {
        let previous: string | undefined
        const chain = new Set<string>()
        for (const turn of [1, 2, 3]) {
          const more = previous === undefined ? {} : { previous_response_id: previous }
          previous = await readId(await ask(url, 'responses', 'it/m', { input: `question ${conversation}.${turn}`, stream, ...more }))
          const { authorization, 'x-api-key': key } = up.received.at(-1)!.headers
          chain.add(String(authorization ?? key))
        }
        if (backend === 'responses') {
          await (await fetch(`${url}/v1/responses/${previous}`)).text()
          chain.add(String(up.received.at(-1)!.headers.authorization))
        }
        strictEqual(chain.size, 1)
        used.add([...chain][0]!)
      }
      ok(used.size > 1, 'other conversations use other keys')
    })
  }
}

test('state: an answer that dario kept is written out for a Responses server that never saw it', async (context) => {
  const { url, up } = await start(context)
  const first = await readId(await ask(url, 'responses', 'chat/m', { input: 'first question' }))
  strictEqual((await ask(url, 'responses', 'responses/m', { input: 'second question', previous_response_id: first })).status, 200)
  match(lastBody(up), /first question.*Hello world.*second question/)
  ok(!lastBody(up).includes('previous_response_id'))
})

test('state: a broken answer is not kept', async (context) => {
  const { url: broken } = await startUpstream(context, (_, response) => sendSse(response, [wholeStream('chat').split('"finish_reason":"stop"')[0]!.replace(/data: [^\n]*$/, '')]))
  const { url } = await startProxy(context, { backends: backendsAt(broken) })
  const text = await (await ask(url, 'responses', 'chat/m', { stream: true })).text()
  match(text, /response\.failed/)
  const id = JSON.parse(/"resp_[\w-]+"/.exec(text)![0]) as string
  strictEqual((await ask(url, 'responses', 'chat/m', { previous_response_id: id })).status, 400)
})

test('state: with maxStoredAnswers 0 nothing is kept, and the refusal says what to send instead', async (context) => {
  const { url } = await start(context, { maxStoredAnswers: 0 })
  const first = await readId(await ask(url, 'responses', 'chat/m', { input: 'first question' }))
  const refused = await ask(url, 'responses', 'chat/m', { input: 'second question', previous_response_id: first })
  strictEqual(refused.status, 400)
  match(await refused.text(), /previous_response_id.*whole conversation as input/)
})

for (const stream of [true, false]) {
  test(`state: the answer names the earlier one as the client did, ${stream ? 'streamed' : 'whole'}`, async (context) => {
    const { url } = await start(context)
    const first = await readId(await ask(url, 'responses', 'chat/m', { input: 'first question' }))
    const text = await (await ask(url, 'responses', 'chat/m', { input: 'second question', stream, previous_response_id: first })).text()
    deepStrictEqual(new Set(text.match(/"previous_response_id":[^,]*/g)), new Set([`"previous_response_id":"${first}"`]))
  })
}

for (const stream of [true, false]) {
  test(`state: what only the vendor can judge does not refuse its answer in the other form, ${stream ? 'streamed' : 'whole'}`, async (context) => {
    const { url: other } = await startUpstream(context, (_, response) => {
      if (stream) sendJson(response, 200, WHOLES.responses)
      else sendSse(response, [wholeStream('responses')])
    })
    const { url } = await startProxy(context, { backends: backendsAt(other) })
    for (const held of [{ previous_response_id: 'resp_theirs' }, { conversation: 'conv_theirs' }, { background: true }]) {
      const answer = await ask(url, 'responses', 'responses/m', { stream, ...held })
      const text = await answer.text()
      deepStrictEqual([answer.status, answer.headers.get('content-type')], [200, stream ? 'text/event-stream; charset=utf-8' : 'application/json'], text)
      match(text, /"status":"completed".*Hello world/)
      if (!('previous_response_id' in held)) continue
      match(text, /"previous_response_id":"resp_theirs"/)
      const id = JSON.parse(/(?<="id":)"resp_[^"]+"/.exec(text)![0]) as string
      strictEqual((await ask(url, 'responses', 'chat/m', { previous_response_id: id })).status, 400, 'half a conversation is not kept')
    }
  })
}
