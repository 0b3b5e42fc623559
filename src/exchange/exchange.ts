/**
 * One request, one straight line: peek, route, candidates, attempts, record.
 * @module
 */
import { DarioError, toDarioError } from '../errors.ts'
import { readAffinity, readSession } from './affinity.ts'
import { createAttempt } from './attempt.ts'
import { createCancel } from './cancel.ts'
import { answerFailure, describe, pickFailure } from './describe.ts'
import { peekForm } from './form.ts'
import { parseBody, peek } from './peek.ts'
import { createReply } from './reply.ts'
import { createDeadlines } from '../hub/deadlines.ts'
import { createInFlight } from '../hub/in-flight.ts'
import { remember } from '../hub/memo.ts'
import type { Backend } from '../backends/backend.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Config } from '../config/types.ts'
import type { RequestRecord } from '../hub/record.ts'
import type { JsonObject } from '../hub/types.ts'
import type { AttemptTools } from './attempt.ts'
import type { Cancel } from './cancel.ts'
import type { Failure, Incoming, Job } from './job.ts'
import type { Peek } from './peek.ts'
import type { ReplyOptions } from './reply.ts'
import type { Resolution, Router } from './router.ts'
import type { ServerResponse } from 'node:http'

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
  config: Pick<Config, 'deadline' | 'attempts'>
}

export interface ExchangeTools extends AttemptTools, Pick<ReplyOptions, 'keepAlive' | 'stalledReader'> {
  settings: () => ExchangeSettings
  /** The part of a chain that the budgets allow. @throws DarioError `rate_limited` when none of it. */
  admit: <Hop extends { backend: Backend; model: string }>(record: RequestRecord, chain: readonly Hop[]) => readonly Hop[]
  costOf: (record: RequestRecord) => RequestRecord['cost']
  /** Tokens of an Anthropic request, where no backend counts them. */
  estimateTokens: (body: JsonObject) => Promise<number>
}

const MOST_CHAINS = 10_000
const DEADLINE_STEP = 100 // ms by which one may be noticed too late

export function createExchange(tools: ExchangeTools): Exchange {
  const { pool, observer, now } = tools
  const running = createInFlight<Cancel>()
  const deadlines = createDeadlines(DEADLINE_STEP)
  const uncounted = new Set<string>()
  /** What names the conversation of an answer, by its id. */
  const chains = new Map<string, string>()
  const attempt = createAttempt(tools)

  async function handle(incoming: Incoming, response: ServerResponse): Promise<void> {
    const settings = tools.settings()
    const cancel = createCancel()
    const leave = (): void => {
      // A response closes after its last byte too.
      if (running.has(cancel) && !response.writableFinished) cancel.abort(new DarioError('client_closed', 'the client closed the connection'))
    }
    const deadline = {
      until: performance.now() + settings.config.deadline,
      late: () => cancel.abort(new DarioError('upstream_timeout', `no answer within the deadline of ${settings.config.deadline} ms; ` +
        'the setting deadline changes it')),
    }
    deadlines.add(deadline)
    running.add(cancel)
    response.on('close', leave)
    if (response.destroyed) leave() // it left while its body was unpacked: that event is over
    const { job, fault } = open(incoming, response, cancel)
    try {
      if (fault !== undefined) throw fault
      await answer(job, settings)
    } catch (thrown) {
      settle(job, thrown)
    } finally {
      deadlines.delete(deadline)
      running.delete(cancel)
      job.reply.close()
    }
    job.record.totalMs = now() - incoming.received
    job.record.cost = tools.costOf(job.record)
    observer.end?.(job.record)
  }

  /** `fault`: why the body cannot be read; such a request still gets an answer in its dialect and a line in the log. */
  function open(incoming: Incoming, response: ServerResponse, signal: Cancel): { job: Job; fault: unknown } {
    const { id, operation, dialect, method, path, headers, accessKey, received, body } = incoming
    const client = tools.dialect(dialect)
    let peeked: Peek | undefined
    let session: string | undefined
    let fault: unknown
    try {
      peeked = look(incoming)
      session = readSession(headers, peeked)
    } catch (thrown) {
      fault = thrown
    }
    const stream = operation === 'generate' && peeked?.stream === true
    const record: RequestRecord = {
      id, time: received, method, path, dialect, tool: headers['user-agent'], accessKey: accessKey?.name,
      model: peeked?.model ?? '', stream, route: undefined, attempts: [], backend: undefined, key: undefined,
      servedModel: undefined, status: 0, end: 'cancelled', error: undefined, stop: undefined, usage: undefined,
      firstByteMs: undefined, totalMs: 0, requestBytes: body.length, responseBytes: 0, dropped: [],
      cost: undefined, budgetWarning: undefined, reserved: undefined, // not later: an object that grows is made twice
    }
    observer.start?.(record)
    const reply = createReply(response, { dialect: client, record, keepAlive: tools.keepAlive, stalledReader: tools.stalledReader })
    let affinity: string | undefined
    const job: Job = {
      incoming, client, reply, peeked, stream, signal, record, session, suffix: '', notes: {}, decoded: undefined, answerId: undefined,
      affinity: () => affinity ??= chains.get(readAnswerName(path, peeked)) ?? readAffinity(headers, peeked),
    }
    return { job, fault }
  }

  async function answer(job: Job, settings: ExchangeSettings): Promise<void> {
    const resolution = resolve(job, settings)
    job.record.route = resolution.route
    job.suffix = resolution.suffix
    const chain: { backend: Backend; model: string }[] = []
    for (const { backend, model } of resolution.chain) {
      const found = settings.backends.get(backend)
      // The program behind a plan takes the suffix itself; everyone else would not know the name.
      if (found !== undefined) chain.push({ backend: found, model: found.type === 'claude-code' ? model + resolution.suffix : model })
    }
    if (job.incoming.operation === 'count_tokens') return countTokens(job, chain)
    const usable = job.incoming.operation === 'generate' ? chain : chain.filter(({ backend }) => backend.speaks.includes(job.client.name))
    const failures: Failure[] = []
    const candidates = pool.candidates(tools.admit(job.record, usable), job.affinity, () => !job.incoming.body.includes('"assistant"'))
    const waiting = [...candidates]
    for (let tried = 0; tried < settings.config.attempts; tried++) {
      const candidate = pool.take(waiting, tried === 0)
      if (candidate === undefined) break
      job.signal.throwIfAborted()
      const failure = await attempt(job, candidate, candidates.length === 1)
      if (failure === undefined) return stay(job, candidate)
      failures.push(failure)
    }
    const wait = candidates.length > 1 ? pool.wait(candidates) : 0
    answerFailure(job, pickFailure(failures, wait) ?? { error: noBackend(job) })
  }

  /** A vendor keeps an answer behind the key that it was given to, and the next request may say no more than its id. */
  function stay({ answerId, peeked, affinity }: Job, { conversation }: Candidate): void {
    const hasChoice = conversation !== undefined
    if (hasChoice && answerId !== undefined && peeked?.read('store') !== false) remember(chains, answerId, affinity(), MOST_CHAINS)
  }

  function resolve(job: Job, { router, backends }: ExchangeSettings): Resolution {
    const { incoming, record } = job
    if (record.model === '' && incoming.operation === 'passthrough') return resolveByDialect(job, backends)
    if (record.model === '') throw new DarioError('invalid_request', 'model is missing: name a model, for example "echo"', { path: 'model' })
    const resolution = router.resolve(record.model)
    checkRoute(incoming, resolution.route)
    return resolution
  }

  /** Files, batches and the like name no model: the first server that speaks the dialect has them. */
  function resolveByDialect(job: Job, backends: ReadonlyMap<string, Backend>): Resolution {
    checkRoute(job.incoming, undefined)
    const first = [...backends.values()].find(({ type, speaks }) => (type === 'anthropic' || type === 'openai') && speaks.includes(job.client.name))
    return { chain: first === undefined ? [] : [{ backend: first.id, model: '' }], route: undefined, reasons: [], suffix: '' }
  }

  async function countTokens(job: Job, chain: readonly { backend: Backend; model: string }[]): Promise<void> {
    const counters = chain.filter(({ backend }) => backend.type === 'anthropic' && !uncounted.has(backend.id)).slice(0, 1)
    const first = pool.take(pool.candidates(counters, job.affinity, () => false), true)
    if (first !== undefined) {
      const failure = await attempt(job, first, true)
      if (failure === undefined) return
      const { status, code } = failure.error
      // A client asks before every turn: a server without the endpoint is not asked again (pitfall N3).
      if ((status === 404 && code !== 'model_not_found') || status === 405) uncounted.add(first.backend.id)
    }
    const tokens = await tools.estimateTokens(parseBody(job.incoming.body))
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
    answerFailure(job, { error })
  }

  return {
    handle,
    endAll(error) {
      for (const cancel of running.list()) cancel.abort(error)
    },
  }
}

/** As far into the body as routing needs it. @throws DarioError `invalid_json`, `invalid_request`. */
function look({ operation, headers, body }: Incoming): Peek | undefined {
  if (operation !== 'passthrough') return peek(body)
  const type = headers['content-type'] ?? ''
  if (type.startsWith('multipart/form-data')) return peekForm(body)
  return body.length > 0 && (type.includes('json') || body[0] === 123) ? peek(body) : undefined // 123: an opening brace
}

/** Of the earlier answer that it goes on from, asks for again or cancels. */
function readAnswerName(path: string, peeked: Peek | undefined): string {
  return String(peeked?.read('previous_response_id') ?? /^\/v1\/responses\/([^/?]+)/.exec(path)?.[1])
}

/** A key that is limited to routes reaches nothing outside of them: no prefix, no family, no files. */
function checkRoute({ accessKey }: Incoming, route: string | undefined): void {
  const allowed = accessKey?.routes
  if (allowed === undefined || (route !== undefined && allowed.includes(route))) return
  throw new DarioError('permission', `the access key ${accessKey?.name} may only use the routes ${allowed.join(', ')}`)
}

function noBackend(job: Job): DarioError {
  const { operation, path } = job.incoming
  return operation === 'generate'
    ? new DarioError('overloaded', 'every backend of this route rests after failures; try again in a few seconds', { retryAfterMs: 1000 })
    : new DarioError('not_found', `no configured backend has ${path.split('?')[0]} for ${job.client.name} clients; ` +
      'add one that does: dario backend add NAME --base-url=URL')
}
