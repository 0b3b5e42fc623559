/**
 * What is known of one request when it is over: for the log, the ledger, metrics, traces and the dashboard.
 * Never a prompt, an answer or a key.
 * @module
 */
import type { DialectName, Usage } from './types.ts'

export interface AttemptRecord {
  backend: string
  /** Label of the key (`openai#2`), never the key. */
  key: string | undefined
  model: string
  /** `ok`, `client_error`, `auth`, `rate_limited`, `overloaded`, `unreachable`. */
  outcome: string
  status: number | undefined
  /** Milliseconds until the outcome was known. */
  ms: number
  /** One sentence, redacted; undefined when it went well. */
  error: string | undefined
}

/** US dollars: an estimate, with the source and date of the price. */
export interface Cost {
  dollars: number
  source: string
}

export interface RequestRecord {
  id: string
  /** Unix time in ms. */
  time: number
  method: string
  path: string
  dialect: DialectName
  /** The client program, from its `user-agent`: `claude-cli/2.1`. */
  tool: string | undefined
  /** Name of the access key that it came with. */
  accessKey: string | undefined
  /** The model as the client wrote it. */
  model: string
  stream: boolean
  /** Route or rule by which the backend was chosen. */
  route: string | undefined
  attempts: AttemptRecord[]
  /** Backend, key label and model that answered. */
  backend: string | undefined
  key: string | undefined
  servedModel: string | undefined
  /** Status sent to the client; 499 when it left before. */
  status: number
  /** `complete`, `cancelled` (the client left), `failed` (an error status), `broken` (an error inside a stream). */
  end: 'complete' | 'cancelled' | 'failed' | 'broken'
  /** Error code and one redacted sentence. */
  error: { code: string; message: string } | undefined
  /** What was thrown, when the fault is ours: for the log only. */
  cause?: unknown
  stop: string | undefined
  usage: Partial<Usage> | undefined
  /** Known at the end. `plan`: a subscription pays, so only tokens count. undefined: no price or no usage is known. */
  cost?: Cost | 'plan' | undefined
  /** A budget that is nearly used up, in one sentence; the client gets it as `dario-budget-warning`. */
  budgetWarning?: string | undefined
  /** What the budgets keep free for it while it runs. */
  reserved?: { release(): void } | undefined
  /** Milliseconds from arrival to the first byte of content, and to the end. */
  firstByteMs: number | undefined
  totalMs: number
  /** Bytes; of the response as many as were sent so far. */
  requestBytes: number
  responseBytes: number
  /** JSON paths that translation could not carry. */
  dropped: string[]
}

/** Told of requests as they run. Must not throw and must return at once. */
export interface Observer {
  start?(record: Readonly<RequestRecord>): void
  attempt?(record: Readonly<RequestRecord>, attempt: Readonly<AttemptRecord>): void
  firstByte?(record: Readonly<RequestRecord>): void
  end?(record: Readonly<RequestRecord>): void
  /**
   * `end` comes up to 20 ms late, for many requests in a row, and `attempt` only of requests that had a failed one:
   * cheaper for whoever needs it no sooner. Default false.
   */
  isPatient?: boolean | undefined
}
