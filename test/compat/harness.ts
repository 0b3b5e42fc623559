/**
 * What an SDK test needs: a stand-in vendor whose answers the test writes, and a real dario in front of it.
 * @module
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { startProxy } from '../helpers/proxy.ts'

export const UPSTREAM_KEY = 'key-of-the-upstream'

export interface Seen {
  path: string
  headers: IncomingHttpHeaders
  // SDK bodies are looked into by name; their types are the SDK's business.
  body: Record<string, unknown>
}

export type Answer = (request: Seen, response: ServerResponse) => void | Promise<void>

export interface Bench {
  /** Address of dario, without `/v1`. */
  url: string
  seen: Seen[]
  /** Resolves when the upstream has lost the connection of a request that it had not finished. */
  cut: Promise<void>
}

/** A stand-in upstream with one answer, and dario routing `claude-*` to it as Anthropic, all else as OpenAI. */
export async function startBench(context: TestContext, answer: Answer): Promise<Bench> {
  const seen: Seen[] = []
  let onCut = (): void => {}
  const cut = new Promise<void>((resolve) => { onCut = resolve })
  const server = createServer(async (message, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const request = { path: message.url ?? '', headers: message.headers, body: text === '' ? {} : JSON.parse(text) as Record<string, unknown> }
    seen.push(request)
    response.on('close', () => { if (!response.writableEnded) onCut() })
    await answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { url } = await startProxy(context, {
    backends: {
      anthropic: { type: 'anthropic', baseUrl, keys: [UPSTREAM_KEY] },
      openai: { type: 'openai', baseUrl, keys: [UPSTREAM_KEY], speaks: ['responses', 'chat'] },
    },
    routes: [{ model: 'claude-*', to: ['anthropic'] }, { model: '*', to: ['openai'] }],
  })
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url, seen, cut }
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

export function sendEvents(response: ServerResponse, events: readonly { type?: string; [member: string]: unknown }[], named: boolean): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const event of events) response.write(`${named ? `event: ${event.type}\n` : ''}data: ${JSON.stringify(event)}\n\n`)
  response.end(named ? '' : 'data: [DONE]\n\n')
}

export const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
