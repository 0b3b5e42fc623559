/**
 * Every recorded answer through every pair of dialects, by way of a real proxy and a real upstream.
 * @module
 */
import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { DialectName, JsonObject } from '../src/hub/types.ts'
import { withDeadline } from './helpers/deadline.ts'
import { NAMES } from './helpers/dialects.ts'
import { listFixtures, readAnswers, readWhole, toSse } from './helpers/fixtures.ts'
import { createRandom, cutAnywhere } from './helpers/property.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { readAnswer, toEvents } from './helpers/read-answer.ts'
import type { Seen } from './helpers/read-answer.ts'
import { sendSse, startUpstream } from './helpers/upstream.ts'
import type { TestUpstream } from './helpers/upstream.ts'

const BYTE_BY_BYTE = 12_000 // bytes of a recording that is small enough for it
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))

const REQUESTS: Record<DialectName, { path: string; body: JsonObject }> = {
  anthropic: { path: '/v1/messages', body: { max_tokens: 1000, messages: [{ role: 'user', content: 'hi' }] } },
  chat: { path: '/v1/chat/completions', body: { stream_options: { include_usage: true }, messages: [{ role: 'user', content: 'hi' }] } },
  responses: { path: '/v1/responses', body: { input: 'hi', store: false } },
}

interface House {
  play(pieces: Buffer[], streamed: boolean): void
  ask(client: DialectName, upstream: DialectName, stream: boolean): Promise<{ status: number; text: string }>
}

async function build(context: TestContext): Promise<House> {
  let pieces: Buffer[] = [], streamed = true
  const upstream: TestUpstream = await startUpstream(context, (_request, response) => {
    if (streamed) return sendSse(response, pieces)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(pieces[0])
  })
  const { url } = await startProxy(context, { backends: backendsAt(upstream.url) })
  return {
    play(newPieces, newStreamed) {
      pieces = newPieces
      streamed = newStreamed
    },
    async ask(client, target, stream) {
      const { path, body } = REQUESTS[client]
      const response = await withDeadline(fetch(url + path, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: `${target}:m`, stream, ...body, ...(stream || client !== 'chat' ? {} : { stream_options: undefined }) }),
      }), 10_000, `${client} on ${target}`)
      return { status: response.status, text: await withDeadline(response.text(), 10_000, `${client} on ${target}`) }
    },
  }
}

function cuts(sse: string): [name: string, pieces: Buffer[]][] {
  const bytes = Buffer.from(sse)
  const random = createRandom(SEED)
  return [
    ['whole', [bytes]],
    ['cut anywhere', cutAnywhere(bytes, random)],
    ...(bytes.length > BYTE_BY_BYTE ? [] : [['byte by byte', Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))] as [string, Buffer[]]]),
  ]
}

function check(label: string, answer: { status: number; text: string }, client: DialectName, expected: Seen): void {
  if (expected.stop === 'broken') {
    // before any content it is an error status, afterwards an error event: never a whole answer
    if (answer.status === 200) equal(readAnswer(client, toEvents(answer.text)).stop, 'broken', label)
    return
  }
  equal(answer.status, 200, `${label}: ${answer.text.slice(0, 300)}`)
  deepEqual(readAnswer(client, toEvents(answer.text)), expected, label)
}

for (const upstream of NAMES) {
  for (const client of NAMES) {
    for (const stream of [true, false]) {
      const how = stream ? 'streamed' : 'whole'
      test(`matrix: recorded ${upstream} streams reach a ${client} client ${how}, at every cut`, async (context) => {
        const house = await build(context)
        for (const name of listFixtures(upstream, 'stream')) {
          for (const events of readAnswers(upstream, name)) {
            const sse = toSse(upstream, events), expected = readAnswer(upstream, events)
            for (const [cut, pieces] of cuts(sse)) {
              house.play(pieces, true)
              const answer = await house.ask(client, upstream, stream)
              if (upstream === client && stream) equal(answer.text, sse, `${name}, ${cut}: relayed`)
              else check(`${name}, ${cut}, SEED=${SEED}`, answer, client, expected)
            }
          }
        }
      })
      test(`matrix: recorded whole ${upstream} answers reach a ${client} client ${how}`, async (context) => {
        const house = await build(context)
        for (const name of listFixtures(upstream, 'whole')) {
          const body = readWhole(upstream, name)
          if (body['error'] && Object.keys(body).length === 1) continue // refusals have their own test
          house.play([Buffer.from(JSON.stringify(body))], false)
          check(name, await house.ask(client, upstream, stream), client, readAnswer(upstream, [body]))
        }
      })
    }
  }
}
