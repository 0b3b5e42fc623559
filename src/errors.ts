/**
 * The one error type of dario, its closed list of codes, and the HTTP status of each.
 * A dialect turns it into its own envelope; a message always says what to do next and never holds a secret.
 * @module
 */

const STATUS = {
  invalid_request: 400,
  invalid_json: 400,
  unsupported_across_dialects: 400,
  context_length_exceeded: 400,
  authentication: 401,
  payment_required: 402,
  permission: 403,
  not_found: 404,
  model_not_found: 404,
  method_not_allowed: 405,
  timeout: 408,
  conflict: 409,
  request_too_large: 413,
  unsupported_media_type: 415,
  rate_limited: 429,
  client_closed: 499,
  internal: 500,
  upstream_error: 502,
  upstream_unreachable: 502,
  upstream_protocol: 502,
  upstream_timeout: 504,
  overloaded: 529,
  config_invalid: 500,
} as const

export type ErrorCode = keyof typeof STATUS

export interface DarioErrorOptions {
  /** HTTP status, when an upstream gave one; default, also for what is no error status: the code's own. */
  status?: number | undefined
  /** JSON path of the offending value in the client's request, for example `messages[2].content[0].source`. */
  path?: string | undefined
  /** Milliseconds after which the same request may succeed. */
  retryAfterMs?: number | undefined
  /** The upstream's own word for the error (`error.type` or `error.code`), kept for logs and for the client. */
  upstreamType?: string | undefined
  /** Extra members for the error body, in the words of the dialect that asked (pitfall Q1). */
  details?: Readonly<Record<string, unknown>> | undefined
  cause?: unknown
}

export class DarioError extends Error {
  override readonly name = 'DarioError'
  readonly code: ErrorCode
  readonly status: number
  readonly path: string | undefined
  readonly retryAfterMs: number | undefined
  readonly upstreamType: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message: string, options: DarioErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    const { status } = options
    // Upstreams write any number; as a status line only these make sense for an error.
    this.status = status !== undefined && Number.isInteger(status) && status >= 400 && status <= 599 ? status : STATUS[code]
    this.path = options.path
    this.retryAfterMs = options.retryAfterMs
    this.upstreamType = options.upstreamType
    this.details = options.details
  }
}

/** Anything thrown becomes a DarioError; an unknown one is `internal` and keeps its cause for the log only. */
export function toDarioError(thrown: unknown): DarioError {
  if (thrown instanceof DarioError) return thrown
  return new DarioError('internal', 'dario failed on this request; its log has the details', { cause: thrown })
}
