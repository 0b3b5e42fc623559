/**
 * Brings an upstream's good answer to the client: relayed in the same dialect, translated in another.
 * @module
 */
import { decodeBody } from '../backends/body.ts'
import { toClientHeaders } from '../backends/headers.ts'
import { DarioError } from '../errors.ts'
import { describe } from './describe.ts'
import { pump } from './pump.ts'
import { MAX_PREAMBLE_BYTES, relayBody, relayStream } from './relay.ts'
import { SSE_HEADERS } from './reply.ts'
import { createAnswer } from './translate.ts'
import type { Upstream } from '../backends/backend.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Dialect, Repair, ReplyContext } from '../dialects/dialect.ts'
import type { HubEvent } from '../hub/types.ts'
import type { Job } from './job.ts'
import type { Encoded, Preparer } from './prepare.ts'
import type { Relayed } from './relay.ts'
import type { Answer } from './translate.ts'
import type { OutgoingHttpHeaders } from 'node:http'

const UNBUFFERED: OutgoingHttpHeaders = { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' }

export interface Sent {
  upstream: Upstream
  /** The dialect of the upstream's answer. */
  from: Dialect
  /** undefined when the client's own bytes were sent. */
  encoded: Encoded | undefined
  headers: Readonly<Record<string, string>>
  /** What was left out of the request, as the backend was seen to refuse it. */
  repairs: ReadonlySet<Repair>
}

export interface DeliverTools {
  preparer: Pick<Preparer, 'watch' | 'keep'>
  newId: (prefix: string) => string
  /** The first byte of content is about to reach the client. */
  served: (job: Job, candidate: Candidate, upstream: Upstream) => void
}

/** @param holdErrors an error before content is kept from the client: there is another candidate. */
export type Deliver = (job: Job, candidate: Candidate, sent: Sent, holdErrors: boolean) => Promise<Relayed>

export function createDeliver(tools: DeliverTools): Deliver {
  return async function deliver(job, candidate, sent, holdErrors) {
    const { upstream, from } = sent
    const type = upstream.headers['content-type'] ?? ''
    const streams = type.startsWith('text/event-stream')
    const isAnswer = job.incoming.operation === 'generate'
    if (isAnswer && type.startsWith('text/html')) return refusePage(candidate, upstream)
    if (from !== job.client || (isAnswer && streams !== job.stream)) return translate(job, candidate, sent, streams)
    // Not every server heeds `identity`. Events must be seen to be relayed whole, and not every client can unpack.
    const encoding = upstream.headers['content-encoding']
    const packed = encoding !== undefined && ((streams && isAnswer) || !job.incoming.headers['accept-encoding']?.includes(encoding))
    const plain = packed ? { ...upstream, body: decodeBody(upstream) } : upstream
    const commit = (): void => {
      tools.served(job, candidate, upstream)
      const headers = Object.assign(toClientHeaders(upstream.headers, !packed), describe(job, candidate))
      job.reply.head(upstream.status, streams ? Object.assign(headers, UNBUFFERED) : headers)
    }
    return streams && isAnswer ? relayStream(job, plain, commit, holdErrors) : relayBody(job, plain, commit)
  }

  async function translate(job: Job, candidate: Candidate, sent: Sent, upstreamStreams: boolean): Promise<Relayed> {
    const { upstream, from, encoded } = sent
    const context: ReplyContext = {
      request: encoded?.request ?? job.decoded().request,
      model: job.record.model,
      created: Math.floor(job.incoming.received / 1000),
      newId: tools.newId,
      keep: (reply) => tools.preparer.keep(job, reply),
    }
    const remember = tools.preparer.watch(job)
    const answer = createAnswer({
      from, to: job.client, encoded, stream: job.stream, upstreamStreams, context,
      watch(event) {
        remember(event)
        note(job, event)
      },
    })
    const sink = createSink(job, answer, (headers) => {
      tools.served(job, candidate, upstream)
      job.reply.head(200, { ...passedOn(upstream), ...headers, ...describe(job, candidate) })
    })
    const broken = await read(job, upstream, answer, sink, upstreamStreams)
    // A break after the last word is no break: the decoder knows whether the answer was over (pitfall S16).
    const mayBeOver = broken === undefined || upstreamStreams
    if (!answer.complete && answer.error === undefined && mayBeOver) await sink.pass(answer.finish())
    const error = answer.complete ? undefined : broken ?? answer.error
    if (error === undefined) return conclude(job, answer, sink, context)
    if (sink.committed) job.reply.write(answer.fail(error))
    return { error, told: sink.committed, committed: sink.committed, usage: job.record.usage }
  }

  async function conclude(job: Job, answer: Answer, sink: Sink, context: ReplyContext): Promise<Relayed> {
    if (job.stream) await sink.flush()
    else await sink.whole(JSON.stringify(job.client.encodeReply(answer.reply(), context)))
    return { error: undefined, told: false, committed: true, usage: job.record.usage }
  }
}

/** A login page or a firewall's notice with status 200 (pitfall E8). */
async function refusePage({ backend }: Candidate, { body }: Upstream): Promise<Relayed> {
  body.destroy()
  const error = new DarioError('upstream_protocol', `${backend.id} answered with a web page; check backends.${backend.id}.baseUrl and the network`)
  return { error, told: false, committed: false, usage: undefined }
}

/** Returns the error by which the upstream broke; throws what ended the request itself. */
async function read(job: Job, upstream: Upstream, answer: Answer, sink: Sink, upstreamStreams: boolean): Promise<DarioError | undefined> {
  try {
    await pump(decodeBody(upstream), job.signal, (bytes) => {
      const waits = sink.pass(answer.push(bytes))
      // Whatever follows the end of an answer is not read (pitfall S23).
      return waits === undefined && upstreamStreams && (answer.complete || answer.error !== undefined) ? false : waits
    })
    return undefined
  } catch (error) {
    if (job.signal.aborted) {
      // The client still listens when it is the deadline or a shutdown that ends this: close its open block first (S18).
      if (sink.committed && error instanceof DarioError) job.reply.end(answer.fail(error))
      throw error
    }
    if (error instanceof DarioError) return error
    throw error
  }
}

interface Sink {
  committed: boolean
  /** Text waits until there is content: until then another candidate may still answer. */
  pass(text: string): Promise<void> | void
  flush(): Promise<void> | void
  whole(text: string): Promise<void> | void
}

function createSink(job: Job, answer: Answer, open: (headers: OutgoingHttpHeaders) => void): Sink {
  let held = ''
  function flush(): Promise<void> | void {
    if (!sink.committed) open(SSE_HEADERS)
    sink.committed = true
    const text = held
    held = ''
    if (text !== '' && !job.reply.write(text)) return job.reply.drained()
  }
  const sink: Sink = {
    committed: false,
    pass(text) {
      held += text
      if (job.stream && held !== '' && (sink.committed || answer.content || held.length > MAX_PREAMBLE_BYTES)) return flush()
    },
    flush,
    whole(text) {
      open({ 'content-type': 'application/json' })
      sink.committed = true
      if (!job.reply.write(text)) return job.reply.drained()
    },
  }
  return sink
}

function note(job: Job, event: HubEvent): void {
  if (event.type === 'start' && event.usage !== undefined) job.record.usage = event.usage
  if (event.type !== 'end') return
  job.record.usage = event.usage
  job.record.stop = event.rawStop ?? event.stop
}

/** Headers of a translated answer: what is useful of the upstream's, nothing about its bytes. */
function passedOn(upstream: Upstream): OutgoingHttpHeaders {
  const { 'content-type': _type, 'content-length': _length, 'cache-control': _cache, etag: _etag, ...headers } = toClientHeaders(upstream.headers, false)
  return headers
}
