/**
 * Chaos on loopback: a proxy over two vendors of different dialects with three keys each, faults injected into every
 * third attempt, and every answer checked. Each request has one healthy key at each vendor, so none may fail before
 * content; some answers are cut after content, and those must end as errors.
 * @module
 */
import { once } from 'node:events'
import { Agent, createServer, request as requestHttp } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { DialectName, JsonObject } from '../../src/hub/types.ts'
import { createProxy } from '../../src/index.ts'
import { PATHS, content, errorBody, errorEvent, preamble, request, stream, whole } from './pieces.ts'
import { createRandom } from './property.ts'

export interface ChaosOptions {
  requests: number
  /** Requests under way at once. */
  concurrency: number
  seed: number
  /** Milliseconds after which a silent vendor counts as stalled. */
  stall: number
}

export interface ChaosReport {
  figures: Record<string, number>
  /** One sentence each; empty when all held. */
  violations: string[]
}

const VENDORS = [{ dialect: 'anthropic', keys: 'abc' }, { dialect: 'chat', keys: 'def' }] as const
const CLIENTS: readonly DialectName[] = ['anthropic', 'chat', 'responses']
const FAULTS = [
  'limit', 'limit with a time', 'fault', 'overload', 'page', 'page with 200', 'reset', 'reset after the preamble', 'stall',
  'stall after the preamble', 'error event',
] as const
type Fault = typeof FAULTS[number]
/** Per 100 requests. */
const CUT_SHARE = 4
const DEADLINE = 20_000
/** Of the keys that are not the healthy one of their vendor: 0.45 of two in three are 30 of 100. */
const FAULT_SHARE = 45

interface Plan {
  token: string
  faults: ReadonlyMap<string, Fault>
  /** Answers break after half of their content, whichever key gives them. */
  cut: boolean
}

function makePlan(seed: number, index: number): Plan {
  const random = createRandom(seed * 100_003 + index)
  const faults = new Map<string, Fault>()
  for (const { keys } of VENDORS) {
    const healthy = keys[random(keys.length)]
    for (const key of keys) if (key !== healthy && random(100) < FAULT_SHARE) faults.set(key, FAULTS[random(FAULTS.length)]!)
  }
  return { token: `tok-${index}-`, faults, cut: random(100) < CUT_SHARE }
}

function injure(response: ServerResponse, fault: Fault, dialect: DialectName, streams: boolean): void {
  const refuse = (status: number, type: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(errorBody(dialect, type, 'injected')))
  }
  const open = (): void => {
    response.writeHead(200, { 'content-type': streams ? 'text/event-stream' : 'application/json' })
    if (streams) response.write(preamble(dialect))
    else response.flushHeaders()
  }
  switch (fault) {
    case 'limit': return refuse(429, 'rate_limit_error')
    case 'limit with a time': return refuse(429, 'rate_limit_error', { 'retry-after-ms': '300', 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '300ms' })
    case 'fault': return refuse(500, 'api_error')
    case 'overload': return refuse(529, 'overloaded_error')
    case 'page': return void response.writeHead(502, { 'content-type': 'text/html' }).end('<html><title>Bad gateway</title></html>')
    case 'page with 200': return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html><title>Log in</title></html>')
    case 'reset': return void response.socket?.resetAndDestroy()
    case 'stall': return
    case 'stall after the preamble': return open()
    case 'reset after the preamble':
      open()
      return void setTimeout(() => response.socket?.resetAndDestroy(), 5)
    case 'error event':
      if (!streams) return refuse(503, 'overloaded_error')
      open()
      return void response.end(errorEvent(dialect))
  }
}

function answer(response: ServerResponse, dialect: DialectName, text: string, streams: boolean, cut: boolean): void {
  response.writeHead(200, { 'content-type': streams ? 'text/event-stream' : 'application/json' })
  if (!streams) {
    const body = JSON.stringify(whole(dialect, text))
    if (!cut) return void response.end(body)
    response.write(body.slice(0, body.length / 2))
  } else if (cut) response.write(preamble(dialect) + content(dialect, text))
  else {
    const all = stream(dialect, text)
    response.write(all.slice(0, all.length / 2))
    return void setImmediate(() => response.end(all.slice(all.length / 2)))
  }
  setTimeout(() => response.socket?.resetAndDestroy(), 5)
}

interface Reply { status: number; id: string; body: string; broken: boolean; ms: number }

function send(url: string, agent: Agent, dialect: DialectName, body: JsonObject): Promise<Reply> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const outgoing = requestHttp(url + PATHS[dialect], { method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {})
      response.on('close', () => resolve({
        status: response.statusCode ?? 0, id: String(response.headers['dario-request-id']),
        body: Buffer.concat(chunks).toString(), broken: !response.complete, ms: performance.now() - started,
      }))
    })
    outgoing.on('error', reject).end(JSON.stringify(body))
  })
}

/** The text of an answer, put together from its pieces, so that a doubled piece shows. */
function readText(dialect: DialectName, streamed: boolean, body: string): string {
  if (!streamed) return JSON.parse(body, (key, value: unknown) => key === 'annotations' ? undefined : value) && (/"(?:text|content)":"([^"]*)"/.exec(body)?.[1] ?? '')
  return body.split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)) as Record<string, never>).map((event) => {
    const { type, delta, choices } = event as { type?: string; delta?: string | { text?: string }; choices?: { delta: { content?: string } }[] }
    if (dialect === 'chat') return choices?.[0]?.delta.content ?? ''
    if (dialect === 'anthropic') return type === 'content_block_delta' ? (delta as { text?: string }).text ?? '' : ''
    return type === 'response.output_text.delta' ? delta as string : ''
  }).join('')
}

const WHOLE: Record<DialectName, RegExp> = { anthropic: /"message_stop"/, chat: /\[DONE\]/, responses: /"response\.completed"/ }
const ERROR: Record<DialectName, RegExp> = { anthropic: /event: error\n/, chat: /data: \{"error":/, responses: /"response\.failed"/ }

/** What is wrong with a reply; undefined when it is as it must be. */
function check({ token, cut }: Plan, dialect: DialectName, streamed: boolean, { status, body, broken, ms }: Reply): string | undefined {
  const tokens = new Set(body.match(/tok-\d+-/g))
  const at = `${token} (${dialect}, ${streamed ? 'streamed' : 'plain'}${cut ? ', cut' : ''})`
  if (ms > DEADLINE + 500) return `${at} outlived its deadline: ${ms.toFixed(0)} ms`
  if (tokens.size > 1 || (tokens.size === 1 && !tokens.has(token))) return `${at} carries ${[...tokens].join(', ')}`
  const isWhole = status === 200 && !broken && (!streamed || WHOLE[dialect].test(body))
  if (cut) {
    if (isWhole) return `${at} looks whole`
    if (streamed && tokens.size > 0 && (!ERROR[dialect].test(body) || broken)) return `${at} ends without its error: ${body.slice(-200)}`
    return undefined
  }
  if (!isWhole || (streamed && ERROR[dialect].test(body))) return `${at} failed with ${status}${broken ? ', broken' : ''}: ${body.slice(0, 100)}`
  const text = readText(dialect, streamed, body)
  return new RegExp(`^answer ${token} from [a-f]$`).test(text) ? undefined : `${at} says "${text}"`
}

/** Both vendors, each on a fixed port that can be closed for a while: connections are refused then. */
async function startVendors(seed: number, count: (what: string) => void): Promise<{ urls: string[]; outage(index: number, ms: number): Promise<void>; close(): Promise<void> }> {
  const servers: (Server | undefined)[] = []
  const all = new Set<Server>()
  const ports: number[] = []
  async function open(index: number): Promise<void> {
    const { dialect } = VENDORS[index]!
    const server = createServer((message, response) => void take(message, response, dialect).catch(() => {}))
    server.listen(ports[index] ?? 0, '127.0.0.1')
    await once(server, 'listening')
    servers[index] = server
    all.add(server)
    ports[index] = (server.address() as AddressInfo).port
  }
  async function take(message: IncomingMessage, response: ServerResponse, dialect: DialectName): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    const key = (message.headers['x-api-key'] as string | undefined ?? message.headers.authorization ?? '').at(-1) ?? ''
    const plan = makePlan(seed, Number(/tok-(\d+)-/.exec(body)?.[1]))
    const fault = plan.faults.get(key)
    const streams = (JSON.parse(body) as { stream?: boolean }).stream === true
    count('attempts')
    if (fault === undefined) return answer(response, dialect, `answer ${plan.token} from ${key}`, streams, plan.cut)
    count('faults')
    count(fault)
    injure(response, fault, dialect, streams)
  }
  await Promise.all(VENDORS.map((_, index) => open(index)))
  return {
    urls: ports.map((port) => `http://127.0.0.1:${port}`),
    async outage(index, ms) {
      servers[index]?.close()
      servers[index]?.closeIdleConnections()
      count('outages')
      await sleep(ms)
      await open(index)
    },
    async close() {
      for (const server of all) {
        server.closeAllConnections()
        server.close()
      }
    },
  }
}

function collectGarbage(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

function countResources(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) if (/TCP|Timeout/.test(name)) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

export async function runChaos({ requests, concurrency, seed, stall }: ChaosOptions): Promise<ChaosReport> {
  const figures: Record<string, number> = { requests, attempts: 0, faults: 0, cut: 0, slowest: 0 }
  const violations: string[] = []
  const count = (what: string): void => void (figures[what] = (figures[what] ?? 0) + 1)
  const stories = new Map<string, string>()
  const before = countResources()
  const vendors = await startVendors(seed, count)
  const timeouts = { connect: 2000, firstByte: stall, silence: stall }
  const backends = Object.fromEntries(VENDORS.map(({ dialect, keys }, index) => [`v${index + 1}`, {
    type: dialect === 'anthropic' ? 'anthropic' as const : 'openai' as const,
    baseUrl: vendors.urls[index]!, speaks: [dialect], keys: [...keys].map((key) => `sk-test-${key}`), timeouts,
  }]))
  const proxy = createProxy({
    environment: {}, port: 0, backends, routes: [{ model: '*', to: ['v1', 'v2'] }], deadline: DEADLINE,
    observer: {
      end: ({ id, end, attempts }) => void (end === 'complete' || stories.set(id, attempts.map(({ key, outcome, ms }) => `${key} ${outcome} ${ms} ms`).join(', '))),
      attempt: (_, { outcome, error }) => void (outcome === 'unreachable' && /nothing listens/.test(error ?? '') && count('refused')),
    },
  })
  const { url } = await proxy.listen()
  const agent = new Agent({ keepAlive: true })
  let next = 0
  let heapAtFirst = 0
  async function work(): Promise<void> {
    for (let index = next++; index < requests; index = next++) {
      const plan = makePlan(seed, index)
      const dialect = CLIENTS[index % CLIENTS.length]!
      const streamed = index % 2 === 0
      const reply = await send(url, agent, dialect, request(dialect, plan.token, { stream: streamed, session: `talk ${index % 500}` }))
      if (plan.cut) count('cut')
      figures['slowest'] = Math.max(figures['slowest']!, Math.round(reply.ms))
      const problem = check(plan, dialect, streamed, reply)
      if (problem !== undefined) violations.push(`${problem}; healthy were all but ${[...plan.faults.keys()].join('')}: ${stories.get(reply.id)}`)
    }
  }
  /** One vendor refuses connections for a while, again and again; the other one in the second half. */
  async function disturb(): Promise<void> {
    for (const index of VENDORS.keys()) {
      while (next < requests * (index + 1) / VENDORS.length) {
        await sleep(400)
        await vendors.outage(index, 200)
      }
      for (let step = 0; step < 50 && next < requests; step++) await sleep(stall / 10) // no request may see both vendors refuse
    }
  }
  const delay = monitorEventLoopDelay()
  delay.enable()
  const started = performance.now()
  const working = Promise.all(Array.from({ length: concurrency }, work))
  const disturbing = disturb()
  while (next < requests / 5) await sleep(20)
  heapAtFirst = collectGarbage()
  await Promise.all([working, disturbing])
  figures['seconds'] = Math.round((performance.now() - started) / 100) / 10
  delay.disable()
  // A machine that stands still for longer than `stall` makes healthy vendors look silent.
  figures['longest standstill in ms'] = Math.round(delay.max / 1e6)
  figures['heap growth in kB'] = Math.round((collectGarbage() - heapAtFirst) / 1000)
  agent.destroy()
  await proxy.close(1000)
  await vendors.close()
  await sleep(50)
  const after = countResources()
  for (const [name, left] of Object.entries(after)) {
    if (left > (before[name] ?? 0)) violations.push(`${left} ${name} are left, ${before[name] ?? 0} were there before`)
  }
  if (figures['heap growth in kB'] > 10_000) violations.push(`the heap grew by ${figures['heap growth in kB']} kB`)
  return { figures, violations }
}
