/**
 * What the command line prints: colours only where they are wanted, tables that stay readable in a pipe, and nothing
 * from an upstream that could steer a terminal.
 * @module
 */
import { stripVTControlCharacters, styleText } from 'node:util'
import type { Environment } from '../config/values.ts'
import type { BackendStatus } from '../proxy.ts'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

export interface Output {
  line(text?: string): void
  /** To stderr: notes, warnings and errors, so that a pipe gets only the result. */
  note(text: string): void
  json(value: unknown): void
  /** Columns by their widest cell, cut to the terminal's width; in a pipe never cut. */
  table(rows: readonly (readonly string[])[]): void
  style(style: Style, text: string): string
}

interface Stream {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
}

const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|.)/g

/** Text from outside, made safe for a terminal: no escape sequences, no control or direction characters, one line. */
export function cleanText(text: string): string {
  return text.replace(ESCAPES, '').replace(CONTROLS, '').replace(/\s*\n\s*/g, ' ')
}

export function createOutput(stdout: Stream, stderr: Stream, environment: Environment): Output {
  const colours = stdout.isTTY === true && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb'
  // A terminal may report 0 columns or a handful (pitfall W11).
  const width = stdout.isTTY === true ? Math.max(40, stdout.columns || 80) : Infinity
  function style(name: Style, text: string): string {
    return colours ? styleText(name, text, { validateStream: false }) : text
  }
  return {
    style,
    line: (text = '') => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${stderr.isTTY === true ? text : stripVTControlCharacters(text)}\n`),
    json: (value) => void stdout.write(`${JSON.stringify(value, null, 2)}\n`),
    table(rows) {
      const cells = rows.map((row) => row.map(cleanText))
      const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
      for (const [index, row] of cells.entries()) {
        const text = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()
        const cut = text.length > width ? `${text.slice(0, width - 1)}…` : text
        stdout.write(`${index === 0 ? style('dim', cut) : cut}\n`)
      }
    },
  }
}

type Plan = NonNullable<BackendStatus['plan']>
export type PlanWindows = Plan['windows']

/** A plan in words: `claude 2.1.330, logged in (claude.ai); 25 % of 5 hours used until 2026-11-22T14:00Z` */
export function describePlan({ program, version, loggedIn, login }: Omit<Plan, 'windows'>, windows: PlanWindows = []): string {
  if (program === undefined) return 'no claude program'
  const state = loggedIn === undefined ? 'login unknown' : loggedIn ? 'logged in' : 'not logged in'
  const how = loggedIn === true && login !== undefined ? ` (${login})` : ''
  return [`claude ${version ?? 'of unknown version'}, ${state}${how}`, ...windows.map(({ name, used, resetsAt }) => {
    const until = typeof resetsAt !== 'number' ? '' : ` until ${new Date(resetsAt).toISOString().slice(0, 16)}Z`
    return `${Math.round(used * 100)} % of ${name} used${until}`
  })].join('; ')
}
