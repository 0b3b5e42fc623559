/**
 * What went wrong with a request, told to the client in its own dialect: the vendor's words where they fit, else ours.
 * @module
 */
import { isBroken } from '../backends/outcome.ts'
import { DarioError } from '../errors.ts'
import { describe } from './describe.ts'
import { retryAfter } from './reply.ts'
import type { Failure, Job } from './job.ts'

/** Which error tells most; any other word of an upstream's is worth 1, a broken connection nothing. */
const WORTH: Record<string, number> = { rate_limited: 4, overloaded: 3, payment_required: 2 }
const COMES_BACK = 3

/**
 * An upstream's word beats a broken connection, a limit beats a fault (pitfall F11). A client that shall come back is
 * told when the first candidate wakes (pitfall E7).
 * @param wait milliseconds; 0 leaves a vendor's own words as they are
 */
export function pickFailure(failures: readonly Failure[], wait: number): Failure | undefined {
  const worth = ({ error }: Failure): number => isBroken(error) ? 0 : WORTH[error.code] ?? 1
  const [best] = [...failures].sort((a, b) => worth(b) - worth(a))
  return best === undefined || wait === 0 || worth(best) < COMES_BACK ? best : { ...best, error: withRetryAfter(best.error, wait) }
}

export function withRetryAfter(error: DarioError, retryAfterMs: number): DarioError {
  return new DarioError(error.code, error.message, { ...error, cause: error.cause, retryAfterMs })
}

export function answerFailure(job: Job, { error, verbatim, candidate }: Failure): void {
  const { record, reply, client } = job
  record.end = reply.headSent ? 'broken' : 'failed'
  record.error = { code: error.code, message: error.message }
  record.status = reply.headSent ? 200 : verbatim?.status ?? client.encodeError(error, record.id).status
  const headers = describe(job, candidate)
  if (verbatim === undefined || reply.headSent) return reply.fail(error, headers)
  reply.head(verbatim.status, { ...verbatim.headers, ...retryAfter(error), ...headers })
  reply.end(verbatim.body)
}
