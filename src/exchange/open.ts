/**
 * Opens the record and the reply of one request, and looks into its body as far as routing needs it.
 * @module
 */
import { readAffinity, readSession } from './affinity.ts'
import { peekForm } from './form.ts'
import { peek } from './peek.ts'
import { createReply } from './reply.ts'
import type { Signal } from '../backends/backend.ts'
import type { RequestRecord } from '../hub/record.ts'
import type { AttemptTools } from './attempt.ts'
import type { Incoming } from './incoming.ts'
import type { Job } from './job.ts'
import type { Peek } from './peek.ts'
import type { ReplyOptions } from './reply.ts'
import type { ServerResponse } from 'node:http'

export type OpenTools = Pick<AttemptTools, 'dialect' | 'observer'> & Pick<ReplyOptions, 'keepAlive' | 'stalledReader'>

/** `fault`: why the body cannot be read; such a request still gets an answer in its dialect and a line in the log. */
export function open(
  tools: OpenTools, incoming: Incoming, response: ServerResponse, signal: Signal,
): { job: Job; fault: unknown } {
  const { id, operation, dialect, method, path, headers, accessKey, received, body } = incoming
  const client = tools.dialect(dialect)
  let peeked: Peek | undefined
  let session: string | undefined
  let fault: unknown
  try {
    peeked = look(incoming)
    session = readSession(headers, peeked)
  } catch (thrown) {
    fault = thrown
  }
  const stream = operation === 'generate' && peeked?.stream === true
  const record: RequestRecord = {
    id, time: received, method, path, dialect, tool: headers['user-agent'], accessKey: accessKey?.name,
    model: peeked?.model ?? '', stream, route: undefined, attempts: [], backend: undefined, key: undefined,
    servedModel: undefined, status: 0, end: 'cancelled', error: undefined, stop: undefined, usage: undefined,
    firstByteMs: undefined, totalMs: 0, requestBytes: body.length, responseBytes: 0, dropped: [],
    cost: undefined, budgetWarning: undefined, reserved: undefined, // not later: an object that grows is made twice
  }
  tools.observer.start?.(record)
  const reply = createReply(response, { dialect: client, record, keepAlive: tools.keepAlive, stalledReader: tools.stalledReader })
  let affinity: string | undefined
  const job: Job = {
    incoming, client, reply, peeked, stream, signal, record, session, suffix: '', notes: {}, decoded: undefined,
    affinity: () => affinity ??= readAffinity(headers, peeked),
  }
  return { job, fault }
}

/** @throws DarioError `invalid_json`, `invalid_request`. */
function look({ operation, headers, body }: Incoming): Peek | undefined {
  if (operation !== 'passthrough') return peek(body)
  const type = headers['content-type'] ?? ''
  if (type.startsWith('multipart/form-data')) return peekForm(body)
  return body.length > 0 && (type.includes('json') || body[0] === 123) ? peek(body) : undefined // 123: an opening brace
}
