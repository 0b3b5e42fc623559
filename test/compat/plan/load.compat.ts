/**
 * Ten runs of the real program at once must not starve the relay path, which shares the machine with them.
 */
import { ok, strictEqual } from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WHOLES, ask } from '../../helpers/answers.ts'
import { startProxy } from '../../helpers/proxy.ts'
import { sendJson, startUpstream } from '../../helpers/upstream.ts'
import { claudeProgram, makePlace } from '../programs.ts'
import { startApi } from './api.ts'

const RUNS = 10

test('real: ten runs at once leave the relay path its time', { timeout: 120_000 }, async (context) => {
  const api = await startApi()
  context.after(api.close)
  const upstream = await startUpstream(context, (_, response) => sendJson(response, 200, WHOLES.anthropic))
  const own = makePlace(context)
  const temp = join(own.work, 'tmp')
  mkdirSync(temp)
  const { url, proxy } = await startProxy(context, {
    environment: { PATH: process.env['PATH'], HOME: own.home, TMPDIR: temp },
    backends: {
      plan: { type: 'claude-code', command: claudeProgram(), env: { ANTHROPIC_BASE_URL: api.url, ANTHROPIC_API_KEY: 'sk-ant-made-up' } },
      vendor: { type: 'anthropic', baseUrl: upstream.url, keys: ['sk-test-SECRETSECRET'] },
    },
    routes: [{ model: 'relayed', to: ['vendor'] }, { model: 'claude-*', to: ['plan'] }],
  })

  /** Relays 50 requests a second while `work` goes on; ms per request, sorted, and this process's CPU per request. */
  async function measure(work: Promise<unknown>): Promise<{ times: number[]; cpu: number; stall: number }> {
    const times: number[] = []
    const loop = monitorEventLoopDelay({ resolution: 5 })
    loop.enable()
    const cpu = process.cpuUsage()
    let over = false
    void work.finally(() => { over = true })
    while (!over || times.length < 100) {
      const began = performance.now()
      const response = await ask(url, 'anthropic', 'relayed')
      await response.text()
      strictEqual(response.status, 200)
      times.push(performance.now() - began)
      await sleep(20)
    }
    const { user, system } = process.cpuUsage(cpu)
    loop.disable()
    return { times: times.sort((a, b) => a - b), cpu: (user + system) / times.length, stall: loop.max / 1e6 }
  }
  const at = (times: number[], share: number): number => Math.round((times[Math.floor(times.length * share)] ?? 0) * 10) / 10

  await measure(Promise.resolve()) // warm
  const calm = await measure(sleep(2_000))
  const busy = await measure(Promise.all(Array.from({ length: RUNS }, async (_, index) => {
    const response = await ask(url, 'anthropic', 'claude-sonnet-4-5', { messages: [{ role: 'user', content: `run ${index}` }], stream: true })
    ok((await response.text()).includes('message_stop'))
  })))
  strictEqual(api.arrived.length, RUNS)
  const tell = ({ times, cpu, stall }: typeof calm): string => `${times.length} requests, p50 ${at(times, 0.5)}, p95 ${at(times, 0.95)}, most ${at(times, 1 - 1e-9)} ms, ${Math.round(cpu)} µs CPU each, longest stall of the event loop ${Math.round(stall)} ms`
  context.diagnostic(`relay alone: ${tell(calm)}`)
  context.diagnostic(`with ${RUNS} runs: ${tell(busy)}`)
  await proxy.close(0) // before its folders go
  ok(at(busy.times, 0.5) < 50, 'a relayed request waits behind the runs')
})
