/**
 * What a client is told when every candidate failed.
 * @module
 */
import { isBroken } from '../backends/outcome.ts'
import { DarioError } from '../errors.ts'
import type { Failure } from './job.ts'

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
  if (best === undefined || wait === 0 || worth(best) < COMES_BACK) return best
  const { error, verbatim } = best
  const headers = { ...verbatim?.headers, 'retry-after': String(Math.ceil(wait / 1000)) }
  return { error: withRetryAfter(error, wait), verbatim: verbatim && { ...verbatim, headers } }
}

export function withRetryAfter(error: DarioError, retryAfterMs: number): DarioError {
  const { status, path, upstreamType, details, cause } = error
  return new DarioError(error.code, error.message, { status, path, upstreamType, details, cause, retryAfterMs })
}
