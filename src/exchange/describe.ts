/**
 * What a client is told besides content: where an answer came from and what translation could not carry (`dario-*`
 * headers, design section 2), or what went wrong, in the vendor's words where they fit, else ours.
 * @module
 */
import { isBroken } from '../backends/outcome.ts'
import { DarioError } from '../errors.ts'
import { retryAfter } from './reply.ts'
import type { Candidate } from '../backends/pool.ts'
import type { Failure, Job } from './job.ts'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'

/** Header lines over a few kilobytes make some clients fail. */
const MAX_DROPPED_CHARS = 4096

export function describe(job: Job, candidate: Candidate | undefined): OutgoingHttpHeaders {
  const { record } = job
  const headers: OutgoingHttpHeaders = { 'dario-request-id': record.id, 'dario-attempts': String(record.attempts.length) }
  if (record.budgetWarning !== undefined) headers['dario-budget-warning'] = toHeader(record.budgetWarning)
  if (candidate === undefined) return headers
  record.backend = candidate.backend.id
  record.key = candidate.key?.label
  record.servedModel = candidate.model
  Object.assign(headers, job.notes)
  headers['dario-backend'] = candidate.backend.id
  headers['dario-model'] = toHeader(candidate.model)
  if (record.dropped.length > 0) headers['dario-dropped'] = toHeader(record.dropped.join(', ')).slice(0, MAX_DROPPED_CHARS)
  return headers
}

/** Takes in what the program behind a plan says of limits and losses; its words arrive as headers of its answer. */
export function readNotes(job: Job, headers: IncomingHttpHeaders): void {
  for (const [name, value] of Object.entries(headers)) {
    if (name === 'dario-dropped') job.record.dropped = [...new Set([...job.record.dropped, ...String(value).split(',')])]
    else if (name.startsWith('dario-')) job.notes[name] = value
  }
}

/** A model's name comes from a client and may hold anything; a header may not (pitfall H6). */
function toHeader(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text
  const bytes = Buffer.from(text).toString('latin1')
  return bytes.replaceAll(/[^\x20-\x7e]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

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
