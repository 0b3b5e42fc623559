import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { listFixtures, readSse, readWhole } from './helpers/fixtures.ts'
import { createRandom, cutAnywhere } from './helpers/property.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, sendSse, startUpstream } from './helpers/upstream.ts'
import type { TestContext } from 'node:test'
import type { DialectName } from '../src/index.ts'

const PATHS: Record<DialectName, string> = { anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses' }
const DIALECTS = Object.keys(PATHS) as DialectName[]

/** Every way a server may frame the same events. */
const FRAMINGS: Record<string, (text: string) => string> = {
  'as recorded': (text) => text,
  'with CRLF line ends': (text) => text.replaceAll('\n', '\r\n'),
  'with comments': (text) => text.replaceAll('\n\n', '\n\n: a comment\n\n'),
  'without a final blank line': (text) => text.replace(/\n+$/, ''),
}
const CUTS: Record<string, (text: string) => Buffer[]> = {
  whole: (text) => [Buffer.from(text)],
  'byte by byte': (text) => [...Buffer.from(text.slice(0, 4000))].map((byte) => Buffer.of(byte)).concat(Buffer.from(text.slice(4000))),
  'cut at random': (text) => cutAnywhere(Buffer.from(text), createRandom(text.length), 60),
}

async function ask(context: TestContext, dialect: DialectName, pieces: Buffer[]): Promise<Response> {
  const upstream = await startUpstream(context, (_, response) => sendSse(response, pieces))
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  return fetch(url + PATHS[dialect], { method: 'POST', body: JSON.stringify({ model: `${dialect}/any`, stream: true, messages: [] }) })
}

for (const dialect of DIALECTS) {
  for (const [framing, frame] of Object.entries(FRAMINGS)) {
    for (const [cut, toPieces] of Object.entries(CUTS)) {
      test(`relay: recorded ${dialect} streams, ${framing}, ${cut}, reach the client byte for byte`, async (context) => {
        for (const name of listFixtures(dialect, 'stream')) {
          const sent = frame(readSse(dialect, name))
          const response = await ask(context, dialect, toPieces(sent))
          const received = Buffer.from(await response.arrayBuffer()).toString()
          strictEqual(received, sent, name)
          strictEqual(response.headers.get('dario-backend'), dialect)
        }
      })
    }
  }

  test(`relay: recorded whole ${dialect} answers reach the client byte for byte`, async (context) => {
    let answer: object = {}
    const upstream = await startUpstream(context, (_, response) => sendJson(response, 200, answer))
    const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
    const names = listFixtures(dialect, 'whole').filter((name) => !name.includes('error'))
    ok(names.length > 3)
    for (const name of names) {
      answer = readWhole(dialect, name)
      const response = await fetch(url + PATHS[dialect], { method: 'POST', body: `{"model":"${dialect}/any","messages":[]}` })
      deepStrictEqual(await response.text(), JSON.stringify(answer), name)
    }
  })
}

test('relay: only the bytes of the model name change in the request', async (context) => {
  const upstream = await startUpstream(context, (_, response) => sendJson(response, 200, {}))
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  const body = '{ "big": 12345678901234567890, "one": 1.0,  "model" : "anthropic/claude-x", "odd": {"model":"anthropic/claude-x"} }'
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body })).text()
  strictEqual(upstream.received[0]?.body.toString(), body.replace('"model" : "anthropic/claude-x"', '"model" : "claude-x"'))
})

test('relay: usage of a relayed stream is in the record', async (context) => {
  const upstream = await startUpstream(context, (_, response) => sendSse(response, [readSse('anthropic', 'anthropic-text')]))
  const { url, nextRecord } = await startProxy(context, { backends: backendsAt(upstream.url) })
  const record = nextRecord()
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body: '{"model":"anthropic/any","stream":true}' })).text()
  const { usage, end, status } = await record
  deepStrictEqual([end, status], ['complete', 200])
  ok((usage?.input ?? 0) > 0 && (usage?.output ?? 0) > 0)
})
