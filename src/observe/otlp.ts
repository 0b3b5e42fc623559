/**
 * Spans and metrics to an OpenTelemetry collector, by OTLP over HTTP in JSON, with the GenAI conventions' names.
 * In batches and beside the request path: a collector that is dead costs one log line a minute and nothing else.
 * @see https://opentelemetry.io/docs/specs/otlp/#otlphttp
 * @see https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http'
import { unescape } from 'node:querystring'
import { DarioError } from '../errors.ts'
import type { AttemptRecord, Observer, RequestRecord } from '../hub/record.ts'
import type { JsonObject, Usage } from '../hub/types.ts'
import { createComplaint } from './append.ts'
import type { Family, Metrics, Series } from './metrics.ts'
import { post } from './post.ts'
import { createMemo, flatten, toNano } from './text.ts'
import { createWaiting, reuse } from './waiting.ts'

export interface Otlp extends Observer {
  /** Joins the client's trace: its `traceparent` is replaced by one that names our span, for the upstream. */
  enter(request: { id: string; headers: IncomingHttpHeaders }): void
  /** Sends what waits, for at most two seconds. */
  close(): Promise<void>
}

export interface OtlpOptions {
  environment: Readonly<Record<string, string | undefined>>
  metrics: Metrics
  version: string
  now: () => number
  /** 32 hexadecimal digits behind the prefix. */
  newId: (prefix: string) => string
  /** One line, at most one a minute. */
  log: (line: string) => void
}

interface Trace {
  traceId: string
  spanId: string
  parentSpanId: string
  sampled: boolean
}

type Value = string | number | string[] | undefined

const INTERVAL = 5_000 // ms between two batches
const SERVER = 2, CLIENT = 3 // kinds of spans
const MOST_SPANS = 4096 // waiting ones: a dead collector must not fill memory
const MOST_BYTES = 67_108_864 // more than so many spans can have
const MAX_TEXT = 200 // characters
const PATIENCE = 10_000 // ms for the collector's answer
/** Only a later version than 00 may have more behind its flags. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:(?<!^00.{53})-|$)/
/** Our histograms under the conventions' names, with the attributes that their labels are. */
const CONVENTIONS: Readonly<Record<string, readonly [string, string]>> = {
  dario_request_duration_seconds: ['gen_ai.client.operation.duration', 's'],
  dario_time_to_first_token_seconds: ['gen_ai.client.operation.time_to_first_chunk', 's'],
  dario_request_tokens: ['gen_ai.client.token.usage', '{token}'],
}
const ATTRIBUTES: Readonly<Record<string, string>> = { backend: 'gen_ai.provider.name', model: 'gen_ai.request.model', type: 'gen_ai.token.type' }

/** undefined without `OTEL_EXPORTER_OTLP_ENDPOINT`. */
export function createOtlp({ environment, metrics, version, now, newId, log }: OtlpOptions): Otlp | undefined {
  const base = environment['OTEL_EXPORTER_OTLP_ENDPOINT']?.trim().replace(/\/+$/, '')
  if (!base) return undefined
  const headers = { ...readHeaders(environment['OTEL_EXPORTER_OTLP_HEADERS'] ?? ''), 'content-type': 'application/json' }
  const service = environment['OTEL_SERVICE_NAME']?.trim() || 'dario'
  const resource = `{"attributes":[${encodeAttribute('service.name', service).slice(1)}${encodeAttribute('service.version', version)}]}`
  const scope = JSON.stringify({ name: 'dario', version })
  const traces = new Map<string, Trace>() // of requests that came with one; the others get theirs when they are over
  const ends = new Map<string, number[]>() // of attempts, where one failed
  const started = toNano(now())
  const spans = createWaiting(MOST_BYTES)
  const complain = createComplaint(log, now)
  let count = 0
  let lost = 0 // spans above MOST_SPANS
  let flushing: Promise<void> | undefined
  const timer = setInterval(() => void flush(), INTERVAL).unref()

  async function send(path: string, body: readonly Buffer[], patience: number): Promise<void> {
    try {
      const status = await post(new URL(`${base}${path}`), headers, body, patience)
      if (status < 200 || status > 299) throw new DarioError('upstream_error', `it answers ${status}`)
      reuse(body)
    } catch (error) {
      const { name, code } = error as NodeJS.ErrnoException
      // Not the message: it may quote a header, and one of those is the collector's key.
      complain(`telemetry is lost: ${error instanceof DarioError ? error.message : code ?? name}; check OTEL_EXPORTER_OTLP_ENDPOINT and its collector`)
    }
  }

  function flush(patience: number = PATIENCE): Promise<void> {
    return flushing ??= drain(patience).finally(() => {
      flushing = undefined
    })
  }

  async function drain(patience: number): Promise<void> {
    const batch = spans.take()
    count = 0
    const time = toNano(now())
    const families = metrics.families().filter(({ series }) => series.size > 0).map((family) => encodeFamily(family, started, time))
    const wrap = (what: string, items: readonly Buffer[]): Buffer[] => [
      Buffer.from(`{"resource${what}":[{"resource":${resource},"scope${what}":[{"scope":${scope},"${what.toLowerCase()}":[`), ...items, Buffer.from(']}]}]}'),
    ]
    await Promise.all([
      ...(batch.length === 0 ? [] : [send('/v1/traces', wrap('Spans', batch), patience)]),
      send('/v1/metrics', wrap('Metrics', [Buffer.from(JSON.stringify(families).slice(1, -1))]), patience),
    ])
    if (lost > 0) complain(`telemetry is lost: ${lost} requests above the ${MOST_SPANS} spans that one batch takes; metrics and the ledger have them all`)
    lost = 0
  }

  function add(span: string): void {
    spans.add(count === 0 ? span : `,${span}`)
    count++
  }

  function tell(record: Readonly<RequestRecord>, trace: Trace): void {
    add(encodeRequest(record, trace))
    const times = ends.get(record.id)
    // A single attempt would only repeat the request.
    if (times === undefined || record.attempts.length < 2) return
    for (const [index, attempt] of record.attempts.entries()) {
      if (times[index] !== undefined) add(encodeAttempt(attempt, times[index], trace, newId('').slice(16)))
    }
  }

  return {
    isPatient: true,
    enter({ id, headers }) {
      const given = headers['traceparent']
      const [, traceId, parentSpanId = '', flags = '01'] = (given === undefined ? null : TRACEPARENT.exec(String(given))) ?? []
      if (traceId === undefined) return
      const trace = { traceId, parentSpanId, spanId: newId('').slice(16), sampled: (parseInt(flags, 16) & 1) === 1 }
      traces.set(id, trace)
      headers['traceparent'] = `00-${traceId}-${trace.spanId}-${trace.sampled ? '01' : '00'}`
    },
    attempt({ id, attempts }) {
      const times = ends.get(id) ?? []
      times[attempts.length - 1] = now()
      ends.set(id, times)
    },
    end(record) {
      const { id } = record
      const given = traces.size === 0 ? undefined : traces.get(id)
      if (given?.sampled !== false && count >= MOST_SPANS) lost++
      else if (given?.sampled !== false) tell(record, given ?? createTrace(newId('')))
      if (given !== undefined) traces.delete(id)
      if (ends.size > 0) ends.delete(id)
    },
    async close() {
      clearInterval(timer)
      await flushing
      await flush(2_000)
    },
  }
}

const createTrace = (traceId: string): Trace => ({ traceId, spanId: traceId.slice(16), parentSpanId: '', sampled: true })

/** As text at once: with objects in between, making and collecting them costs several times as much. `name` is encoded. */
function encodeSpan(trace: Trace, spanId: string, parent: string, name: string, kind: number, from: number, to: number, problem: string | undefined, attributes: string): string {
  return `{"traceId":"${trace.traceId}","spanId":"${spanId}",${parent === '' ? '' : `"parentSpanId":"${parent}",`}"name":${name},"kind":${kind},`
    + `"startTimeUnixNano":"${toNano(from)}","endTimeUnixNano":"${toNano(to)}","attributes":[${attributes}],`
    + `"status":{${problem === undefined ? '' : `"code":2,"message":${JSON.stringify(problem)}`}}}`
}

function encodeRequest(record: Readonly<RequestRecord>, trace: Trace): string {
  const { id, time, totalMs, end, error, usage } = record
  const { name, attributes } = toNames(record)
  // A client that left is no error of the server's.
  const problem = end === 'failed' || end === 'broken' ? (error?.message ?? end).slice(0, MAX_TEXT) : undefined
  return encodeSpan(trace, trace.spanId, trace.parentSpanId, name, SERVER, time, time + totalMs, problem,
    attributes + `,{"key":"dario.request.id","value":{"stringValue":"${id}"}}` + (usage === undefined ? '' : encodeUsage(usage)))
}

function encodeUsage({ input = 0, cacheRead, cacheWrite, output }: Partial<Usage>): string {
  return encodeAttribute('gen_ai.usage.input_tokens', input + (cacheRead ?? 0) + (cacheWrite ?? 0)) + encodeAttribute('gen_ai.usage.output_tokens', output)
    + encodeAttribute('gen_ai.usage.cache_read.input_tokens', cacheRead) + encodeAttribute('gen_ai.usage.cache_creation.input_tokens', cacheWrite)
}

const toNames = createMemo((record) => {
  const path = record.path.split('?', 1)[0]!.slice(0, MAX_TEXT)
  const attributes = encodeAttribute('gen_ai.operation.name', path === '/v1/embeddings' ? 'embeddings' : 'chat').slice(1)
    + encodeAttribute('http.request.method', record.method) + encodeAttribute('url.path', path)
    + encodeAttribute('http.response.status_code', record.status) + encodeAttribute('user_agent.original', record.tool?.slice(0, MAX_TEXT))
    + encodeAttribute('gen_ai.provider.name', record.backend) + encodeAttribute('gen_ai.request.model', record.model.slice(0, MAX_TEXT))
    + encodeAttribute('gen_ai.response.model', record.servedModel?.slice(0, MAX_TEXT))
    + encodeAttribute('gen_ai.response.finish_reasons', record.stop && [record.stop.slice(0, MAX_TEXT)])
    + encodeAttribute('error.type', record.error?.code) + encodeAttribute('dario.end', record.end)
    + encodeAttribute('dario.route', record.route) + encodeAttribute('dario.key', record.key)
  return { name: JSON.stringify(`${record.method} ${path}`), attributes: flatten(attributes) }
})

function encodeAttempt({ backend, model, outcome, status, ms, error, key }: Readonly<AttemptRecord>, time: number, trace: Trace, spanId: string): string {
  const problem = outcome === 'ok' ? undefined : (error ?? outcome).slice(0, MAX_TEXT)
  return encodeSpan(trace, spanId, trace.spanId, JSON.stringify(`chat ${model.slice(0, MAX_TEXT)}`), CLIENT, time - ms, time, problem,
    encodeAttribute('gen_ai.operation.name', 'chat').slice(1) + encodeAttribute('gen_ai.provider.name', backend)
    + encodeAttribute('gen_ai.request.model', model.slice(0, MAX_TEXT)) + encodeAttribute('http.response.status_code', status)
    + encodeAttribute('error.type', outcome === 'ok' ? undefined : outcome) + encodeAttribute('dario.key', key))
}

/** With a comma in front. 64-bit numbers are strings in protobuf's JSON. */
function encodeAttribute(key: string, value: Value): string {
  if (value === undefined || value === '') return ''
  if (typeof value === 'number') return `,{"key":"${key}","value":{"intValue":"${value}"}}`
  if (typeof value === 'string') return `,{"key":"${key}","value":{"stringValue":${JSON.stringify(value)}}}`
  return `,{"key":"${key}","value":{"arrayValue":{"values":[${value.map((one) => `{"stringValue":${JSON.stringify(one)}}`).join()}]}}}`
}

function encodeFamily({ name, help, type, labels, bounds, series }: Family, startTimeUnixNano: string, timeUnixNano: string): JsonObject {
  const [convention, unit] = CONVENTIONS[name] ?? []
  const dataPoints = [...series.values()].map((one) => ({
    startTimeUnixNano, timeUnixNano,
    attributes: [
      ...(convention === undefined ? [] : [['gen_ai.operation.name', 'chat']]),
      ...labels.map((label, index) => [(convention && ATTRIBUTES[label]) ?? label, one.labels[index] ?? '']),
    ].map(([key = '', stringValue = '']) => ({ key, value: { stringValue } })),
    ...(type === 'histogram' ? toBuckets(one, bounds) : { asDouble: one.value }),
  }))
  const cumulative = { aggregationTemporality: 2, dataPoints }
  return {
    name: convention ?? name, description: help, unit: unit ?? '1',
    ...(type === 'gauge' ? { gauge: { dataPoints } } : type === 'counter' ? { sum: { ...cumulative, isMonotonic: true } } : { histogram: cumulative }),
  }
}

function toBuckets({ counts, value }: Series, explicitBounds: readonly number[]): JsonObject {
  const count = counts.reduce((sum, one) => sum + one, 0)
  return { count: String(count), sum: value, bucketCounts: counts.map(String), explicitBounds: [...explicitBounds] }
}

/** `name=value,name2=value2`, percent-encoded. */
function readHeaders(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => /^\s*([^=\s]+)\s*=(.*)$/.exec(pair) ?? [])
  return Object.fromEntries(pairs.flatMap(([, name, value = '']) => name === undefined ? [] : [[name, unescape(value.trim())]]))
}
