/**
 * A request as the server hands it to the exchange.
 * @module
 */
import type { DialectName } from '../hub/types.ts'
import type { IncomingHttpHeaders } from 'node:http'

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
