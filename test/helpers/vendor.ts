/**
 * A vendor that answers each key in its own way, and a proxy in front of vendors.
 * @module
 */
import type { ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import type { ProxyOptions } from '../../src/index.ts'
import type { DialectName, JsonObject } from '../../src/hub/types.ts'
import { PATHS, errorBody, request, stream, whole } from './pieces.ts'
import { sendJson, startUpstream } from './upstream.ts'
import type { Received, TestUpstream } from './upstream.ts'

/** What one request gets: `undefined` for a good answer that says `VENDOR KEY`. */
export type Mood = (response: ServerResponse, request: Received, dialect: DialectName) => void | Promise<void>

export interface Vendor extends TestUpstream {
  /** By the last letter of the key (`sk-test-a`); a key without an entry answers well. */
  moods: Map<string, Mood>
  /** Goes before the moods: what the next requests get, whichever keys they bring. */
  next: Mood[]
  /** The last letter of the key of every request so far. */
  asked(): string
  backend: NonNullable<ProxyOptions['backends']>[string]
}

export function letterOf({ headers }: Received): string {
  return (headers['x-api-key'] as string | undefined ?? headers.authorization ?? '').at(-1) ?? ''
}

export async function startVendor(
  context: TestContext, dialect: DialectName, keys: string, options: JsonObject = {},
): Promise<Vendor> {
  const moods = new Map<string, Mood>()
  const next: Mood[] = []
  const upstream = await startUpstream(context, (request, response) => {
    if (request.method === 'GET') { // its model list, asked for prices: no turn of anybody
      upstream.received.splice(upstream.received.indexOf(request), 1)
      return sendJson(response, 200, { object: 'list', data: [] })
    }
    const letter = letterOf(request)
    return (next.shift() ?? moods.get(letter) ?? answerWell)(response, request, dialect)
  })
  const backend = {
    type: dialect === 'anthropic' ? 'anthropic' : 'openai', baseUrl: upstream.url, speaks: [dialect],
    keys: [...keys].map((letter) => `sk-test-${letter}`), ...options,
  } as Vendor['backend']
  return { ...upstream, moods, next, backend, asked: () => upstream.received.map(letterOf).join('') }
}

export function answerWell(response: ServerResponse, { body, headers }: Received, dialect: DialectName): void {
  const text = `from ${letterOf({ headers } as Received)}`
  if ((JSON.parse(body.toString()) as { stream?: boolean }).stream !== true) return sendJson(response, 200, whole(dialect, text))
  response.writeHead(200, { 'content-type': 'text/event-stream' }).end(stream(dialect, text))
}

export function refuse(status: number, type: string, headers: Record<string, string> = {}): Mood {
  return (response, _, dialect) => sendJson(response, status, errorBody(dialect, type, `${type} of this test`), headers)
}

/** Sends pieces into a 200 stream, then ends it, cuts it or leaves it open. */
export function sendPieces(make: (dialect: DialectName) => readonly string[], then: 'end' | 'cut' | 'stall' = 'end'): Mood {
  return (response, _, dialect) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const piece of make(dialect)) response.write(piece)
    if (then === 'end') response.end()
    if (then === 'cut') setImmediate(() => response.socket?.resetAndDestroy())
  }
}

export interface Answer {
  status: number
  headers: Headers
  text: string
  /** The connection broke inside the body. */
  cut: boolean
}

export async function ask(
  url: string, dialect: DialectName, options: { text?: string; model?: string; stream?: boolean; session?: string; signal?: AbortSignal; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { text = 'hello', signal = null, headers = {}, ...rest } = options
  const response = await fetch(url + PATHS[dialect], {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(request(dialect, text, rest)), signal,
  })
  const answer = { status: response.status, headers: response.headers, text: '', cut: false }
  const decoder = new TextDecoder()
  try {
    for await (const chunk of response.body!) answer.text += decoder.decode(chunk as Uint8Array, { stream: true })
  } catch (error) {
    if (signal?.aborted) throw error
    answer.cut = true
  }
  return answer
}
