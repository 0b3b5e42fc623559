/**
 * One client request while it is being answered: what it asked, how to reply, and what is known so far.
 * @module
 */
import type { Signal, Upstream } from '../backends/backend.ts'
import type { Candidate } from '../backends/pool.ts'
import type { EncodedRequest, RelayDialect, Repair, ReplyContext } from '../dialects/dialect.ts'
import type { DarioError } from '../errors.ts'
import type { RequestRecord } from '../hub/record.ts'
import type { DialectName, HubRequest, JsonObject, Warning } from '../hub/types.ts'
import type { Peek } from './peek.ts'
import type { Reply } from './reply.ts'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'

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

export interface Job {
  incoming: Incoming
  client: RelayDialect
  reply: Reply
  /** undefined for a body that is not JSON. */
  peeked: Peek | undefined
  stream: boolean
  /** Aborts when the client leaves, the deadline passes or dario shuts down; its reason is a DarioError. */
  signal: Signal
  record: RequestRecord
  /** `dario-*` response headers that a built-in backend adds; an upstream's own are never passed on. */
  notes: OutgoingHttpHeaders
  /** Usage was asked for in the client's stead, so the chunk that brings it is not for the client (pitfall U6). */
  hidesUsage?: boolean | undefined
  session: string | undefined
  /** Of a finished answer that a later request may refer to (Responses). */
  answerId: string | undefined
  /** `[1m]` or the like behind the model's name, once it is routed. */
  suffix: string
  /** Hashing a long prompt is not free, so it is asked only where there is a choice. */
  affinity: () => string
  /**
   * The client's body in hub form, while a translation needs it; never changed: every attempt encodes afresh from it
   * (pitfall F9). Forgotten while a model answers: the body's bytes are enough, and a rare next attempt decodes them again.
   */
  decoded: Decoded | undefined
}

export interface Decoded {
  request: HubRequest
  warnings: readonly Warning[]
  /** The body that it was decoded from, earlier responses included. */
  body: JsonObject
}

/** A translated request as it is sent, and what its answer is read and told by. */
export interface Encoded extends Pick<EncodedRequest, 'warnings' | 'toolNames'> {
  body: string
  request: ReplyContext['request']
  /** Of the calls in its history, as the client wrote them. */
  callIds: ReadonlySet<string>
}

/** One attempt's request as it went out, and the answer. */
export interface Sent {
  upstream: Upstream
  /** The dialect of the upstream's answer. */
  from: RelayDialect
  /** undefined when the client's own bytes were sent. */
  encoded: Encoded | undefined
  headers: Readonly<Record<string, string>>
  /** What was left out of the request, as the backend was seen to refuse it. */
  repairs: ReadonlySet<Repair>
}

/** A candidate that did not answer; nothing of it was sent to the client. */
export interface Failure {
  error: DarioError
  /** The upstream's own answer in the client's dialect, when it may be passed on as it is. */
  verbatim?: { status: number; headers: OutgoingHttpHeaders; body: Buffer } | undefined
  /** Who failed; undefined when no backend is to blame. */
  candidate?: Candidate | undefined
}
