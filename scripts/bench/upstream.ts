/**
 * Mock upstream: an Anthropic server that answers the rows of `traffic.ts`. A translated whole answer is also asked
 * for as a stream, so the request's own `stream` decides.
 * @module
 */
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { makeEvents, makeReply, TRAFFIC } from './traffic.ts'
import type { Shape } from './traffic.ts'

const reply = Buffer.from(makeReply())
const streams = new Map(Object.entries(TRAFFIC).map(([shape, { events }]) => [shape, makeEvents(events || 12)]))

async function sendStream(response: ServerResponse, shape: Shape): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  const { pause } = TRAFFIC[shape]
  for (const event of streams.get(shape) ?? []) {
    response.write(event)
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause))
    if (response.destroyed) return
  }
  response.end()
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    const shape = /"model":"bench-(\w+)/.exec(body.toString('latin1'))?.[1] as Shape | undefined
    const whole = body.at(-1) === 0x7d && body.length >= TRAFFIC[shape ?? 'small'].conversation
    if (/^\/v1\/(?:traces|metrics)$/.test(request.url ?? '')) response.end('{}') // the collector of the observed row
    else if (shape === undefined || !whole) {
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end('{"type":"error","error":{"type":"invalid_request_error","message":"the request did not arrive whole"}}')
    } else if (body.includes('"stream":true')) void sendStream(response, shape)
    else {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': reply.length })
      response.end(reply)
    }
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
