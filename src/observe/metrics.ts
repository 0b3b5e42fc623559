/**
 * Counters and histograms of all requests since the start, and their Prometheus text. Labels are configured names,
 * closed lists and at most 50 models: what clients write can never make the number of series grow.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @module
 */
import type { Observer, RequestRecord } from '../hub/record.ts'
import type { BackendState } from './live.ts'
import { createMemo } from './text.ts'

export interface Series {
  labels: readonly string[]
  /** Of a histogram: the sum. */
  value: number
  /** Of a histogram: observations per bucket, the last one above all bounds. */
  counts: number[]
}

export interface Family {
  name: string
  help: string
  labels: readonly string[]
  type: 'counter' | 'gauge' | 'histogram'
  bounds: readonly number[]
  series: Map<string, Series>
}

/** What requests of the same names add to. */
interface Place {
  backend: string
  model: string
  requests: Series
  seconds: Series
  /** Attempts that went well. */
  answered?: Series
  tokens?: Record<'input' | 'cacheRead' | 'cacheWrite' | 'output' | 'read' | 'written', Series>
}

export interface Metrics extends Observer {
  /** By their names; gauges are read now. */
  families(): Family[]
}

/** The bounds that the GenAI conventions give: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
const MOST_MODELS = 50

export function createMetrics(
  version: string, backends: () => BackendState[], running: () => readonly Readonly<RequestRecord>[],
): Metrics {
  const requests = createFamily('dario_requests_total', 'Requests that are over, by how they ended', ['dialect', 'backend', 'end'])
  const errors = createFamily('dario_errors_total', 'Requests that got an error, by its code', ['code'])
  const attempts = createFamily('dario_attempts_total', 'Upstream attempts, by outcome', ['backend', 'outcome'])
  const tokens = createFamily('dario_tokens_total', 'Tokens as the upstreams count them; input excludes what was cached', ['backend', 'model', 'kind'])
  const dollars = createFamily('dario_cost_dollars_total', 'Estimated cost in US dollars, where a price is known', ['backend', 'model'])
  const seconds = createFamily('dario_request_duration_seconds', 'Arrival to end', ['backend', 'model'], SECONDS)
  const first = createFamily('dario_time_to_first_token_seconds', 'Arrival to first content, of streams', ['backend', 'model'], SECONDS)
  const sizes = createFamily('dario_request_tokens', 'Tokens per request; input includes what was cached', ['backend', 'model', 'type'], TOKENS)
  const models = new Set<string>()

  /** Only a name under which something answered is kept: a wrong one fails, and may be anything. */
  function toModel({ servedModel = '', end }: Readonly<RequestRecord>): string {
    if (models.has(servedModel)) return servedModel
    if (end !== 'complete' || models.size >= MOST_MODELS || servedModel === '' || servedModel.length > 100) return 'other'
    models.add(servedModel)
    toPlace = createMemo(findPlace) // a failed request of this model was another one's until now
    return servedModel
  }

  let toPlace = createMemo(findPlace)
  function findPlace(record: Readonly<RequestRecord>): Place {
    const { backend = 'none', dialect, end } = record
    const model = toModel(record)
    return { backend, model, requests: find(requests, [dialect, backend, end]), seconds: find(seconds, [backend, model]) }
  }

  function countUsage({ usage, cost }: Readonly<RequestRecord>, place: Place): void {
    if (usage === undefined) return
    const { backend, model } = place
    const { input = 0, cacheRead = 0, cacheWrite = 0, output = 0 } = usage
    const counts = place.tokens ??= {
      input: find(tokens, [backend, model, 'input']), cacheRead: find(tokens, [backend, model, 'cache_read']),
      cacheWrite: find(tokens, [backend, model, 'cache_write']), output: find(tokens, [backend, model, 'output']),
      read: find(sizes, [backend, model, 'input']), written: find(sizes, [backend, model, 'output']),
    }
    counts.input.value += input
    counts.cacheRead.value += cacheRead
    counts.cacheWrite.value += cacheWrite
    counts.output.value += output
    observe(counts.read, TOKENS, input + cacheRead + cacheWrite)
    observe(counts.written, TOKENS, output)
    if (typeof cost === 'object') add(dollars, cost.dollars, backend, model)
  }

  function readGauges(): Family[] {
    const states = backends()
    const keys = states.flatMap(({ id, keys }) => keys.map((key) => ({ id, ...key })))
    const open = running()
    return [
      createGauge('dario_requests_waiting', 'Requests that wait for a free place at a backend', ['backend'], states.map(({ id, waiting }) => [waiting, id])),
      createGauge('dario_key_resting', '1 while a key rests after a failure', ['backend', 'key'], keys.map(({ id, label, state }) => [state === 'ready' ? 0 : 1, id, label])),
      createGauge('dario_key_headroom_ratio', 'Smallest share of a limit that is left, 0 to 1', ['backend', 'key'],
        keys.flatMap(({ id, label, headroom }) => headroom === undefined ? [] : [[headroom, id, label]])),
      createGauge('dario_requests_running', 'Requests under way', [], [[open.length]]),
      createGauge('dario_streams_open', 'Streams under way', [], [[open.filter(({ stream }) => stream).length]]),
      createGauge('dario_build_info', 'Always 1; the label tells the version', ['version'], [[1, version]]),
    ]
  }

  return {
    families: () => [requests, errors, attempts, tokens, dollars, seconds, first, sizes, ...readGauges()],
    isPatient: true,
    end(record) {
      const { error, firstByteMs, stream } = record
      const place = toPlace(record)
      place.requests.value++
      if (error !== undefined) add(errors, 1, error.code)
      for (const { backend, outcome } of record.attempts) {
        if (outcome === 'ok' && backend === place.backend) (place.answered ??= find(attempts, [backend, 'ok'])).value++
        else if (outcome !== 'cancelled') add(attempts, 1, backend, outcome)
      }
      observe(place.seconds, SECONDS, record.totalMs / 1000)
      if (stream && firstByteMs !== undefined) add(first, firstByteMs / 1000, place.backend, place.model)
      countUsage(record, place)
    },
  }
}

function createFamily(name: string, help: string, labels: readonly string[], bounds: readonly number[] = []): Family {
  return { name, help, labels, bounds, type: bounds.length === 0 ? 'counter' : 'histogram', series: new Map() }
}

function createGauge(name: string, help: string, labels: readonly string[], values: readonly [value: number, ...labels: string[]][]): Family {
  const family: Family = { ...createFamily(name, help, labels), type: 'gauge' }
  for (const [value, ...own] of values) add(family, value, ...own)
  return family
}

function find({ series, bounds }: Family, labels: readonly string[]): Series {
  const key = labels.join('\n')
  let one = series.get(key)
  if (one === undefined) series.set(key, one = { labels, value: 0, counts: Array(bounds.length + 1).fill(0) })
  return one
}

function add(family: Family, value: number, ...labels: string[]): void {
  observe(find(family, labels), family.bounds, value)
}

function observe(one: Series, bounds: readonly number[], value: number): void {
  one.value += value
  let bucket = 0
  while (bucket < bounds.length && value > bounds[bucket]!) bucket++
  one.counts[bucket]!++
}

export function encodePrometheus(families: readonly Family[]): string {
  return families.filter(({ series }) => series.size > 0).map(encodeFamily).join('')
}

function encodeFamily({ name, help, type, labels, bounds, series }: Family): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
  for (const one of series.values()) {
    const own = labels.map((label, index) => `${label}="${escape(one.labels[index] ?? '')}"`)
    const line = (suffix: string, value: number, ...more: string[]): void => {
      const all = [...own, ...more].join(',')
      lines.push(`${name}${suffix}${all === '' ? '' : `{${all}}`} ${value}`)
    }
    if (type !== 'histogram') {
      line('', one.value)
      continue
    }
    let below = 0
    for (const [index, count] of one.counts.entries()) line('_bucket', below += count, `le="${bounds[index] ?? '+Inf'}"`)
    line('_sum', one.value)
    line('_count', below)
  }
  return `${lines.join('\n')}\n`
}

function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
