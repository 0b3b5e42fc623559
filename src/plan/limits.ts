/**
 * The plan's limits: read from the program's rate-limit reports, told to clients as `dario-plan-*` headers.
 * @module
 */
import { isObject, toFields } from '../hub/json.ts'
import type { JsonObject } from '../hub/types.ts'

/** Utilization is 0 to 1, `resetsAt` in Unix seconds. */
export interface PlanWindow { utilization: number | undefined; resetsAt: number | undefined }
export interface PlanLimits extends PlanWindow {
  /** `allowed`, `allowed_warning`, `rejected`. */
  status: string
  fiveHour: PlanWindow | undefined
  sevenDay: PlanWindow | undefined
}

/** What the program last said of the plan, in any run. */
export interface Told {
  limits: PlanLimits | undefined
  /** Its full name of a model that was asked for: `sonnet` is `claude-sonnet-…`. */
  models: Map<string, string>
}

/** `resetsAt` and the two windows of a plan, from a `rate_limit_event` line. */
export function readLimits(line: JsonObject): PlanLimits | undefined {
  const info = line['rate_limit_info']
  if (!isObject(info)) return undefined
  const windows = toFields(info['unifiedWindows'])
  return {
    status: typeof info['status'] === 'string' ? info['status'] : 'unknown',
    ...readWindow(info),
    fiveHour: isObject(windows['five_hour']) ? readWindow(windows['five_hour']) : undefined,
    sevenDay: isObject(windows['seven_day']) ? readWindow(windows['seven_day']) : undefined,
  }
}

export function encodeLimits(limits: PlanLimits | undefined): Record<string, string> {
  const entries = Object.entries({
    'status': limits?.status,
    'five-hour-utilization': limits?.fiveHour?.utilization, 'five-hour-reset': limits?.fiveHour?.resetsAt,
    'seven-day-utilization': limits?.sevenDay?.utilization, 'seven-day-reset': limits?.sevenDay?.resetsAt,
  })
  const known = entries.filter(([, value]) => value !== undefined)
  return Object.fromEntries(known.map(([name, value]) => [`dario-plan-${name}`, String(value)]))
}

function readWindow(window: JsonObject): PlanWindow {
  const number = (value: unknown): number | undefined => typeof value === 'number' ? value : undefined
  return { utilization: number(window['utilization']), resetsAt: number(window['resetsAt']) }
}

/** For a 429: seconds until the window that refused opens again; nothing where none of them did. `now` in ms. */
export function encodeRetryAfter(limits: PlanLimits | undefined, now: number): Record<string, string> {
  if (limits?.status !== 'rejected' || limits.resetsAt === undefined) return {}
  return { 'retry-after': String(Math.max(1, Math.ceil(limits.resetsAt - now / 1000))) }
}
