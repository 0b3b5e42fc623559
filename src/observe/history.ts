/**
 * What the ledger has of the dashboard's 24 hours and 30 days from before this process.
 * @module
 */
import type { LedgerRow } from './ledger.ts'
import { DAYS, HOUR, HOURS, add, createTotals, startOfDay, startOfHour } from './live.ts'
import type { Past, Totals } from './live.ts'
import { COUNTS, addRow, listDays, readDay, readRows, toLocalDay } from './usage.ts'
import type { UsageGroup } from './usage.ts'

/** The last 24 hours and 30 local days as the ledger has them, in pieces of some milliseconds: requests go on meanwhile. */
export async function readHistory(folder: string, time: number, until: number): Promise<Past> {
  const groups: UsageGroup[] = []
  const hours = new Map<number, Totals>()
  const [firstDay, firstHour] = [startOfDay(time, DAYS - 1), startOfHour(time) - (HOURS - 1) * HOUR]
  const last = new Date(until).toISOString().slice(0, 10)
  for (const day of listDays(folder, firstDay)) {
    if (day > last) break
    await nextTurn()
    if (day < last) groups.push(...readDay(folder, day))
    if (day < last && Date.parse(day) + 24 * HOUR <= firstHour) continue
    const sums = new Map<string, UsageGroup>() // the last day's summary has later requests too
    for (const rows of readRows(folder, day)) {
      for (const row of rows) {
        const at = Date.parse(row.time)
        if (at < until && day === last) addRow(sums, row)
        if (at < until && at >= firstHour) addToHour(hours, at, row)
      }
      await nextTurn()
    }
    groups.push(...sums.values())
  }
  const counted = groups.filter(({ day }) => day >= toLocalDay(firstDay))
  const sources = [...new Set(counted.map(({ price }) => price))].filter((price) => price !== '' && price !== 'plan')
  const inOrder = (sums: Iterable<Totals>): Totals[] => [...sums].sort((a, b) => a.time - b.time)
  return { hours: inOrder(hours.values()), days: inOrder(sumDays(counted)), sources }
}

function addToHour(hours: Map<number, Totals>, at: number, row: LedgerRow): void {
  const hour = startOfHour(at)
  const sum = hours.get(hour) ?? createTotals(hour)
  hours.set(hour, sum)
  const cost = row.price === 'plan' ? 'plan' : row.dollars === undefined ? undefined : { dollars: row.dollars, source: row.price ?? '' }
  add(sum, { end: row.end, usage: (row.input ?? row.output) === undefined ? undefined : row, cost })
}

function sumDays(groups: readonly UsageGroup[]): Iterable<Totals> {
  const days = new Map<string, Totals>()
  for (const group of groups) {
    const sum = days.get(group.day) ?? createTotals(new Date(`${group.day}T00:00`).getTime())
    days.set(group.day, sum)
    for (const name of COUNTS) if (name !== 'reasoning') sum[name] += group[name]
    if (group.price === 'plan') sum.onPlan += group.requests
  }
  return days.values()
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
