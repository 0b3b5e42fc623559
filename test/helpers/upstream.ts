/**
 * A real upstream on port 0, scripted by the test, closed with it.
 * @module
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export interface Received {
  method: string
  url: string
  headers: IncomingMessage['headers']
  rawHeaders: string[]
  body: Buffer
}

export interface TestUpstream {
  url: string
  port: number
  server: Server
  /** Every request so far, whole. */
  received: Received[]
}

export async function startUpstream(
  context: TestContext,
  answer: (request: Received, response: ServerResponse, message: IncomingMessage) => void | Promise<void>,
): Promise<TestUpstream> {
  const received: Received[] = []
  const server = createServer(async (message, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of message) chunks.push(chunk as Buffer)
    } catch {
      return // the proxy went away while sending
    }
    const request: Received = {
      method: message.method ?? '',
      url: message.url ?? '',
      headers: message.headers,
      rawHeaders: message.rawHeaders,
      body: Buffer.concat(chunks),
    }
    received.push(request)
    await answer(request, response, message)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, server, received }
}

/** Answers with an SSE body in the given pieces, each its own write. */
export async function sendSse(response: ServerResponse, pieces: Iterable<string | Buffer>): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  for (const piece of pieces) {
    if (response.destroyed) return
    if (!response.write(piece)) await Promise.race([once(response, 'drain'), once(response, 'close')])
  }
  response.end()
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}
