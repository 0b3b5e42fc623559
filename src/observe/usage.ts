/**
 * Reads the ledger as sums per local day and combination of names. Beside each day's file lies a summary of what was
 * read of it, so a year is 365 small files and the end of one large one.
 * @module
 */
import { closeSync, openSync, readFileSync, readSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RequestRecord } from '../hub/record.ts'
import type { LedgerRow } from './row.ts'
import { createClock } from './text.ts'

export const DAY_FILE: RegExp = /^(\d{4}-\d\d-\d\d)\.jsonl$/
export const SUMMARY_FILE: RegExp = /^\d{4}-\d\d-\d\d\.summary\.json$/

export const COUNTS = [
  'requests', 'failed', 'cancelled', 'input', 'cacheRead', 'cacheWrite', 'output', 'reasoning', 'dollars', 'unpriced', 'plan',
] as const

/**
 * Tokens: `input` excludes what was cached. US dollars, estimated: `unpriced` requests used tokens of unknown price,
 * `plan` requests cost nothing extra.
 */
export type Counts = Record<typeof COUNTS[number], number>

/** Requests that share all names. `''` stands for a name that is not known. */
export interface UsageGroup extends Counts {
  /** Local date, `YYYY-MM-DD` (pitfall U9). */
  day: string
  model: string
  backend: string
  /** Without its version. */
  tool: string
  accessKey: string
  route: string
  /** Source of the prices; `plan`; `''` when none was known, and then `dollars` means nothing. */
  price: string
}

interface Summary {
  version: typeof VERSION
  /** Local dates are those of this zone. */
  zone: string
  /** How much of the day's file it covers, to the end of a line. */
  bytes: number
  groups: UsageGroup[]
}

const VERSION = 2
const CHUNK = 1_048_576

/**
 * Sums of the local days from `since` (`YYYY-MM-DD`) on.
 * @param complain gets a sentence for each day that cannot be read and is left out
 * @param until Unix time in ms: what arrived later does not count
 */
export function readUsage(folder: string, since: string, complain: (message: string) => void = () => {}, until: number = Infinity): UsageGroup[] {
  const last = until === Infinity ? '9' : new Date(until).toISOString().slice(0, 10)
  // A local day begins up to 14 hours before or after the day in UTC.
  const days = listDays(folder, Date.parse(since) - 86_400_000).filter((day) => day <= last)
  const zone = readZone() // 0.1 ms, for a year of days
  return days.flatMap((day) => {
    try {
      return day < last ? readDay(folder, day, zone) : readDayUntil(folder, day, until)
    } catch (error) {
      // Written by a dario that ran as somebody else, say: no reason to tell nothing, or not to start.
      complain(`${join(folder, day)}.jsonl cannot be read (${(error as NodeJS.ErrnoException).code}) and does not count; check who owns it`)
      return []
    }
  }).filter((group) => group.day >= since)
}

/** By its rows, since its summary has them all; unless nothing was written since. */
function readDayUntil(folder: string, day: string, until: number): UsageGroup[] {
  if (statSync(join(folder, `${day}.jsonl`)).mtimeMs < until) return readDay(folder, day)
  const groups = new Map<string, UsageGroup>()
  for (const rows of readRows(folder, day)) for (const row of rows) if (Date.parse(row.time) < until) addRow(groups, row)
  return [...groups.values()]
}

/** UTC days from the one of `from` (Unix ms) on, of which there is a file. */
export function listDays(folder: string, from: number): string[] {
  const first = new Date(from).toISOString().slice(0, 10)
  try {
    return readdirSync(folder).flatMap((name) => DAY_FILE.exec(name)?.[1] ?? []).filter((day) => day >= first).sort()
  } catch {
    return [] // nothing was counted yet
  }
}

/** Sums of one UTC day's file; lines that are no rows (cut by a crash) do not count. */
export function readDay(folder: string, day: string, zone: string = readZone()): UsageGroup[] {
  const file = join(folder, `${day}.jsonl`)
  const summaryFile = join(folder, `${day}.summary.json`)
  const known = readSummary(summaryFile)
  const { size } = statSync(file)
  const usable = known?.version === VERSION && known.zone === zone && known.bytes <= size
  if (usable && known.bytes === size) return known.groups
  const groups = new Map((usable ? known.groups : []).map((group) => [toKey(group), group]))
  const reading = readLines(file, usable ? known.bytes : 0, size)
  let step = reading.next()
  for (; !step.done; step = reading.next()) for (const row of parseRows(step.value)) addRow(groups, row)
  const summary: Summary = { version: VERSION, zone, bytes: step.value, groups: [...groups.values()] }
  writeSummary(summaryFile, summary)
  return summary.groups
}

function readZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone
}

function readSummary(file: string): Summary | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Summary
  } catch {
    return undefined
  }
}

function writeSummary(file: string, summary: Summary): void {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, JSON.stringify(summary), { mode: 0o600 })
    renameSync(temporary, file)
  } catch {
    try {
      rmSync(temporary, { force: true }) // a disk that cannot be written: the sum is made again next time
    } catch { /* nothing was written then */ }
  }
}

/** The lines of one chunk after the other; returns where the last whole line ends. */
function* readLines(file: string, from: number, to: number): Generator<string[], number> {
  const descriptor = openSync(file, 'r')
  try {
    let at = from
    let buffer = Buffer.allocUnsafe(Math.min(CHUNK, to - from))
    for (;;) {
      const length = readSync(descriptor, buffer, 0, Math.min(buffer.length, to - at), at)
      const end = buffer.subarray(0, length).lastIndexOf(10) + 1
      yield buffer.toString('utf8', 0, end).split('\n')
      at += end
      if (length === 0 || (end === 0 && length < buffer.length) || at >= to) return at
      if (end === 0) buffer = Buffer.allocUnsafe(buffer.length * 2) // one line longer than the buffer
    }
  } finally {
    closeSync(descriptor)
  }
}

/** The rows of a UTC day, some thousands at a time. */
export function* readRows(folder: string, day: string): Generator<LedgerRow[]> {
  for (const lines of readLines(join(folder, `${day}.jsonl`), 0, Infinity)) yield parseRows(lines)
}

/** Without what is no row: a cut line, or one that somebody else wrote. */
function parseRows(lines: readonly string[]): LedgerRow[] {
  return lines.flatMap((line) => {
    try {
      const row = JSON.parse(line) as LedgerRow
      // Counting tokens costs nothing and is asked before every turn: not a request that a person means.
      return row.path.endsWith('/count_tokens') || typeof row.time !== 'string' || typeof row.model !== 'string' ? [] : [row]
    } catch {
      return []
    }
  })
}

export function addRow(groups: Map<string, UsageGroup>, row: LedgerRow): void {
  const { time, model, servedModel = model, backend = '', tool = '', accessKey = '', route = '', price = '' } = row
  const names = { day: toLocalDay(Date.parse(time)), model: servedModel, backend, tool: tool.split('/', 1)[0]!, accessKey, route, price }
  let group = groups.get(toKey(names))
  if (group === undefined) groups.set(toKey(names), group = { ...names, ...createCounts() })
  countRow(group, row)
}

export function countRow(sum: Counts, row: LedgerRow): void {
  const { input, output, dollars = 0, price } = row
  const cost = price === undefined || price === 'plan' ? price : { dollars, source: price }
  count(sum, { end: row.end, usage: (input ?? output) === undefined ? undefined : row, cost })
}

/** One request more. */
export function count(sum: Counts, { end, usage, cost }: Readonly<Pick<RequestRecord, 'end' | 'usage' | 'cost'>>): void {
  sum.requests++
  if (end === 'failed' || end === 'broken') sum.failed++
  if (end === 'cancelled') sum.cancelled++
  sum.input += usage?.input ?? 0
  sum.cacheRead += usage?.cacheRead ?? 0
  sum.cacheWrite += usage?.cacheWrite ?? 0
  sum.output += usage?.output ?? 0
  sum.reasoning += usage?.reasoning ?? 0
  if (cost === 'plan') sum.plan++
  else if (cost !== undefined) sum.dollars += cost.dollars
  else if (usage !== undefined) sum.unpriced++
}

export function createCounts(): Counts {
  return Object.fromEntries(COUNTS.map((count) => [count, 0])) as Counts
}

export function addCounts(sum: Counts, counts: Counts): void {
  for (const count of COUNTS) sum[count] += counts[count]
}

function toKey({ day, model, backend, tool, accessKey, route, price }: Omit<UsageGroup, keyof Counts>): string {
  return JSON.stringify([day, model, backend, tool, accessKey, route, price])
}

/** `YYYY-MM-DD` where the user is; no zone is apart from UTC by parts of a minute. */
export const toLocalDay: (time: number) => string = createClock(60_000, (time) => {
  const date = new Date(time)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
})
