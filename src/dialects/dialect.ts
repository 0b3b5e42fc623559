/**
 * What a dialect is: five pairs of pure functions between one wire format and the hub. No clock, no randomness, no I/O.
 * Decoders are lenient (an unknown word is a default), encoders strict (they emit a closed grammar).
 * @module
 */
import type { DarioError } from '../errors.ts'
import type { DialectName, HubEvent, HubReply, HubRequest, JsonObject, Usage, Warning } from '../hub/types.ts'
import type { SseEvent } from '../sse.ts'

/**
 * What a backend was seen to refuse, learned from its 400 (or known by model family) and remembered per backend and
 * model. Encoders that know the word obey it; others ignore it.
 */
export type Repair =
  | 'max_completion_tokens' // use the newer field name
  | 'max_tokens' // use the older field name
  | 'no_sampling' // leave out temperature, top_p and the penalties
  | 'no_stop'
  | 'no_thinking' // leave out every wish for reasoning
  | 'no_thinking_history' // leave out reasoning of earlier turns
  | 'replay_reasoning' // earlier reasoning must be sent back
  | 'no_cache_ttl'
  | 'no_cache_marks'
  | 'no_strict'
  | 'no_format'
  | 'no_parallel_tools'
  | 'no_stream_options'

/** What the encoder of a request may know of its target. */
export interface Target {
  /** The model's name there: family rules go by it. */
  model: string
  /** Host name of the upstream, to tell a vendor from a compatible server; `undefined` for a local program. */
  host?: string | undefined
  repairs: ReadonlySet<Repair>
  /** Session id for a prompt cache key when the client sent none. */
  session?: string | undefined
  /** Output token ceiling of the model, when its backend lists it. */
  maxOutputTokens?: number | undefined
}

export interface EncodedRequest {
  body: JsonObject
  warnings: Warning[]
  /** Tool names that had to be changed, by the name that was sent; answers are mapped back through it. */
  toolNames: ReadonlyMap<string, ToolIdentity>
}

/** How the client knows a tool: what an answer must call it. */
export interface ToolIdentity {
  name: string
  kind: 'function' | 'custom'
  namespace?: string | undefined
}

/** What an encoder of answers must know of the request that it answers. */
export interface ReplyContext {
  /** Of the client's own request. `extra` holds what Responses repeats in its answers; `legacyCalls`: Chat's form before `tools`. */
  request: Pick<HubRequest, 'streamUsage' | 'extra'> & { legacyCalls?: boolean }
  /** The model as the client wrote it (pitfall M5: echoed in the body). */
  model: string
  /** Unix time in seconds, for `created`. */
  created: number
  /** Makes an id, unique in this process: `newId('msg_')`. */
  newId: (prefix: string) => string
  /** Told of a finished answer as the client gets it (Responses: kept for `previous_response_id`); never of a broken one. */
  keep?: ((reply: JsonObject) => void) | undefined
}

/** What a decoder of answers must know. */
export interface DecodeContext {
  toolNames: ReadonlyMap<string, ToolIdentity>
  newId: (prefix: string) => string
}

/** Decodes one upstream answer; one object per answer, never shared (pitfall S26). */
export interface StreamDecoder {
  push(event: SseEvent): HubEvent[]
  /** The upstream closed the stream; reports a cut one as an `error` event (pitfalls S15, S16). */
  end(): HubEvent[]
}

/** Encodes one answer; returns the SSE text for an event, '' for nothing. */
export type StreamEncoder = (event: HubEvent) => string

/** What a relay needs to know: errors, usage, and where a stream begins and ends. */
export interface RelayDialect {
  readonly name: DialectName
  /** The dialect's own envelope, status and headers for an error. */
  encodeError(error: DarioError, requestId: string): { status: number; body: JsonObject }
  /** An error inside a stream that has begun: SSE text that ends it without looking complete (pitfall S17). */
  encodeStreamError(error: DarioError, requestId: string): string
  /** Sent during silence (pitfall S19). */
  readonly keepAlive: string
  /** An upstream's error body (any shape: vendor envelope, HTML, text) as a DarioError. */
  decodeError(status: number, text: string): DarioError
  /** Which repairs may make this refused request pass; empty when it is the client's own mistake. */
  readRepairs(error: DarioError, model: string): Repair[]
  /** A request in this dialect with what was refused taken out, for the relay; absent where nothing can be done. */
  repairBody?(body: JsonObject, repairs: ReadonlySet<Repair>): JsonObject
  /** Whether the target's streams tell their usage only when asked, and it may be asked; absent: they tell. */
  mustAskUsage?(target: Target): boolean
  /** Usage in one stream event's data or a whole answer; undefined when it has none. Snapshots, not increments. */
  readUsage(data: JsonObject): Partial<Usage> | undefined
  /** Whether a stream event is only preamble: nothing of it is content yet, so failover is still possible. */
  isPreamble(event: SseEvent): boolean
  /** Whether a stream event ends the answer well, an error, or neither. */
  endOf(event: SseEvent): 'complete' | 'error' | undefined
}

/** With what translation needs. */
export interface Dialect extends RelayDialect {
  /** @throws DarioError `invalid_request` with the JSON path. */
  decodeRequest(body: JsonObject): { request: HubRequest; warnings: Warning[] }
  /** @throws DarioError `unsupported_across_dialects` for what cannot be said in this dialect at all. */
  encodeRequest(request: HubRequest, target: Target): EncodedRequest
  createStreamDecoder(context: DecodeContext): StreamDecoder
  /** A whole JSON answer, as the same events that a stream would have given. */
  decodeReply(body: JsonObject, context: DecodeContext): HubEvent[]
  createStreamEncoder(context: ReplyContext): StreamEncoder
  encodeReply(reply: HubReply, context: ReplyContext): JsonObject
}
