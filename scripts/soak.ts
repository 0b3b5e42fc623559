/**
 * Soak: 200 concurrent streams through one proxy in a process of its own, across all nine pairs of dialects, with
 * clients that leave, upstreams that break and readers that stop. Memory, handles and sockets of the last half minute
 * must be within 5 % of those of the half minute after the first one. `npm run soak -- --minutes 30 --streams 200`.
 *
 * Last figures: Node 20.20.2, two busy cores, 30 minutes, 89,592 requests (24,399 left by clients, 22,875 broken, 4,340
 * not read): after the first minute heap 30.7 MiB, resident 155.0 MiB, handles 207, sockets 200, descriptors 431; at the
 * end heap 31.1 MiB (+1.6 %), resident 140.6 MiB (-9.3 %), handles, sockets and descriptors +0.1 %.
 * @module
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { Agent, createServer, request } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createProxy } from '../src/index.ts'
import type { DialectName } from '../src/index.ts'
import { DIALECTS, PATHS, STREAMS, makeRequest } from '../test/helpers/answers.ts'
import { backendsAt } from '../test/helpers/proxy.ts'
import { createRandom } from '../test/helpers/property.ts'

interface Reading { heap: number; rss: number; handles: number; sockets: number; descriptors: number }

/** Of the measured process; `heap` is what survives a collection, buffers included: V8 frees those a little later. */
async function readSelf(): Promise<Reading> {
  globalThis.gc?.()
  await sleep(20)
  globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  const handles = process.getActiveResourcesInfo()
  // Sockets to upstreams do not hold the process, so the list of handles leaves them out.
  const descriptors = existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : handles.length
  return { heap: heapUsed + external, rss, handles: handles.length, sockets: handles.filter((name) => name.startsWith('TCPSocket')).length, descriptors }
}

async function serve(upstream: string): Promise<void> {
  const proxy = createProxy({ environment: {}, port: 0, maxStoredAnswers: 500, backends: backendsAt(upstream), keepAlive: 200, stalledReader: 3_000 })
  process.on('message', (message) => {
    if (message === 'read') void readSelf().then((reading) => process.send?.(reading))
    else void proxy.close(0).then(() => process.disconnect())
  })
  process.send?.((await proxy.listen()).port)
}

/** Answers over a few seconds; of ten answers one is cut, one says nothing for a while. */
async function answer(dialect: DialectName, hurry: boolean, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const random = createRandom(Math.floor(Math.random() * 2 ** 31))
  const { preamble, content: [first = '', next = ''], end } = STREAMS[dialect]
  if (hurry) return void response.end(preamble + first + next.repeat(70) + end) // as long as the others on average
  const fate = random(10)
  response.write(preamble + first)
  for (let left = 10 + random(30); left > 0 && !response.destroyed; left--) {
    await sleep(100 + random(200))
    response.write(fate === 9 ? next.repeat(50) : next)
    if (fate === 0 && left === 5) return void response.destroy()
    if (fate === 1 && left === 5) await sleep(1_000)
  }
  response.end(end)
}

async function startUpstream(): Promise<{ url: string; server: Server }> {
  const server = createServer((message, response) => {
    message.resume().once('end', () => {
      const dialect = DIALECTS.find((name) => message.url?.startsWith(PATHS[name])) ?? 'chat'
      void answer(dialect, message.headers['user-agent']?.includes('hurry') === true, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

interface Counts { asked: number; whole: number; left: number; broken: number; stalled: number }

/** One request; a third of the clients leave in the middle, one in twenty stops reading and keeps the connection. */
async function ask(port: number, agent: Agent, counts: Counts, hurry: boolean): Promise<void> {
  const random = createRandom(Math.floor(Math.random() * 2 ** 31))
  const client = DIALECTS[random(3)] ?? 'chat'
  const body = JSON.stringify(makeRequest(client, `${DIALECTS[random(3)]}:m`, { stream: true, metadata: { user_id: `${random(1e6)}` }, system: 'x'.repeat(random(20_000)) }))
  counts.asked++
  const sent = request({ port, host: '127.0.0.1', agent, path: PATHS[client], method: 'POST', headers: { 'content-type': 'application/json', 'user-agent': hurry ? 'hurry' : 'soak' } })
  const fate = hurry ? 99 : random(60)
  const over = new Promise<void>((resolve) => {
    sent.once('error', () => resolve())
    sent.once('close', () => resolve())
  })
  sent.once('response', (response: IncomingMessage) => {
    response.on('error', () => { counts.broken++ })
    response.once('end', () => { counts.whole++ })
    if (fate < 3) setTimeout(() => { counts.stalled++; sent.destroy() }, 5_000)
    else response.resume()
  })
  if (fate >= 3 && fate < 20) setTimeout(() => { counts.left++; sent.destroy() }, random(5_000))
  sent.end(body)
  await over
}

async function readFrom(child: ChildProcess): Promise<Reading> {
  const answer = once(child, 'message')
  child.send('read')
  return (await answer)[0] as Reading
}

function average(readings: Reading[], name: keyof Reading): number {
  return readings.reduce((sum, reading) => sum + reading[name], 0) / readings.length
}

function format(label: string, readings: Reading[], counts: Counts): string {
  const [heap, rss, handles, sockets, descriptors] = (['heap', 'rss', 'handles', 'sockets', 'descriptors'] as const).map((name) => average(readings, name))
  const mib = (bytes = 0): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
  return `${label}: heap ${mib(heap)}, resident ${mib(rss)}, handles ${handles?.toFixed(0)}, sockets ${sockets?.toFixed(0)}, descriptors ${descriptors?.toFixed(0)}; ${JSON.stringify(counts)}`
}

async function soak(minutes: number, streams: number): Promise<boolean> {
  const { url, server } = await startUpstream()
  const child = spawn(process.execPath, ['--expose-gc', '--import', 'tsx', import.meta.filename, '--proxy', url], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const port = (await once(child, 'message'))[0] as number
  const agent = new Agent({ keepAlive: true, maxSockets: streams })
  const counts: Counts = { asked: 0, whole: 0, left: 0, broken: 0, stalled: 0 }
  // What the proxy keeps in bounded stores (500 answers, of a third of the clients) is filled first: that is no leak.
  for (let round = 0; round < 30; round++) await Promise.all(Array.from({ length: 120 }, () => ask(port, agent, counts, true)))
  const end = Date.now() + minutes * 60_000
  const readings: Reading[] = []
  const loops = Array.from({ length: streams }, async () => {
    while (Date.now() < end) await ask(port, agent, counts, false)
  })
  while (Date.now() + 2_500 < end) {
    await sleep(2_500)
    readings.push(await readFrom(child))
    if (readings.length % 24 === 0) console.log(format(`${readings.length / 24} min`, readings.slice(-12), counts))
  }
  const [first, last] = [readings.slice(24, 36), readings.slice(-12)]
  await Promise.all(loops)
  agent.destroy()
  const exit = once(child, 'exit')
  child.send('close')
  const [code] = await exit as [number]
  server.closeAllConnections()
  server.close()
  console.log(format('after the first minute', first, counts))
  console.log(format('at the end', last, counts))
  const growth = (['heap', 'rss', 'handles', 'sockets', 'descriptors'] as const).map((name) => [name, average(last, name) / average(first, name) - 1] as const)
  console.log(growth.map(([name, by]) => `${name} ${by >= 0 ? '+' : ''}${(by * 100).toFixed(1)} %`).join(', '), `; the process ended with ${code}`)
  return code === 0 && growth.every(([, by]) => by <= 0.05)
}

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' }, streams: { type: 'string', default: '200' }, proxy: { type: 'string' } } })
if (values.proxy !== undefined) await serve(values.proxy)
else process.exitCode = await soak(Number(values.minutes), Number(values.streams)) ? 0 : 1
