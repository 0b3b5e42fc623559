/**
 * What a backend is: something that takes a request in one dialect and gives back a status, headers and bytes.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { DialectName } from '../hub/types.ts'

export type BackendType = 'anthropic' | 'openai' | 'claude-code' | 'echo'

/** A credential in a pool. `label` (`openai#1`) is the only form that logs, errors and pages may show. */
export interface Key {
  label: string
  /** The secret itself; '' for a backend that needs none. */
  value: string
  weight: number
}

export interface Call {
  /** The client request that it belongs to; undefined for questions of our own. */
  id?: string | undefined
  /** Upper case. */
  method: string
  /** Path below the API root with its query string, always with `/v1`: `/v1/messages?beta=true`. */
  path: string
  dialect: DialectName
  /** The model as the backend knows it; '' where the request names none. */
  model: string
  stream: boolean
  /** The client's headers that may travel, lower-case names; the backend adds its own and its credential. */
  headers: Record<string, string>
  /** As text where dario made it: Node encodes it on the way out, and a buffer of a megabyte more hastens full collections. */
  body: Buffer | string | undefined
  /** The client's own session id, if it sent one. */
  session: string | undefined
  /** The caller is on this machine (decided by the socket address, pitfall Z7). */
  loopback: boolean
}

/** What a backend needs of an AbortSignal, so that a lighter thing can stand in for one. */
export interface Signal {
  readonly aborted: boolean
  readonly reason: unknown
  throwIfAborted(): void
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** After `end` or `fail` nothing more is told. */
export interface BodyReader {
  data(bytes: Buffer): void
  end(): void
  /** The upstream broke, or the request was aborted. */
  fail(error: Error): void
}

/**
 * The bytes of an answer, told to one reader. Neither a Readable nor an async iterable: those cost a request much more,
 * and each packet of a stream (design section 10).
 */
export interface Body {
  /** Once. From here on bytes are told, those that came before at once. */
  read(reader: BodyReader): void
  /** Nothing is told until `resume`, but that the request was aborted. The upstream waits (backpressure). */
  pause(): void
  resume(): void
  /** Ends the request to the upstream if its answer is not over. Nothing more is told. */
  destroy(): void
}

export interface Upstream {
  status: number
  headers: IncomingHttpHeaders
  body: Body
}

export interface Backend {
  readonly id: string
  readonly type: BackendType
  /** What it really speaks; the first one is translated to when the client's own is not in the list. Never empty. */
  readonly speaks: readonly DialectName[]
  /** Empty for a backend that needs no key. */
  readonly keys: readonly Key[]
  /** Host name, to tell a vendor from a compatible server. */
  readonly host: string | undefined
  /**
   * @throws DarioError `upstream_unreachable`, `upstream_timeout`; with the signal's reason when it was aborted.
   * An HTTP error status is not thrown: it is the answer.
   */
  send(call: Call, key: Key | undefined, signal: Signal): Promise<Upstream>
  /** Ends what the backend holds (sockets, children). */
  close(): Promise<void>
}

/** What a backend's model list says of one model. Token counts and prices only where the backend gives them. */
export interface ModelInfo {
  id: string
  ownedBy?: string | undefined
  /** Unix time in seconds. */
  created?: number | undefined
  displayName?: string | undefined
  maxInputTokens?: number | undefined
  maxOutputTokens?: number | undefined
  /** US dollars per token. */
  price?: { input: number; output: number; cacheRead?: number | undefined; cacheWrite?: number | undefined } | undefined
}

export type Outcome = 'ok' | 'client_error' | 'auth' | 'rate_limited' | 'overloaded' | 'unreachable'
