/**
 * Spans and metrics as a collector gets them; what a collector that is dead costs.
 * @module
 */
import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { JsonObject } from '../src/hub/types.ts'
import { createMetrics } from '../src/observe/metrics.ts'
import { createOtlp } from '../src/observe/otlp.ts'
import type { Otlp } from '../src/observe/otlp.ts'
import { startProxy } from './helpers/proxy.ts'
import { createRecord } from './helpers/record.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { Received, TestUpstream } from './helpers/upstream.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'

const newId = (prefix: string): string => prefix + randomUUID().replaceAll('-', '')

interface Collector extends TestUpstream {
  spans(): Span[]
  metrics(): JsonObject[]
}

interface Span extends JsonObject {
  traceId: string
  spanId: string
  name: string
}

async function startCollector(context: TestContext): Promise<Collector> {
  const collector = await startUpstream(context, (_request, response) => sendJson(response, 200, {}))
  const bodies = (path: string): JsonObject[] => collector.received.filter(({ url }) => url === path).map(readBody)
  return {
    ...collector,
    spans: () => bodies('/v1/traces').flatMap((body) => checkSchema(body, TRACES) as JsonObject & { resourceSpans: never[] })
      .flatMap(({ resourceSpans }) => resourceSpans as { scopeSpans: { spans: Span[] }[] }[])
      .flatMap(({ scopeSpans }) => scopeSpans).flatMap(({ spans }) => spans),
    metrics: () => bodies('/v1/metrics').flatMap((body) => checkSchema(body, METRICS) as JsonObject & { resourceMetrics: never[] })
      .flatMap(({ resourceMetrics }) => resourceMetrics as { scopeMetrics: { metrics: JsonObject[] }[] }[])
      .flatMap(({ scopeMetrics }) => scopeMetrics).flatMap(({ metrics }) => metrics),
  }
}

function readBody({ body, headers }: Received): JsonObject {
  strictEqual(headers['content-type'], 'application/json')
  return JSON.parse(body.toString()) as JsonObject
}

type Schema = RegExp | 'number' | 'boolean' | readonly [Schema] | { [member: string]: Schema }

const UINT64 = /^\d{1,20}$/
const TEXT = /[^]*/
const VALUE: Schema = { 'stringValue?': TEXT, 'intValue?': UINT64, 'arrayValue?': { values: [{ stringValue: TEXT }] } }
const ATTRIBUTES: Schema = [{ key: /^[a-z][a-z_.]*$/, value: VALUE }]
const SCOPE: Schema = { name: /^dario$/, version: TEXT }
const TRACES: Schema = {
  resourceSpans: [{
    resource: { attributes: ATTRIBUTES },
    scopeSpans: [{
      scope: SCOPE,
      spans: [{
        traceId: /^[0-9a-f]{32}$/, spanId: /^[0-9a-f]{16}$/, 'parentSpanId?': /^[0-9a-f]{16}$/, name: /./, kind: 'number',
        startTimeUnixNano: UINT64, endTimeUnixNano: UINT64, attributes: ATTRIBUTES, status: { 'code?': 'number', 'message?': TEXT },
      }],
    }],
  }],
}
const POINT = { startTimeUnixNano: UINT64, timeUnixNano: UINT64, attributes: ATTRIBUTES }
const METRICS: Schema = {
  resourceMetrics: [{
    resource: { attributes: ATTRIBUTES },
    scopeMetrics: [{
      scope: SCOPE,
      metrics: [{
        name: /^[a-z_.]+$/, description: TEXT, unit: TEXT,
        'gauge?': { dataPoints: [{ ...POINT, asDouble: 'number' }] },
        'sum?': { aggregationTemporality: 'number', isMonotonic: 'boolean', dataPoints: [{ ...POINT, asDouble: 'number' }] },
        'histogram?': {
          aggregationTemporality: 'number',
          dataPoints: [{ ...POINT, count: UINT64, sum: 'number', bucketCounts: [UINT64], explicitBounds: ['number'] }],
        },
      }],
    }],
  }],
}

/** Members are exactly those of the schema, a `?` marks those that may be missing: protobuf's JSON takes no others. */
function checkSchema(value: unknown, schema: Schema, path = '$'): unknown {
  if (schema instanceof RegExp) match(value as string, schema, path)
  else if (typeof schema === 'string') strictEqual(typeof value, schema, path)
  else if (Array.isArray(schema)) {
    ok(Array.isArray(value), path)
    for (const [index, item] of value.entries()) checkSchema(item, schema[0] as Schema, `${path}[${index}]`)
  } else {
    const members = value as Record<string, unknown>
    const known = new Map(Object.entries(schema).map(([name, one]) => [name.replace('?', ''), [one, name.endsWith('?')] as const]))
    for (const name of Object.keys(members)) ok(known.has(name), `${path}.${name} is not in the protocol`)
    for (const [name, [one, optional]] of known) if (!optional || name in members) checkSchema(members[name], one, `${path}.${name}`)
  }
  return value
}

function attributesOf(span: JsonObject): Record<string, unknown> {
  const list = span['attributes'] as { key: string; value: JsonObject }[]
  return Object.fromEntries(list.map(({ key, value }) => [key, value['intValue'] === undefined ? value['stringValue'] ?? value['arrayValue'] : Number(value['intValue'])]))
}

function create(environment: Record<string, string>, lines: string[] = [], now: () => number = Date.now): Otlp {
  return createOtlp({ environment, metrics: createMetrics('1', () => [], () => []), version: '1', now, newId, log: (line) => lines.push(line), interval: 60_000 })!
}

test('otlp: without an endpoint there is nothing', () => {
  strictEqual(createOtlp({ environment: {}, metrics: createMetrics('1', () => [], () => []), version: '1', now: Date.now, newId, log: () => {} }), undefined)
})

test('otlp: a request is a server span in the names of the GenAI conventions', async (context) => {
  const collector = await startCollector(context)
  const { proxy, url } = await startProxy(context, {
    environment: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`, OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic%20YQ==, x-team=a,,%ZZ', OTEL_SERVICE_NAME: 'house',
    },
  })
  const body = JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: 'hello' }] })
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body, headers: { traceparent: `00-${TRACE}-${PARENT}-01`, 'user-agent': 'tool/1' } })).text()
  await proxy.close()
  const [server, ...more] = collector.spans()
  ok(server !== undefined)
  deepStrictEqual(more, [])
  deepStrictEqual([server.traceId, server['parentSpanId'], server['kind'], server.name], [TRACE, PARENT, 2, 'POST /v1/messages'])
  const told = attributesOf(server)
  strictEqual(told['gen_ai.operation.name'], 'chat')
  strictEqual(told['gen_ai.provider.name'], 'echo')
  strictEqual(told['gen_ai.request.model'], 'echo')
  strictEqual(told['http.response.status_code'], 200)
  strictEqual(told['user_agent.original'], 'tool/1')
  ok(Number(told['gen_ai.usage.output_tokens']) > 0)
  const names = collector.metrics().map(({ name }) => name)
  for (const name of ['gen_ai.client.operation.duration', 'gen_ai.client.token.usage', 'dario_requests_total']) ok(names.includes(name), name)
  const { headers } = collector.received[0]!
  deepStrictEqual([headers.authorization, headers['x-team']], ['Basic YQ==', 'a'])
  ok(collector.received[0]!.body.includes('"house"'))
})

test('otlp: several attempts are client spans below the request, each with its outcome', async (context) => {
  const collector = await startCollector(context)
  const upstream = await startUpstream(context, (_request, response) => sendJson(response, 503, { error: { message: 'busy "now"' } }))
  const { proxy, url } = await startProxy(context, {
    environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, backends: { up: { type: 'openai', baseUrl: upstream.url, keys: ['k', 'l'] } },
  })
  await (await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":"up:m\\"","messages":[]}' })).text()
  await proxy.close()
  const [server, ...attempts] = collector.spans()
  deepStrictEqual(attempts.map((span) => [span.traceId, span['parentSpanId'], span['kind'], span.name, span['status']]),
    Array(2).fill([server?.traceId, server?.spanId, 3, 'chat m"', { code: 2, message: 'busy "now"' }]))
  deepStrictEqual(attempts.map((span) => attributesOf(span)['dario.key']).sort(), ['up#1', 'up#2'])
  strictEqual(attributesOf(attempts[0]!)['error.type'], 'overloaded')
})

test('otlp: the upstream gets the trace with our span as its parent', async (context) => {
  const collector = await startCollector(context)
  const upstream = await startUpstream(context, (_request, response) => sendJson(response, 400, { error: { message: 'no' } }))
  const { proxy, url } = await startProxy(context, {
    environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, backends: { up: { type: 'openai', baseUrl: upstream.url, keys: ['k'] } },
  })
  const send = (headers: Record<string, string>): Promise<Response> => fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":"up:m","messages":[]}', headers })
  await send({ traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'a=b' })
  await send({})
  await proxy.close()
  const [first, second] = upstream.received
  const [server] = collector.spans().filter(({ kind }) => kind === 2)
  strictEqual(first?.headers['traceparent'], `00-${TRACE}-${server?.spanId}-01`)
  strictEqual(first?.headers['tracestate'], 'a=b')
  strictEqual(second?.headers['traceparent'], undefined)
  deepStrictEqual(server?.['status'], { code: 2, message: 'no' })
})

test('otlp: a trace that its client does not sample is passed on and not told', async (context) => {
  const collector = await startCollector(context)
  const otlp = create({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  const request = { id: 'req_1', headers: { traceparent: `00-${TRACE}-${PARENT}-00` } }
  otlp.enter(request)
  match(request.headers.traceparent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`))
  otlp.end?.(createRecord())
  await otlp.close()
  deepStrictEqual(collector.spans(), [])
})

test('otlp: a traceparent that is none begins a trace of its own', async (context) => {
  const collector = await startCollector(context)
  const otlp = create({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  const wrong = ['', 'x', `00-${'0'.repeat(32)}-${PARENT}-01`, `ff-${TRACE}-${PARENT}-01`, `00-${TRACE.toUpperCase()}-${PARENT}-01`, `00-${TRACE}-${PARENT}-01-x`, `01-${TRACE}-${PARENT}-01x`]
  for (const [index, traceparent] of wrong.entries()) {
    otlp.enter({ id: `req_${index}`, headers: { traceparent } })
    otlp.end?.(createRecord({ id: `req_${index}` }))
  }
  otlp.enter({ id: 'later', headers: { traceparent: `01-${TRACE}-${PARENT}-01-x` } })
  otlp.end?.(createRecord({ id: 'later' }))
  await otlp.close()
  const spans = collector.spans()
  strictEqual(spans.length, wrong.length + 1)
  strictEqual(spans.pop()?.traceId, TRACE) // what a later version adds is of no matter
  for (const span of spans) ok(span.traceId !== TRACE && span['parentSpanId'] === undefined)
})

test('otlp: spans above what one batch takes are lost, and the log says how many', async (context) => {
  const collector = await startCollector(context)
  const lines: string[] = []
  const otlp = create({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, lines)
  for (let index = 0; index < 4099; index++) otlp.end?.(createRecord({ id: `req_${index}` }))
  await otlp.close()
  strictEqual(collector.spans().length, 4096)
  deepStrictEqual(lines, ['telemetry is lost: 3 requests above the 4096 spans that one batch takes; metrics and the ledger have them all'])
})

test('otlp: a dead collector costs one line a minute and no request', async (context) => {
  const dead = await startUpstream(context, () => {})
  dead.server.close()
  await once(dead.server, 'close')
  const lines: string[] = []
  let time = 1_000_000
  const otlp = create({ OTEL_EXPORTER_OTLP_ENDPOINT: dead.url }, lines, () => time)
  for (let index = 0; index < 10_000; index++) {
    otlp.enter({ id: `req_${index}`, headers: {} })
    otlp.end?.(createRecord({ id: `req_${index}` }))
  }
  await otlp.close()
  await otlp.close()
  strictEqual(lines.length, 1)
  match(lines[0]!, /^telemetry is lost: ECONNREFUSED; check OTEL_EXPORTER_OTLP_ENDPOINT and its collector$/)
  time += 60_000
  await otlp.close()
  strictEqual(lines.length, 2)
})

test('Z6: a header that cannot be sent is not quoted in the log', async () => {
  const lines: string[] = []
  const otlp = create({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_EXPORTER_OTLP_HEADERS: 'authorization=SECRET%0Ax' }, lines)
  await otlp.close()
  strictEqual(lines.length, 1)
  doesNotMatch(lines[0]!, /SECRET/)
})
