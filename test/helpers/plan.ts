/**
 * The plan backend over the fake program, and requests in the shape of its callers.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Call, Upstream } from '../../src/backends/backend.ts'
import { toReadable } from '../../src/backends/source.ts'
import type { JsonObject } from '../../src/hub/types.ts'
import { createPlanBackend } from '../../src/plan/plan.ts'
import type { PlanBackend, PlanOptions } from '../../src/plan/plan.ts'
import { createSseDecoder } from '../../src/sse.ts'
import { withDeadline } from './deadline.ts'
import { installFakeClaude } from './fake-claude.ts'
import type { FakeClaude, Scenario } from './fake-claude.ts'

export interface Message { role: string; content: unknown }

export interface Answered {
  status: number
  headers: Upstream['headers']
  /** All bytes as text. */
  text: string
  /** Stream events, or nothing for JSON. */
  events: JsonObject[]
  /** The answer as a Messages object, folded from the events, or the JSON body. */
  message: AnsweredMessage
}

export interface AnsweredMessage {
  content: JsonObject[]
  stop_reason: unknown
  stop_sequence: unknown
  usage: unknown
  error?: { type: string; message: string; details?: unknown }
}

export interface TestPlan {
  backend: PlanBackend
  fake: FakeClaude
  logs: string[]
  ask(messages: Message[], more?: JsonObject, signal?: AbortSignal): Promise<Answered>
  send(messages: Message[], more?: JsonObject, signal?: AbortSignal): Promise<Upstream>
  /** Private folders of runs that are still there. */
  folders(): string[]
}

export const GET_TOOL = { name: 'get', description: 'gets', input_schema: { type: 'object', properties: { a: { type: 'number' } } } }

export function toCall(body: JsonObject, more: Partial<Call> = {}): Call {
  return {
    method: 'POST', path: '/v1/messages', dialect: 'anthropic', model: String(body['model']), stream: body['stream'] === true,
    headers: {}, body: Buffer.from(JSON.stringify(body)), session: undefined, loopback: true, ...more,
  }
}

export async function startPlan(context: TestContext, scenario: Scenario = {}, more: Partial<PlanOptions> = {}): Promise<TestPlan> {
  const fake = await installFakeClaude(context, scenario, () => backend.close())
  const logs: string[] = []
  let id = 0
  const tmp = join(fake.folder, 'tmp')
  const backend = createPlanBackend({
    id: 'plan', command: fake.command, env: {}, idleMs: 60_000, maxProcesses: 4, maxQueue: 8, warm: false,
    environment: { PATH: process.env['PATH'], HOME: fake.folder, TMPDIR: tmp },
    now: Date.now, newId: (prefix) => `${prefix}_${++id}`, log: (line) => logs.push(line), version: '0.0.0', ...more,
  })
  const send: TestPlan['send'] = (messages, extra = {}, signal = new AbortController().signal) => {
    const body = { model: 'claude-sonnet-4-5', max_tokens: 1000, stream: true, messages: messages as never, ...extra }
    return withDeadline(backend.send(toCall(body), undefined, signal), 15_000, 'plan.send')
  }
  return {
    backend, fake, logs, send,
    ask: async (messages, extra, signal) => await readAnswer(await send(messages, extra, signal)),
    folders: () => existsSync(tmp) ? readdirSync(tmp) : [],
  }
}

export async function readAnswer(upstream: Upstream): Promise<Answered> {
  const chunks: Buffer[] = []
  await withDeadline((async () => {
    for await (const chunk of toReadable(upstream.body)) chunks.push(Buffer.from(chunk as string))
  })(), 15_000, 'the answer')
  const text = Buffer.concat(chunks).toString()
  const answered = { status: upstream.status, headers: upstream.headers, text }
  if (!text.startsWith('event:')) return { ...answered, events: [], message: JSON.parse(text) as AnsweredMessage }
  const events = createSseDecoder().push(text).map((event) => JSON.parse(event.data) as JsonObject)
  return { ...answered, events, message: foldMessage(events) }
}

interface WireEvent {
  type: string
  index: number
  message: AnsweredMessage
  content_block: JsonObject
  delta: Record<string, string>
  usage: JsonObject
  error: { type: string; message: string }
}

/** Written apart from the code under test, so that both have to agree. */
function foldMessage(events: JsonObject[]): AnsweredMessage {
  let message: AnsweredMessage = { content: [], stop_reason: null, stop_sequence: null, usage: {} }
  const inputs = new Map<number, string>()
  for (const event of events as unknown as WireEvent[]) {
    const block = message.content[event.index]
    if (event.type === 'message_start') message = { ...event.message, content: [] }
    if (event.type === 'content_block_start') message.content[event.index] = { ...event.content_block }
    if (event.type === 'content_block_delta' && block !== undefined) {
      const { type: _type, ...delta } = event.delta
      for (const [name, value] of Object.entries(delta)) {
        if (name === 'partial_json') inputs.set(event.index, (inputs.get(event.index) ?? '') + value)
        else block[name] = String(block[name] ?? '') + value
      }
    }
    const input = inputs.get(event.index)
    if (event.type === 'content_block_stop' && block !== undefined && input !== undefined) block['input'] = JSON.parse(input)
    if (event.type === 'message_delta') Object.assign(message, event.delta, { usage: { ...message.usage as object, ...event.usage } })
    if (event.type === 'error') message.error = event.error
  }
  return message
}
