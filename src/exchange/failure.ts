/**
 * What went wrong with a request, told to the client in its own dialect: the vendor's words where they fit, else ours.
 * @module
 */
import { DarioError } from '../errors.ts'
import { describe } from './describe.ts'
import type { Failure, Job } from './job.ts'

/** Which error tells a user most, when all failed; a network error least. */
const WORTH: Record<string, number> = { rate_limited: 3, overloaded: 2 }

/** An upstream's word beats a network error, a limit beats a fault; the shortest wait of all is told (pitfalls E7, F11). */
export function pickFailure(failures: readonly Failure[]): Failure | undefined {
  const worth = ({ error }: Failure): number => WORTH[error.code] ?? (error.status === 502 ? 0 : 1)
  const [best] = [...failures].sort((a, b) => worth(b) - worth(a))
  const waits = failures.map(({ error }) => error.retryAfterMs).filter((wait) => wait !== undefined)
  return best === undefined || waits.length === 0 ? best : { ...best, error: withRetryAfter(best.error, Math.min(...waits)) }
}

export function withRetryAfter(error: DarioError, retryAfterMs: number): DarioError {
  const { status, path, upstreamType, details, cause } = error
  return new DarioError(error.code, error.message, { status, path, upstreamType, details, cause, retryAfterMs })
}

export function answerFailure(job: Job, { error, verbatim, candidate }: Failure): void {
  const { record, reply, client } = job
  record.end = reply.headSent ? 'broken' : 'failed'
  record.error = { code: error.code, message: error.message }
  record.status = reply.headSent ? 200 : verbatim?.status ?? client.encodeError(error, record.id).status
  const headers = describe(job, candidate)
  if (verbatim === undefined || reply.headSent) return reply.fail(error, headers)
  const wait = error.retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(error.retryAfterMs / 1000)) }
  reply.head(verbatim.status, { ...verbatim.headers, ...wait, ...headers })
  reply.end(verbatim.body)
}
