/**
 * All three vendors on one loopback port: every request is recorded, judged, and answered or refused in their words.
 * @module
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { answerAnthropic, checkAnthropic } from './anthropic.ts'
import { answerChat, checkChat } from './chat.ts'
import { answerResponses, checkConversation, checkResponses, createKept } from './responses.ts'
import { Refusal } from './shape.ts'
import type { Fields } from './shape.ts'

export type Api = 'anthropic' | 'chat' | 'responses'

export interface Recorded {
  api: Api | undefined
  path: string
  headers: IncomingHttpHeaders
  body: Fields
  status: number
  /** Why it was refused. */
  refusal: string | undefined
}

export interface Fault {
  status: number
  /** The vendor's word for it. */
  type: string
  message: string
  code?: string | null
}

export interface StandIn {
  url: string
  recorded: Recorded[]
  /** Refusals so far, one line each. */
  refusals(): string[]
  /** Answers every request so until it is taken back. */
  fail(fault: Fault | undefined): void
  /** Milliseconds between two events; a slow stream is what an abort needs. */
  pace(ms: number): void
  /** Resolves when a client has left in the middle of a stream. */
  left(): Promise<void>
}

const PATHS: Record<string, Api> = { '/v1/messages': 'anthropic', '/v1/chat/completions': 'chat', '/v1/responses': 'responses' }
const APIS = {
  anthropic: { check: checkAnthropic, answer: answerAnthropic },
  chat: { check: checkChat, answer: answerChat },
  responses: { check: checkResponses, answer: answerResponses },
} as const

export async function startStandIn(context: TestContext): Promise<StandIn> {
  const recorded: Recorded[] = []
  const leaving: (() => void)[] = []
  let fault: Fault | undefined
  let gap = 0
  let ids = 0
  const kept = createKept()
  const newId = (prefix: string): string => `${prefix}${(++ids).toString(16).padStart(prefix.startsWith('call_') ? 24 : 22, '0')}`
  const server = createServer(async (message, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of message) chunks.push(chunk as Buffer)
    } catch {
      return // left while sending
    }
    const path = new URL(message.url ?? '/', 'http://stand.in').pathname
    const text = Buffer.concat(chunks).toString()
    const api = message.method === 'POST' ? PATHS[path] : undefined
    const entry: Recorded = { api, path, headers: message.headers, body: text === '' ? {} : JSON.parse(text) as Fields, status: 200, refusal: undefined }
    recorded.push(entry)
    if (api === undefined) return answerOther(response, entry)
    response.on('close', () => { if (!response.writableFinished) leaving.splice(0).forEach((leave) => leave()) })
    if (fault !== undefined) return refuse(response, entry, api, fault)
    let meant = entry.body
    try {
      APIS[api].check(entry.body, message.headers)
      if (api === 'responses') checkConversation(meant = kept.expand(entry.body))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      entry.refusal = error.message
      return refuse(response, entry, api, { status: 400, type: 'invalid_request_error', message: error.message, code: error.code }, error.param)
    }
    const { message: whole, events } = APIS[api].answer(meant, newId)
    if (api === 'responses') kept.keep(meant, whole)
    const headers = api === 'anthropic' ? { 'request-id': newId('req_') } : { 'x-request-id': newId('req_') }
    if (entry.body['stream'] !== true) return void response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(whole))
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', ...headers })
    for (const event of events) {
      if (response.destroyed) return
      response.write(`${api === 'chat' ? '' : `event: ${String(event['type'])}\n`}data: ${JSON.stringify(event)}\n\n`)
      if (gap > 0) await new Promise((resolve) => setTimeout(resolve, gap))
    }
    response.end(api === 'chat' ? 'data: [DONE]\n\n' : '')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    recorded,
    refusals: () => recorded.flatMap(({ api, refusal }) => refusal === undefined ? [] : [`${api}: ${refusal}`]),
    fail(next) { fault = next },
    pace(ms) { gap = ms },
    left: () => new Promise((resolve) => leaving.push(resolve)),
  }
}

function answerOther(response: ServerResponse, entry: Recorded): void {
  const known = entry.path === '/v1/models' ? { object: 'list', data: [] } : entry.path === '/v1/messages/count_tokens' ? { input_tokens: 100 } : undefined
  entry.status = known === undefined ? 404 : 200
  response.writeHead(entry.status, { 'content-type': 'application/json' })
    .end(JSON.stringify(known ?? { error: { message: `Invalid URL (${entry.path})`, type: 'invalid_request_error', param: null, code: null } }))
}

function refuse(response: ServerResponse, entry: Recorded, api: Api, fault: Fault, param: string | null = null): void {
  const { status, type, message, code = null } = fault
  entry.status = status
  response.writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify(api === 'anthropic' ? { type: 'error', error: { type, message, ...(code === null ? {} : { details: { error_code: code, unsupported: ['thread'] } }) }, request_id: 'req_1' } : { error: { message, type, param, code } }))
}
