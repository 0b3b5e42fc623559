/**
 * A plan in words: its program, its login, and how much of its limits is used.
 * @module
 */
import type { BackendStatus } from '../proxy.ts'

type Plan = NonNullable<BackendStatus['plan']>
export type PlanWindows = Plan['windows']

/** `claude 2.1.330, logged in (claude.ai); 25 % of 5 hours used until 2026-11-22T14:00Z` */
export function describePlan({ program, version, loggedIn, login }: Omit<Plan, 'windows'>, windows: PlanWindows = []): string {
  if (program === undefined) return 'no claude program'
  const state = loggedIn === undefined ? 'login unknown' : loggedIn ? 'logged in' : 'not logged in'
  const how = loggedIn === true && login !== undefined ? ` (${login})` : ''
  return [`claude ${version ?? 'of unknown version'}, ${state}${how}`, ...windows.map(({ name, used, resetsAt }) => {
    const until = resetsAt === undefined ? '' : ` until ${new Date(resetsAt).toISOString().slice(0, 16)}Z`
    return `${Math.round(used * 100)} % of ${name} used${until}`
  })].join('; ')
}
