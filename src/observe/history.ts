/**
 * What the ledger has of the dashboard's 24 hours and 30 days from before this process.
 * @module
 */
import { promisify } from 'node:util'
import { DAYS, HOUR, HOURS, createTotals, startOfDay, startOfHour } from './live.ts'
import type { Past, Totals } from './live.ts'
import { addCounts, addRow, countRow, listDays, readDay, readRows, toLocalDay } from './usage.ts'
import type { UsageGroup } from './usage.ts'

const nextTurn = promisify(setImmediate)

/** The last 24 hours and 30 local days as the ledger has them, in pieces of some milliseconds: requests go on meanwhile. */
export async function readHistory(folder: string, time: number, until: number): Promise<Past> {
  const groups: UsageGroup[] = []
  const [hours, days] = [new Map<number, Totals>(), new Map<number, Totals>()]
  const [firstDay, firstHour] = [startOfDay(time, DAYS - 1), startOfHour(time) - (HOURS - 1) * HOUR]
  const last = new Date(until).toISOString().slice(0, 10)

  async function read(day: string): Promise<void> {
    if (day < last) groups.push(...readDay(folder, day))
    if (day < last && Date.parse(day) + 24 * HOUR <= firstHour) return nextTurn()
    const sums = new Map<string, UsageGroup>() // the last day's summary has later requests too
    for (const rows of readRows(folder, day)) {
      for (const row of rows) {
        const at = Date.parse(row.time)
        if (at < until && day === last) addRow(sums, row)
        if (at < until && at >= firstHour) countRow(sumAt(hours, startOfHour(at)), row)
      }
      await nextTurn()
    }
    groups.push(...sums.values())
  }

  for (const day of listDays(folder, firstDay)) if (day <= last) await read(day).catch(() => {}) // `dario usage` tells of it
  const counted = groups.filter(({ day }) => day >= toLocalDay(firstDay))
  const sources = [...new Set(counted.map(({ price }) => price))].filter((price) => price !== '' && price !== 'plan')
  for (const group of counted) addCounts(sumAt(days, new Date(`${group.day}T00:00`).getTime()), group)
  return { hours: [...hours.values()], days: [...days.values()], sources }
}

function sumAt(sums: Map<number, Totals>, time: number): Totals {
  const sum = sums.get(time) ?? createTotals(time)
  sums.set(time, sum)
  return sum
}
