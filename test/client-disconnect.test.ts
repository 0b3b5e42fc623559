import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { test } from 'node:test'
import { DIALECTS, PAIRS, PATHS, STREAMS, ask, makeRequest } from './helpers/answers.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { startUpstream } from './helpers/upstream.ts'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import type { DialectName, RequestRecord } from '../src/index.ts'

interface Left { record: RequestRecord; attempts: number }

/** Asks, leaves when `leave` says so, and waits until the upstream has seen its connection end. */
async function leaveAt(
  context: TestContext, [client, backend]: readonly [DialectName, DialectName], stream: boolean,
  answer: (response: ServerResponse) => void, leave: (asked: ClientRequest, upstreamAsked: Promise<unknown>) => Promise<unknown>,
): Promise<Left> {
  let told: (() => void) | undefined
  const upstreamAsked = new Promise<void>((resolve) => { told = resolve })
  let closed: Promise<unknown> | undefined
  const upstream = await startUpstream(context, (_, response) => {
    closed = once(response, 'close')
    answer(response)
    told?.()
  })
  const { url, nextRecord } = await startProxy(context, { backends: backendsAt(upstream.url) })
  const record = nextRecord()
  const asked = request(url + PATHS[client], { method: 'POST', headers: { 'content-type': 'application/json' } })
  asked.on('error', () => {}) // we hang up on purpose
  asked.end(JSON.stringify(makeRequest(client, `${backend}/m`, { stream })))
  await withDeadline(leave(asked, upstreamAsked), 5_000, 'the moment to leave')
  asked.destroy()
  await withDeadline(upstreamAsked.then(() => closed), 2_000, 'the upstream request ends')
  return { record: await withDeadline(record, 2_000, 'the record'), attempts: upstream.received.length }
}

function checkCancelled({ record, attempts }: Left): void {
  const { status, end, error } = record
  deepStrictEqual([status, end, error?.code, attempts], [499, 'cancelled', 'client_closed', 1])
}

for (const pair of PAIRS) {
  const [client, backend] = pair
  const way = `${client} client, ${backend} backend`
  for (const stream of [true, false]) {
    test(`disconnect: S29: before the upstream's headers (${way}, ${stream ? 'streamed' : 'whole'}) the upstream request ends at once`, async (context) => {
      checkCancelled(await leaveAt(context, pair, stream, () => {}, (_, upstreamAsked) => upstreamAsked))
    })
    test(`disconnect: S29: before the first content (${way}, ${stream ? 'streamed' : 'whole'}) the upstream request ends at once`, async (context) => {
      checkCancelled(await leaveAt(context, pair, stream, (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(STREAMS[backend].preamble)
      }, (_, upstreamAsked) => upstreamAsked))
    })
  }
  test(`disconnect: S29: in the stream (${way}) the upstream request ends at once`, async (context) => {
    checkCancelled(await leaveAt(context, pair, true, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(STREAMS[backend].preamble + STREAMS[backend].content[0])
    }, async (asked) => {
      const [response] = await once(asked, 'response') as [IncomingMessage]
      await once(response, 'data')
    }))
  })
}

test('disconnect: S30: writes to clients that left, at every moment, leave the proxy serving', async (context) => {
  const { url, records } = await startProxy(context, {})
  const words = 'word '.repeat(2000)
  for (let wave = 0; wave < 20; wave++) {
    const controller = new AbortController()
    const asked = DIALECTS.map((dialect) => ask(url, dialect, 'echo', { stream: true, ...(dialect === 'responses' ? { input: words } : { messages: [{ role: 'user', content: words }] }) }, { signal: controller.signal })
      .then((response) => response.text()).catch(() => 'left'))
    await new Promise((resolve) => setTimeout(resolve, wave))
    controller.abort()
    await Promise.all(asked)
  }
  strictEqual((await ask(url, 'anthropic', 'echo')).status, 200)
  strictEqual(records.some(({ end }) => end === 'broken'), false)
})

test('disconnect: F5: a client that left while it waited in the queue is not asked for', async (context) => {
  const upstream = await startUpstream(context, () => {})
  const { url, records, nextRecord } = await startProxy(context, {
    backends: { one: { type: 'anthropic', baseUrl: upstream.url, keys: ['sk-test-SECRETSECRET'], maxConcurrent: 1 } },
  })
  const first = new AbortController()
  const second = new AbortController()
  const busy = ask(url, 'anthropic', 'one/m', {}, { signal: first.signal }).catch(() => 'left')
  await withDeadline(once(upstream.server, 'request'), 2_000, 'the first request')
  const ended = nextRecord()
  const waiting = ask(url, 'anthropic', 'one/m', {}, { signal: second.signal }).catch(() => 'left')
  await new Promise((resolve) => setTimeout(resolve, 50))
  second.abort()
  strictEqual((await withDeadline(ended, 2_000, 'the record')).end, 'cancelled')
  first.abort()
  deepStrictEqual(await Promise.all([busy, waiting]), ['left', 'left'])
  deepStrictEqual([upstream.received.length, records[0]?.attempts.length], [1, 0])
})
