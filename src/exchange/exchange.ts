/**
 * One request, one straight line: peek, route, candidates, relay, record.
 * @module
 */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { DarioError } from '../errors.ts'
import type { DialectName } from '../hub/types.ts'

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
  accessKey: { name: string; routes?: string[] | undefined } | undefined
  /** Unix time in ms of arrival. */
  received: number
}

export interface Exchange {
  /** Answers on `response`, always: errors go out in the client's dialect. Never rejects. */
  handle(incoming: Incoming, response: ServerResponse): Promise<void>
  /** Ends every running answer with this error, in its client's own protocol; used when dario shuts down. */
  endAll(error: DarioError): void
}
