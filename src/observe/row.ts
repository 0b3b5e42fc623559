/**
 * One line of the ledger: what is in it, and how a finished request becomes one.
 * @module
 */
import type { RequestRecord } from '../hub/record.ts'
import type { Usage } from '../hub/types.ts'
import { createMemo, encodeTokens, flatten, member } from './text.ts'

/**
 * Members without a value are left out; those of tokens, when the upstream told nothing. What a cancelled
 * request had used is what was told until then.
 */
export interface LedgerRow extends Partial<Omit<Usage, 'cacheWriteHour'>> {
  /** Arrival, ISO 8601 in UTC; it decides the file. */
  time: string
  id: string
  path: string
  dialect: string
  tool?: string | undefined
  accessKey?: string | undefined
  /** As the client wrote it. */
  model: string
  route?: string | undefined
  backend?: string | undefined
  key?: string | undefined
  servedModel?: string | undefined
  stream: boolean
  status: number
  end: RequestRecord['end']
  error?: string | undefined
  stop?: string | undefined
  attempts: number
  /** US dollars, estimated by the price that `price` names; absent when no price is known. `price: plan` has none. */
  dollars?: number | undefined
  price?: string | undefined
  /** Milliseconds. */
  firstByteMs?: number | undefined
  totalMs: number
  dropped?: string[] | undefined
}

const MAX_NAME = 200 // clients choose these words, and may choose long ones
const MAX_DROPPED = 20

/** A LedgerRow as a line; `time` is the record's in ISO 8601. */
export function encodeRow(record: Readonly<RequestRecord>, time: string): string {
  const { cost, dropped, firstByteMs, usage } = record
  return `{"time":"${time}","id":"${record.id}"${encodeNames(record)},"attempts":${record.attempts.length}${usage === undefined ? '' : encodeTokens(usage)}`
    + (cost === 'plan' ? member('price', cost) : cost === undefined ? '' : member('dollars', cost.dollars) + member('price', cost.source))
    + `${member('firstByteMs', firstByteMs)},"totalMs":${record.totalMs}`
    + (dropped.length === 0 ? '}\n' : `,"dropped":${JSON.stringify(dropped.slice(0, MAX_DROPPED))}}\n`)
}

const encodeNames = createMemo(({ path, tool, model, servedModel, stop, ...record }) => flatten(member('path', path.split('?', 1)[0]!.slice(0, MAX_NAME))
  + member('dialect', record.dialect) + member('tool', tool === undefined ? undefined : toTool(tool)) + member('accessKey', record.accessKey)
  + member('model', model.slice(0, MAX_NAME)) + member('route', record.route) + member('backend', record.backend) + member('key', record.key)
  + member('servedModel', servedModel?.slice(0, MAX_NAME)) + member('stream', record.stream) + member('status', record.status)
  + member('end', record.end) + member('error', record.error?.code) + member('stop', stop?.slice(0, MAX_NAME))))

/** The first product of a `user-agent`: `claude-cli/2.1.3 (external, cli)` is `claude-cli/2.1.3`. */
export function toTool(userAgent: string): string {
  return (/\S{1,80}/.exec(userAgent)?.[0] ?? '')
}
