import { ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { test } from 'node:test'
import { DIALECTS, END_MARKS, PATHS, STREAMS, makeRequest } from './helpers/answers.ts'
import { withDeadline } from './helpers/deadline.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { startUpstream } from './helpers/upstream.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import type { DialectName } from '../src/index.ts'
import type { TestProxy } from './helpers/proxy.ts'

const MEGABYTE = 1_048_576
const TOTAL = 64 * MEGABYTE

/** An upstream with 64 MiB of short events to send; `sent` counts what the proxy let it send. */
async function startFlood(context: TestContext): Promise<{ url: string; sent: () => number; closed: () => boolean }> {
  let sent = 0
  let closed = false
  const event = STREAMS.chat.content[0]!.replace('Hello', 'x'.repeat(8_000))
  const { url } = await startUpstream(context, async (_, response) => {
    response.once('close', () => { closed = true })
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(STREAMS.chat.preamble)
    while (sent < TOTAL && !response.destroyed) {
      sent += event.length
      if (!response.write(event)) await Promise.race([once(response, 'drain'), once(response, 'close')])
    }
    response.end(STREAMS.chat.end)
  })
  return { url, sent: () => sent, closed: () => closed }
}

async function open(proxy: TestProxy, client: DialectName): Promise<IncomingMessage> {
  const asked = request(proxy.url + PATHS[client], { method: 'POST', headers: { 'content-type': 'application/json' } })
  asked.on('error', () => {}) // the proxy may hang up on us
  asked.end(JSON.stringify(makeRequest(client, 'chat/m', { stream: true })))
  const [response] = await once(asked, 'response') as [IncomingMessage]
  response.on('error', () => {})
  return response
}

/** Waits until the upstream was let send nothing more for 150 ms. */
async function settled(sent: () => number): Promise<number> {
  for (let last = -1; last !== sent();) {
    last = sent()
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  return sent()
}

for (const client of DIALECTS) {
  test(`backpressure: S27: a ${client} client that does not read stops the upstream, and gets all once it reads`, async (context) => {
    const flood = await startFlood(context)
    const proxy = await startProxy(context, { backends: backendsAt(flood.url) })
    const response = await open(proxy, client)
    const held = await withDeadline(settled(flood.sent), 10_000, 'the upstream stops')
    ok(held < 16 * MEGABYTE, `${held} bytes in flight`) // socket buffers of the kernel on both sides
    let tail = ''
    let whole = false
    response.setEncoding('utf8').on('data', (text: string) => {
      whole ||= END_MARKS[client].test(tail + text)
      tail = text.slice(-100)
    })
    await withDeadline(once(response, 'end'), 30_000, 'the rest')
    ok(flood.sent() >= TOTAL)
    ok(whole)
  })

  test(`backpressure: S28: a ${client} client that reads no more is dropped, and its upstream with it`, async (context) => {
    const flood = await startFlood(context)
    const proxy = await startProxy(context, { backends: backendsAt(flood.url), stalledReader: 300, keepAlive: 300 })
    const record = proxy.nextRecord()
    const response = await open(proxy, client)
    const { end, status } = await withDeadline(record, 10_000, 'the drop')
    strictEqual(end, 'cancelled')
    strictEqual(status, 499)
    ok(flood.sent() < TOTAL)
    response.resume()
    await withDeadline(new Promise((resolve) => response.once('close', resolve)), 5_000, 'our connection ends')
    ok(!response.complete)
    await settled(() => flood.closed() ? 1 : 0)
    ok(flood.closed())
  })
}

test('backpressure: S28: a stalled reader of a passed-through file is dropped too', async (context) => {
  const { url } = await startUpstream(context, async (_, response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    for (let sent = 0; sent < TOTAL && !response.destroyed; sent += MEGABYTE) {
      if (!response.write(Buffer.alloc(MEGABYTE))) await Promise.race([once(response, 'drain'), once(response, 'close')])
    }
    response.end()
  })
  const proxy = await startProxy(context, { backends: backendsAt(url), stalledReader: 300 })
  const record = proxy.nextRecord()
  const asked = request(`${proxy.url}/v1/files/file_1/content`).on('error', () => {}).end()
  const [response] = await once(asked, 'response') as [IncomingMessage]
  response.on('error', () => {})
  strictEqual((await withDeadline(record, 10_000, 'the drop')).end, 'cancelled')
})
