/**
 * Counters and histograms, and their Prometheus text as a strict reader of the format takes it.
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics, encodePrometheus } from '../src/observe/metrics.ts'
import { startProxy } from './helpers/proxy.ts'
import { createRecord } from './helpers/record.ts'

interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** The text format, strictly: HELP and TYPE once before a family's samples, samples together, legal names and values. */
function parsePrometheus(text: string): { types: Map<string, string>; samples: Sample[] } {
  const types = new Map<string, string>()
  const samples: Sample[] = []
  let family = ''
  ok(text.endsWith('\n'))
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP ([a-z_]+) .+$/.exec(line)
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line)
    if (help !== null) {
      family = help[1]!
      ok(!types.has(family), `${family} comes twice`)
    } else if (type !== null) {
      strictEqual(type[1], family)
      types.set(family, type[2]!)
    } else {
      const found = /^([a-z_]+)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?\d+)?)$/.exec(line)
      ok(found !== null, `no sample: ${line}`)
      ok(found[1] === family || (types.get(family) === 'histogram' && /^(.*)_(bucket|sum|count)$/.exec(found[1]!)?.[1] === family), line)
      const labels = [...(found[2] ?? '').matchAll(/([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/g)]
      strictEqual(labels.map(([all]) => all).join(''), found[2] ?? '', `labels of ${line}`)
      const value = (text: string): string => text.replace(/\\(.)/g, (_, one: string) => one === 'n' ? '\n' : one)
      samples.push({ name: found[1]!, labels: Object.fromEntries(labels.map(([, name, text]) => [name, value(text!)])), value: Number(found[3]) })
    }
  }
  return { types, samples }
}

function render(metrics: ReturnType<typeof createMetrics>): ReturnType<typeof parsePrometheus> {
  return parsePrometheus(encodePrometheus(metrics.families()))
}

function sum(samples: readonly Sample[], name: string, labels: Record<string, string> = {}): number {
  const wanted = samples.filter((one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value))
  return wanted.reduce((total, { value }) => total + value, 0)
}

test('metrics: a proxy tells its requests, tokens and running streams in text that a strict reader takes', async (context) => {
  const { url, nextRecord } = await startProxy(context, {})
  const ended = nextRecord()
  await (await fetch(`${url}/v1/messages`, {
    method: 'POST', body: JSON.stringify({ model: 'echo', max_tokens: 10, stream: true, messages: [{ role: 'user', content: 'one two' }] }),
  })).text()
  const { usage } = await ended
  const response = await fetch(`${url}/metrics`)
  match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  const { samples, types } = parsePrometheus(await response.text())
  strictEqual(types.get('dario_requests_total'), 'counter')
  strictEqual(sum(samples, 'dario_requests_total', { dialect: 'anthropic', backend: 'echo', end: 'complete' }), 1)
  strictEqual(sum(samples, 'dario_attempts_total', { backend: 'echo', outcome: 'ok' }), 1)
  strictEqual(sum(samples, 'dario_tokens_total', { kind: 'output' }), usage?.output)
  strictEqual(sum(samples, 'dario_time_to_first_token_seconds_count'), 1)
  strictEqual(sum(samples, 'dario_streams_open'), 0)
})

test('metrics: buckets of a histogram are cumulative and the last one is the count', () => {
  const metrics = createMetrics('1', () => [], () => [])
  for (const totalMs of [1, 15, 15, 700, 1_000_000]) metrics.end?.(createRecord({ totalMs }))
  const buckets = render(metrics).samples.filter(({ name }) => name === 'dario_request_duration_seconds_bucket')
  deepStrictEqual(buckets.map(({ value }) => value), [1, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5])
  strictEqual(buckets.at(-1)?.labels['le'], '+Inf')
  strictEqual(sum(render(metrics).samples, 'dario_request_duration_seconds_sum'), 1000.731)
})

test('metrics: requests under way and waiting, keys that rest and their headroom are gauges', () => {
  const keys = [
    { label: 'a#1', state: 'ready', until: undefined, reason: undefined, family: undefined, headroom: 0.25 },
    { label: 'a#2', state: 'resting', until: 5, reason: 'rate_limited', family: undefined, headroom: undefined },
  ] as const
  const metrics = createMetrics('1', () => [{ id: 'a', type: 'openai', keys: [...keys], waiting: 3 }], () => [createRecord({ stream: true }), createRecord()])
  const { samples } = render(metrics)
  strictEqual(sum(samples, 'dario_requests_running'), 2)
  strictEqual(sum(samples, 'dario_streams_open'), 1)
  strictEqual(sum(samples, 'dario_requests_waiting', { backend: 'a' }), 3)
  strictEqual(sum(samples, 'dario_key_resting', { key: 'a#1' }), 0)
  strictEqual(sum(samples, 'dario_key_resting', { key: 'a#2' }), 1)
  strictEqual(sum(samples, 'dario_key_headroom_ratio'), 0.25)
})

test('metrics: cost is told only where a price is known', () => {
  const metrics = createMetrics('1', () => [], () => [])
  metrics.end?.(createRecord())
  metrics.end?.(createRecord({ cost: 'plan' }))
  strictEqual(render(metrics).types.has('dario_cost_dollars_total'), false)
  metrics.end?.(createRecord({ cost: { dollars: 0.5, source: 'configuration' } }))
  strictEqual(sum(render(metrics).samples, 'dario_cost_dollars_total', { model: 'm' }), 0.5)
})

test('metrics: names that clients invent do not make series', () => {
  const metrics = createMetrics('1', () => [], () => [])
  for (let index = 0; index < 2000; index++) {
    const name = `${index}"\\\n${'x'.repeat(index % 200)}`
    metrics.end?.(createRecord({ model: name, servedModel: name, tool: name, accessKey: name, key: name, route: name, path: `/v1/${name}` }))
    metrics.end?.(createRecord({ servedModel: `failed${name}`, end: 'failed', error: { code: 'rate_limited', message: name } }))
  }
  const { samples } = render(metrics)
  const models = new Set(samples.map(({ labels }) => labels['model']).filter((model) => model !== undefined))
  strictEqual(models.size, 51) // 50 names and "other"
  strictEqual(sum(samples, 'dario_requests_total'), 4000)
  ok(!models.has(`failed0"\\\n`))
  for (const family of metrics.families()) ok(family.series.size <= 204, `${family.name}: ${family.series.size} series`)
})
