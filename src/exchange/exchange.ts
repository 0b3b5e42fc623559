/**
 * One request, one straight line: peek, route, candidates, attempts, record.
 * @module
 */
import { DarioError, toDarioError } from '../errors.ts'
import { readAffinity, readSession } from './affinity.ts'
import { answerFailure, createAttempt } from './attempt.ts'
import { createCancel } from './cancel.ts'
import { describe } from './describe.ts'
import { peek } from './peek.ts'
import { createReply } from './reply.ts'
import type { Backend } from '../backends/backend.ts'
import type { Gate } from '../backends/gate.ts'
import type { Pool } from '../backends/pool.ts'
import type { Dialect } from '../dialects/dialect.ts'
import type { Observer, RequestRecord } from '../hub/record.ts'
import type { DialectName, JsonObject } from '../hub/types.ts'
import type { Cancel } from './cancel.ts'
import type { Decoded, Failure, Job } from './job.ts'
import type { Peek } from './peek.ts'
import type { Preparer } from './prepare.ts'
import type { Resolution, Router } from './router.ts'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'

/** `generate`: an answer in a dialect. `count_tokens`: Anthropic's count. `passthrough`: relayed untouched. */
export type Operation = 'generate' | 'count_tokens' | 'passthrough'

/** A request that passed the guard, its body read and decompressed. */
export interface Incoming {
  id: string
  operation: Operation
  dialect: DialectName
  /** Upper case. */
  method: string
  /** Normalised: begins with `/v1/`, no trailing slash, query string kept. */
  path: string
  headers: IncomingHttpHeaders
  body: Buffer
  /** From the socket's address, never from a header. */
  loopback: boolean
  /** Name of the access key, when the request came with one; `routes` limits it. */
  accessKey: { name: string; routes?: readonly string[] | undefined } | undefined
  /** Unix time in ms of arrival. */
  received: number
}

export interface Exchange {
  /** Answers on `response`, always: errors go out in the client's dialect. Never rejects. */
  handle(incoming: Incoming, response: ServerResponse): Promise<void>
  /** Ends all running answers in-protocol, for a shutdown. */
  endAll(error: DarioError): void
}

/** What may change while dario runs; read once per request. */
export interface ExchangeSettings {
  router: Router
  backends: ReadonlyMap<string, Backend>
  /** Milliseconds for a whole request. */
  deadline: number
  /** Upstream attempts per request. */
  attempts: number
}

export interface ExchangeTools {
  settings: () => ExchangeSettings
  pool: Pool
  dialect: (name: DialectName) => Dialect
  gate: (backend: string) => Gate | undefined
  preparer: Preparer
  observer: Observer
  newId: (prefix: string) => string
  /** Unix time in ms. */
  now: () => number
  /** Tokens of an Anthropic request, where no backend counts them. */
  estimateTokens: (body: JsonObject) => number
  keepAlive: number
  stalledReader: number
}

/** Which error tells a user most, when all failed. */
const WORTH: Record<string, number> = { rate_limited: 3, overloaded: 2, auth: 1 }

export function createExchange(tools: ExchangeTools): Exchange {
  const { pool, observer, now } = tools
  const running = new Set<Cancel>()
  const uncounted = new Set<string>()
  const attempt = createAttempt({
    ...tools,
    observe: (job, record) => observer.attempt?.(job.record, record),
    firstByte: (job) => observer.firstByte?.(job.record),
  })

  async function handle(incoming: Incoming, response: ServerResponse): Promise<void> {
    const settings = tools.settings()
    const cancel = createCancel()
    const late = setTimeout(() => cancel.abort(new DarioError('upstream_timeout', `no answer within the deadline of ${settings.deadline} ms; ` +
      'the setting deadline changes it')), settings.deadline)
    running.add(cancel)
    response.on('close', () => {
      if (running.has(cancel)) cancel.abort(new DarioError('client_closed', 'the client closed the connection'))
    })
    let job: Job | undefined
    try {
      job = open(incoming, response, cancel)
      await answer(job, settings)
    } catch (thrown) {
      job ??= openBroken(incoming, response, cancel)
      settle(job, thrown)
    } finally {
      clearTimeout(late)
      running.delete(cancel)
      job?.reply.close()
    }
    job.record.totalMs = now() - incoming.received
    job.record.responseBytes = job.reply.bytes
    observer.end?.(job.record)
  }

  function open(incoming: Incoming, response: ServerResponse, signal: Cancel): Job {
    const isJson = incoming.body.length > 0 && (incoming.operation !== 'passthrough' || (incoming.headers['content-type'] ?? '').includes('json'))
    const client = tools.dialect(incoming.dialect)
    const peeked = isJson || incoming.operation !== 'passthrough' ? peek(incoming.body) : undefined
    return createJob(incoming, response, signal, client, peeked)
  }

  /** A request whose body cannot be read still gets an answer in its dialect and a line in the log. */
  function openBroken(incoming: Incoming, response: ServerResponse, signal: Cancel): Job {
    return createJob(incoming, response, signal, tools.dialect(incoming.dialect), undefined)
  }

  function createJob(incoming: Incoming, response: ServerResponse, signal: Cancel, client: Dialect, peeked: Peek | undefined): Job {
    const { id, operation, dialect, method, path, headers, accessKey, received, body } = incoming
    const stream = operation === 'generate' && peeked?.stream === true
    const record: RequestRecord = {
      id, time: received, method, path, dialect, tool: headers['user-agent'], accessKey: accessKey?.name,
      model: peeked?.model ?? readFormModel(incoming), stream, route: undefined, attempts: [], backend: undefined, key: undefined,
      servedModel: undefined, status: 0, end: 'cancelled', error: undefined, stop: undefined, usage: undefined,
      firstByteMs: undefined, totalMs: 0, requestBytes: body.length, responseBytes: 0, dropped: [],
    }
    observer.start?.(record)
    const reply = createReply(response, {
      dialect: client, stream, requestId: id, keepAlive: tools.keepAlive, stalledReader: tools.stalledReader,
    })
    let affinity: string | undefined
    let decoded: Decoded | undefined
    return {
      incoming, client, reply, peeked, stream, signal, record, notes: {},
      session: readSession(headers, peeked),
      affinity: () => affinity ??= readAffinity(headers, peeked),
      decoded: () => decoded ??= tools.preparer.decode(incoming, client),
    }
  }

  async function answer(job: Job, settings: ExchangeSettings): Promise<void> {
    const resolution = resolve(job, settings)
    job.record.route = resolution.route
    const chain = resolution.chain.flatMap(({ backend, model }) => {
      const found = settings.backends.get(backend)
      // The program behind a plan takes the suffix itself; everyone else would not know the name.
      return found === undefined ? [] : [{ backend: found, model: found.type === 'claude-code' ? model + resolution.suffix : model }]
    })
    if (job.incoming.operation === 'count_tokens') return countTokens(job, chain)
    const usable = job.incoming.operation === 'generate' ? chain : chain.filter(({ backend }) => backend.speaks.includes(job.client.name))
    const failures: Failure[] = []
    const candidates = pool.candidates(usable, job.affinity, () => !job.incoming.body.includes('"assistant"')).slice(0, settings.attempts)
    for (const [index, candidate] of candidates.entries()) {
      if (index > 0 && !pool.mayProbe(candidate)) continue
      if (job.signal.aborted) throw job.signal.reason
      const failure = await attempt(job, candidate, index === candidates.length - 1)
      if (failure === undefined) return
      failures.push(failure)
    }
    answerFailure(job, undefined, pickFailure(failures) ?? { error: noBackend(job), verbatim: undefined })
  }

  function resolve(job: Job, { router, backends }: ExchangeSettings): Resolution {
    const { incoming, record } = job
    if (record.model === '' && incoming.operation === 'passthrough') return resolveByDialect(job, backends)
    if (record.model === '') throw new DarioError('invalid_request', 'model is missing: name a model, for example "echo"', { path: 'model' })
    const resolution = router.resolve(record.model)
    const allowed = incoming.accessKey?.routes
    if (allowed !== undefined && !allowed.includes(resolution.route ?? '')) {
      throw new DarioError('permission', `the access key ${record.accessKey} may only use the routes ${allowed.join(', ')}`)
    }
    return resolution
  }

  /** Files, batches and the like name no model: the first backend that speaks the dialect has them. */
  function resolveByDialect(job: Job, backends: ReadonlyMap<string, Backend>): Resolution {
    const chain = [...backends.values()].filter(({ speaks }) => speaks.includes(job.client.name)).map(({ id }) => ({ backend: id, model: '' }))
    return { chain: chain.slice(0, 1), route: undefined, reasons: [], suffix: '' }
  }

  async function countTokens(job: Job, chain: readonly { backend: Backend; model: string }[]): Promise<void> {
    const counters = chain.filter(({ backend }) => backend.type === 'anthropic' && !uncounted.has(backend.id)).slice(0, 1)
    const [first] = pool.candidates(counters, job.affinity, () => false)
    const failure = first === undefined ? undefined : await attempt(job, first, true)
    if (first !== undefined && failure === undefined) return
    // A client asks before every turn: a server without the endpoint is not asked again (pitfall N3).
    if (first !== undefined && (failure?.error.status === 404 || failure?.error.status === 405)) uncounted.add(first.backend.id)
    const tokens = tools.estimateTokens(JSON.parse(job.incoming.body.toString()) as JsonObject)
    job.record.status = 200
    job.record.end = 'complete'
    job.reply.head(200, { ...describe(job, undefined), 'content-type': 'application/json', 'dario-estimated': 'true' })
    job.reply.end(JSON.stringify({ input_tokens: tokens }))
  }

  /** What ended the request itself: the client's leaving, the deadline, a shutdown, its own mistake, our bug. */
  function settle(job: Job, thrown: unknown): void {
    const error = toDarioError(thrown)
    if (error.code === 'client_closed') {
      Object.assign(job.record, { status: 499, end: 'cancelled', error: { code: error.code, message: error.message } })
      return
    }
    const last = job.record.attempts.at(-1)
    if (last?.outcome === 'cancelled') last.error = error.message
    if (error.code === 'internal') job.record.cause = error.cause
    answerFailure(job, undefined, { error, verbatim: undefined })
  }

  return {
    handle,
    endAll(error) {
      for (const cancel of running) cancel.abort(error)
    },
  }
}

/** An upstream's word beats a network error, a limit beats a fault; the shortest wait of all is told (pitfalls E7, F11). */
function pickFailure(failures: readonly Failure[]): Failure | undefined {
  const worth = ({ error }: Failure): number => WORTH[error.code] ?? (error.status === 502 ? 0 : 1)
  const [best] = [...failures].sort((a, b) => worth(b) - worth(a))
  if (best === undefined) return undefined
  const waits = failures.map(({ error }) => error.retryAfterMs).filter((wait) => wait !== undefined)
  if (waits.length === 0 || best.verbatim === undefined) return best
  const seconds = String(Math.ceil(Math.min(...waits) / 1000))
  return { ...best, verbatim: { ...best.verbatim, headers: { ...best.verbatim.headers, 'retry-after': seconds } } }
}

function noBackend(job: Job): DarioError {
  const { operation, path } = job.incoming
  return operation === 'generate'
    ? new DarioError('overloaded', 'every backend of this route rests after failures; try again in a few seconds', { retryAfterMs: 1000 })
    : new DarioError('not_found', `no configured backend has ${path.split('?')[0]} for ${job.client.name} clients; ` +
      'add one that does: dario backend add NAME --base-url=URL')
}

/** The model in a multipart form (audio, images): a field among parts that may be large. */
function readFormModel({ body, headers }: Incoming): string {
  if (!(headers['content-type'] ?? '').startsWith('multipart/form-data')) return ''
  const at = body.indexOf('name="model"')
  if (at === -1) return ''
  const [, value] = /^name="model"[^\r\n]*(?:\r\n[^\r\n]+)*\r\n\r\n([^\r\n]{1,200})/.exec(body.toString('utf8', at, at + 1024)) ?? []
  return value?.trim() ?? ''
}
