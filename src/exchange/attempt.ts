/**
 * One attempt at one candidate: send, judge, deliver. Either the client has its answer, or nothing of this attempt
 * reached it and another candidate may try.
 * @module
 */
import { readBytes, toErrorSentence } from '../backends/body.ts'
import { toClientHeaders, toUpstreamHeaders } from '../backends/headers.ts'
import { judge, judgeError } from '../backends/outcome.ts'
import { DarioError } from '../errors.ts'
import { deliver } from './deliver.ts'
import { answerFailure, readNotes, withRetryAfter } from './describe.ts'
import { createPreparer } from './prepare.ts'
import type { Upstream } from '../backends/backend.ts'
import type { ErrorCode } from '../errors.ts'
import type { Gate } from '../backends/gate.ts'
import type { Candidate, Pool } from '../backends/pool.ts'
import type { RelayDialect } from '../dialects/dialect.ts'
import type { AttemptRecord, Observer } from '../hub/record.ts'
import type { DialectName } from '../hub/types.ts'
import type { Failure, Job, Sent } from './job.ts'
import type { PreparerTools } from './prepare.ts'
import type { Relayed } from './relay.ts'

export interface AttemptTools extends PreparerTools {
  pool: Pool
  dialect: (name: DialectName) => RelayDialect
  /** undefined: no cap on concurrent requests. */
  gate: (backend: string) => Gate | undefined
  observer: Observer
  /** Unix time in ms. */
  now: () => number
}

/** Resolves with undefined when the client has its answer, good or bad. Rejects with what ended the request itself. */
export type Attempt = (job: Job, candidate: Candidate, isOnly: boolean) => Promise<Failure | undefined>

/** Ends the attempt's record, and hands on why it failed. */
type Close = <Given extends Failure | undefined>(outcome: string, status: number | undefined, failure: Given) => Given

/** An error body is a few hundred bytes; a page of markup is not worth more. */
const MAX_ERROR_BYTES = 1_048_576
/** It comes with its status; on a network that loses the rest, another candidate need not wait as long as for a model. */
const MAX_ERROR_MS = 5_000
/** A backend may refuse one field after another. */
const MAX_REPAIRS = 3
/** This candidate cannot even be asked; another one may take the request as it is. */
const OWN_FAULTS: ReadonlySet<string> = new Set<ErrorCode>(['unsupported_across_dialects', 'config_invalid', 'permission'])

/** Where each dialect's answers are asked for. */
const PATHS: Record<DialectName, string> = {
  anthropic: '/v1/messages',
  chat: '/v1/chat/completions',
  responses: '/v1/responses',
}

export function createAttempt(tools: AttemptTools): Attempt {
  const { pool, observer, now } = tools
  const preparer = createPreparer(tools)

  return async function attempt(job, candidate, isOnly) {
    let leave: (() => void) | undefined
    try {
      const gate = tools.gate(candidate.backend.id)
      if (gate !== undefined) leave = await gate.enter(job.signal)
    } catch (error) {
      if (job.signal.aborted || !(error instanceof DarioError)) throw error
      return open(job, candidate)('queue_full', undefined, { error, candidate })
    }
    try {
      for (let repairs = 0; ; repairs++) {
        const outcome = await once(job, candidate, isOnly, repairs < MAX_REPAIRS)
        if (outcome !== 'repair') return outcome
      }
    } finally {
      leave?.()
    }
  }

  async function once(job: Job, candidate: Candidate, isOnly: boolean, mayRepair: boolean): Promise<Failure | 'repair' | undefined> {
    const close = open(job, candidate)
    let sent: Sent
    try {
      sent = await send(job, candidate)
    } catch (error) {
      if (job.signal.aborted || !(error instanceof DarioError)) throw error
      if (OWN_FAULTS.has(error.code)) return close('client_error', undefined, { error, candidate })
      const verdict = judgeError(error)
      if (verdict.outcome === 'client_error') throw error
      pool.report(candidate, verdict)
      return close(verdict.outcome, undefined, { error, candidate })
    }
    const { status } = sent.upstream
    // "Not modified" is what the client's own `if-none-match` asked for; to a prompt it is no answer.
    if (status >= 300 && !(status === 304 && job.incoming.operation === 'passthrough')) return refuse(job, candidate, sent, close, mayRepair)
    const served = (): void => {
      pool.served(candidate, sent.upstream.headers, job.incoming.operation === 'generate')
      job.record.firstByteMs = now() - job.incoming.received
      observer.firstByte?.(job.record)
    }
    try {
      const relayed = await deliver(job, candidate, sent, tools.translation, served, !isOnly)
      return conclude(job, candidate, relayed, status, close)
    } catch (error) {
      sent.upstream.body.destroy() // where nobody came to read it, it would keep its connection for ever
      throw error
    }
  }

  async function send(job: Job, candidate: Candidate): Promise<Sent> {
    const { backend, key, model } = candidate
    const { incoming, client, record } = job
    const relayed = incoming.operation !== 'generate' || backend.speaks.includes(client.name)
    const from = relayed ? client : tools.dialect(backend.speaks[0]!)
    const repairs = preparer.known(job, candidate)
    const encoded = relayed ? undefined : (await tools.translation(client.name, from.name)).encode(job, from.name, candidate, repairs)
    const headers = toUpstreamHeaders(incoming.headers, from.name)
    if (incoming.operation !== 'passthrough') headers['content-type'] = 'application/json' // curl -d calls it a form
    job.notes = {} // an earlier attempt's say nothing of this one
    record.dropped = encoded === undefined ? [] : [...new Set(encoded.warnings.map(({ path }) => path))]
    if (from.name === 'anthropic') preparer.trimBetas(job, candidate, headers)
    const upstream = await backend.send({
      id: record.id,
      method: incoming.method,
      path: encoded === undefined ? incoming.path : PATHS[from.name],
      dialect: from.name,
      model,
      stream: encoded === undefined ? job.stream : true,
      headers,
      body: encoded === undefined ? await preparer.relay(job, candidate, repairs) : encoded.body,
      session: job.session,
      loopback: incoming.loopback,
    }, key, job.signal)
    if (backend.type === 'claude-code') readNotes(job, upstream.headers)
    return { upstream, from, encoded, headers, repairs }
  }

  /** An error status: the client's own mistake is answered as it is, everything else is a failure of the candidate. */
  async function refuse(job: Job, candidate: Candidate, sent: Sent, close: Close, mayRepair: boolean): Promise<Failure | 'repair' | undefined> {
    const { upstream, from, encoded } = sent
    const { status, headers } = upstream
    const body = withoutKey(await readError(job, upstream), candidate.key?.value)
    const said = body.toString()
    const text = /^\s*</.test(said) ? toErrorSentence(status, said) : said
    const error = from.decodeError(status, text)
    const verdict = judge(status, headers, text, now())
    const isOwn = encoded === undefined && isOwnWords(from, error, upstream, text)
    const failure: Failure = {
      error: verdict.retryAfterMs === undefined ? error : withRetryAfter(error, verdict.retryAfterMs),
      verbatim: isOwn ? { status, headers: toClientHeaders(headers, false), body } : undefined,
      candidate,
    }
    if (verdict.outcome === 'client_error' && mayRepair && preparer.learn(job, candidate, sent, error)) {
      close('repaired', status, failure)
      return 'repair'
    }
    // Vendors count the counting of tokens apart, so its limit says nothing of the others.
    if (job.incoming.operation !== 'count_tokens' || verdict.outcome === 'auth') pool.report(candidate, verdict)
    close(verdict.outcome, status, failure)
    const isMissing = job.incoming.operation === 'count_tokens' && (status === 404 || status === 405)
    if (verdict.outcome !== 'client_error' || isMissing) return failure // a count that nobody makes is estimated
    answerFailure(job, failure)
    return undefined
  }

  /** Ends the reply, or hands the failure on when nothing of it was sent. */
  function conclude(job: Job, candidate: Candidate, relayed: Relayed, status: number, close: Close): Failure | undefined {
    const { error, told, committed } = relayed
    if (error === undefined) {
      close('ok', status, undefined)
      job.record.status = status
      job.record.end = 'complete'
      job.reply.end()
      return undefined
    }
    const verdict = judgeError(error)
    pool.report(candidate, verdict)
    const failure = close(verdict.outcome, status, { error, candidate })
    if (!committed && verdict.outcome !== 'client_error') return failure
    if (told) job.reply.end()
    answerFailure(job, failure)
    return undefined
  }

  /** Counted from the start, so that `dario-attempts` in a head includes the attempt that answers. */
  function open(job: Job, { backend, key, model }: Candidate): Close {
    const started = now()
    const record: AttemptRecord = {
      backend: backend.id, key: key?.label, model, outcome: 'cancelled', status: undefined, ms: 0, error: undefined,
    }
    job.record.attempts.push(record)
    return (outcome, status, failure) => {
      Object.assign(record, { outcome, status, ms: now() - started, error: failure?.error.message })
      observer.attempt?.(job.record, record)
      return failure
    }
  }
}

async function readError(job: Job, upstream: Upstream): Promise<Buffer> {
  const nothing = Buffer.alloc(0) // the status alone still says what happened
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Buffer>((resolve) => {
    timer = setTimeout(resolve, MAX_ERROR_MS, nothing)
  })
  try {
    return await Promise.race([readBytes(upstream, MAX_ERROR_BYTES), late])
  } catch (error) {
    if (job.signal.aborted) throw error
    return nothing
  } finally {
    clearTimeout(timer)
    upstream.body.destroy()
  }
}

/** JSON in the vendor's own form may be passed on. A page of markup, or an overflow in other words, is told anew (E1, E8). */
function isOwnWords(from: RelayDialect, error: DarioError, upstream: Upstream, text: string): boolean {
  if (!(upstream.headers['content-type'] ?? '').includes('json')) return false
  return error.code !== 'context_length_exceeded' || text.includes(from.name === 'anthropic' ? 'prompt is too long' : 'context_length_exceeded')
}

/** Some servers say a refused key back, and who may use dario may still not know it (pitfall Z6). */
function withoutKey(body: Buffer, key = ''): Buffer {
  return key.length < 8 || !body.includes(key) ? body : Buffer.from(body.toString().replaceAll(key, '[redacted]'))
}
