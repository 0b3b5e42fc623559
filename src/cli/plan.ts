/**
 * A plan in words: its program, its login, and how much of its limits is used.
 * @module
 */
import type { BackendStatus } from '../proxy.ts'

type Plan = NonNullable<BackendStatus['plan']>
export type PlanLimits = NonNullable<Plan['limits']>

/** `claude 2.1.330, logged in (claude.ai); 25 % of the 5-hour window used until 2026-11-22T14:00Z` */
export function describePlan({ program, version, loggedIn, login }: Omit<Plan, 'limits'>, limits: PlanLimits | undefined): string {
  if (program === undefined) return 'no claude program'
  const state = loggedIn === undefined ? 'login unknown' : loggedIn ? 'logged in' : 'not logged in'
  const known = `claude ${version ?? 'of unknown version'}, ${state}${loggedIn === true && login !== undefined ? ` (${login})` : ''}`
  if (limits === undefined) return known
  const windows = [
    describeWindow(limits.fiveHour, '5-hour'), describeWindow(limits.sevenDay, '7-day'),
    limits.status === 'rejected' ? `refused${toTime(limits.resetsAt)}` : undefined,
  ]
  return [known, ...windows.filter((words) => words !== undefined)].join('; ')
}

function describeWindow(window: PlanLimits['fiveHour'], name: string): string | undefined {
  if (window?.utilization === undefined) return undefined
  return `${Math.round(window.utilization * 100)} % of the ${name} window used${toTime(window.resetsAt)}`
}

function toTime(seconds: number | undefined): string {
  return seconds === undefined ? '' : ` until ${new Date(seconds * 1000).toISOString().slice(0, 16)}Z`
}
