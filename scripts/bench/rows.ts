/**
 * What is measured, against what, and the goal of each row.
 * @module
 */
import type { Shape } from './traffic.ts'

export interface Row {
  name: string
  title: string
  shape: Shape
  dialect: 'anthropic' | 'chat'
  base: 'pipe' | 'translator' | 'quiet'
  /** `watched`: with ledger, log file, metrics, budgets and telemetry; `quiet`: with nothing that watches. */
  dario?: 'watched'
  /** What processor time is divided by. */
  per: 'requests' | 'events'
  connections: number
  /** Highest ratio to the base that we accept. */
  goal: number
}

export const ROWS: readonly Row[] = [
  { name: 'small', title: 'same dialect, small, not streamed: CPU per request', shape: 'small', dialect: 'anthropic', base: 'pipe', per: 'requests', connections: 32, goal: 1.2 },
  { name: 'burst', title: 'same dialect, stream of 300 events in one burst: CPU per 1,000 events', shape: 'burst', dialect: 'anthropic', base: 'pipe', per: 'events', connections: 16, goal: 0.7 },
  { name: 'packets', title: 'same dialect, stream, one event per packet: CPU per 1,000 events', shape: 'packets', dialect: 'anthropic', base: 'pipe', per: 'events', connections: 16, goal: 1.0 },
  { name: 'large', title: 'same dialect, 1 MB conversation: CPU per request', shape: 'large', dialect: 'anthropic', base: 'pipe', per: 'requests', connections: 8, goal: 0.9 },
  { name: 'translated', title: 'other dialect, stream: CPU per 1,000 events', shape: 'burst', dialect: 'chat', base: 'translator', per: 'events', connections: 16, goal: 1.3 },
  { name: 'translated-large', title: 'other dialect, 1 MB conversation: CPU per request', shape: 'large', dialect: 'chat', base: 'translator', per: 'requests', connections: 8, goal: 1.3 },
  { name: 'slow', title: '500 slow streams: CPU per 1,000 events', shape: 'slow', dialect: 'anthropic', base: 'pipe', per: 'events', connections: 500, goal: 1.1 },
  { name: 'observed', title: 'small, with ledger, log file, metrics, budgets and OTLP, to nothing of it: CPU per request', shape: 'small', dialect: 'anthropic', base: 'quiet', dario: 'watched', per: 'requests', connections: 32, goal: 1.08 },
]

/** Rows with an absolute goal. */
export const MEMORY_GOAL_MB = 100
export const START_GOAL_MS = 110
export const PACKAGE_GOAL_KB = 400
export const PLAN_GOAL_MS = 20
/** Share of the relay's processor time per small request. */
export const POOL_GOAL = 0.05

/** One line of the printed table. */
export interface Line {
  name: string
  title: string
  base: string
  dario: string
  goal: string
  reached: string
  met: boolean
}

export function printTable(lines: readonly Line[]): string {
  return [
    '| | base | dario | goal | reached | |', '| --- | --- | --- | --- | --- | --- |',
    ...lines.map((line) => `| ${line.title} | ${line.base} | ${line.dario} | ${line.goal} | ${line.reached} | ${line.met ? 'met' : 'missed'} |`),
  ].join('\n')
}
