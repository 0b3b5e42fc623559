/**
 * The `dario-*` response headers: where an answer came from, and what translation could not carry (design section 2).
 * @module
 */
import type { Candidate } from '../backends/pool.ts'
import type { Job } from './job.ts'
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
