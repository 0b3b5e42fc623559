/**
 * `dario usage`: what the ledger knows, by time and by name.
 * @module
 */
import { foldSources } from '../observe/prices.ts'
import { COUNTS, addCounts, createCounts, readUsage, toLocalDay } from '../observe/usage.ts'
import type { Counts, UsageGroup } from '../observe/usage.ts'
import { createUsageError, findRunning, loadConfig, text, toUsageFolder, warn } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { cleanText } from './output.ts'

/** What `--by` may say, and the member of a group that it means. */
const NAMES = { model: 'model', backend: 'backend', tool: 'tool', key: 'accessKey', route: 'route', day: 'day' } as const
type By = keyof typeof NAMES

type Row = Counts & { name: string }

const BAR = 20

export const usage: Command = async (context) => {
  const { output, values } = context
  const by = readBy(context)
  const since = readSince(text(context, 'since') ?? '30d')
  const groups = readUsage(toUsageFolder(context), since, (message) => warn(context, message))
  const sources = foldSources(groups.map(({ price }) => price).filter((price) => price !== '' && price !== 'plan'))
  const rows = sumBy(groups, by ?? 'model')
  const plan = groups.some(({ price }) => price === 'plan') ? await readWindows(context) : undefined
  if (values['json'] === true) {
    output.json({ since, by: by ?? 'model', estimated: true, prices: sources, rows: rows.map((row) => ({ ...row, dollars: toDollars(row) })), ...plan })
    return 0
  }
  if (values['csv'] === true) {
    printCsv(context, by ?? 'model', rows)
    printWindows(context, output.note, plan) // a table has no place for them
    return 0
  }
  if (groups.length === 0) return output.line(`no requests since ${since}; dario counts while it runs: dario`), 0
  if (by !== undefined) printTable(context, by, rows)
  else printOverview(context, groups, since)
  printWindows(context, output.line, plan)
  if (sources.length > 0) output.note(output.style('dim', `~ marks estimates; prices: ${sources.join('; ')}`))
  return 0
}

function readBy(context: CommandContext): By | undefined {
  const by = text(context, 'by')
  if (by === undefined || Object.hasOwn(NAMES, by)) return by as By | undefined
  throw createUsageError(`--by must be one of ${Object.keys(NAMES).join(', ')}`)
}

/** `7d` are today and the six days before it. */
function readSince(given: string): string {
  const days = /^(\d{1,4})d$/.exec(given)?.[1]
  if (days !== undefined) return dayBefore(Math.max(0, Number(days) - 1))
  // For `Date` the 31st of February is one in March.
  if (/^\d{4}-\d\d-\d\d$/.test(given) && toLocalDay(Date.parse(`${given}T12:00`)) === given) return given
  throw createUsageError('--since must be a date such as 2026-11-01, or days such as 7d')
}

function dayBefore(days: number): string {
  const date = new Date()
  date.setDate(date.getDate() - days) // not 24 hours each: clocks change
  return toLocalDay(date.getTime())
}

type Windows = Awaited<ReturnType<typeof readWindows>>

/**
 * How much of a plan is used only the running dario knows: the plan's program tells it with its answers. `used`: 0 to 1;
 * `resetsAt`: ISO 8601 in UTC; `windowsUnknown`: why there are none.
 */
async function readWindows(context: CommandContext) {
  const { config } = loadConfig(context)
  const running = await findRunning(config, context.environment)
  const windows = [...running?.backends.values() ?? []].flatMap(({ id: backend, windows = [] }) => windows.map(({ name, used, resetsAt }) => (
    // `/health` is JSON, so that what has no value may come as null.
    { backend, name, used, resetsAt: typeof resetsAt === 'number' ? new Date(resetsAt).toISOString() : undefined })))
  const reason = running === undefined ? `no dario runs on port ${config.port}, and only a running one is told how much of a plan is used`
    : 'the running dario was told nothing of the plan yet: ask it something, and set DARIO_ACCESS_KEY where it wants one'
  return { windows, windowsUnknown: windows.length > 0 ? undefined : reason }
}

function printWindows({ output }: CommandContext, print: (text: string) => void, plan: Windows | undefined): void {
  if (plan?.windowsUnknown !== undefined) output.note(output.style('dim', `how much of the plan is used is not known: ${plan.windowsUnknown}`))
  for (const { backend, name, used, resetsAt } of plan?.windows ?? []) {
    const anew = resetsAt === undefined ? '' : `, anew at ${new Date(resetsAt).toLocaleString()}`
    print(cleanText(`${backend}: ${Math.round(used * 100)} % of ${name} used${anew}`))
  }
}

/** The largest first; days in their order. */
function sumBy(groups: readonly UsageGroup[], by: By): Row[] {
  const rows = new Map<string, Row>()
  for (const group of groups) {
    const name = group[NAMES[by]]
    const row = rows.get(name) ?? { name, ...createCounts() }
    rows.set(name, row)
    addCounts(row, group)
  }
  const sorted = [...rows.values()]
  return by === 'day' ? sorted.sort((a, b) => a.name.localeCompare(b.name))
    : sorted.sort((a, b) => b.dollars - a.dollars || toTokens(b) - toTokens(a))
}

function printOverview(context: CommandContext, groups: readonly UsageGroup[], since: string): void {
  const known: [name: string, from: string][] = [['today', dayBefore(0)], ['7 days', dayBefore(6)], ['30 days', dayBefore(29)]]
  const spans = known.filter(([, from]) => from >= since) // the ledger was not asked any further
  if (!known.some(([, from]) => from === since)) spans.push([`since ${since}`, since])
  printTable(context, 'WHEN', spans.map(([name, from]) => {
    const row = { name, ...createCounts() }
    for (const group of groups) if (group.day >= from) addCounts(row, group)
    return row
  }))
  for (const by of ['model', 'backend', 'tool', 'key'] as const) {
    const rows = sumBy(groups, by)
    if (by === 'key' && rows.every(({ name }) => name === '')) continue
    context.output.line()
    printTable(context, by, rows.slice(0, 10))
  }
}

function printTable({ output }: CommandContext, title: string, rows: readonly Row[]): void {
  const most = Math.max(1, ...rows.map(toTokens))
  const bar = (row: Row): string => title === 'WHEN' ? '' : '█'.repeat(Math.round(BAR * toTokens(row) / most))
  output.table([
    [title.toUpperCase(), 'COST', 'REQUESTS', 'FAILED', 'INPUT', 'CACHED', 'OUTPUT', ''],
    ...rows.map((row) => [
      row.name === '' ? '-' : row.name.slice(0, 40), toCost(row), String(row.requests), row.failed === 0 ? '' : String(row.failed),
      toShort(row.input + row.cacheWrite), toShort(row.cacheRead), toShort(row.output), bar(row),
    ]),
  ])
}

/** undefined when no price was known: that is not nothing. */
function toDollars({ dollars, unpriced, plan }: Row): number | undefined {
  return dollars === 0 && unpriced + plan > 0 ? undefined : Math.round(dollars * 1e6) / 1e6
}

function toCost({ dollars, unpriced, plan, requests }: Row): string {
  const parts = [
    ...(dollars > 0 ? [`~$${dollars < 0.995 ? dollars.toPrecision(2) : dollars.toFixed(2)}`] : []),
    ...(plan === 0 ? [] : [plan === requests ? 'on the plan' : `${plan} on the plan`]),
    ...(unpriced === 0 ? [] : [unpriced === requests ? 'no price' : `${unpriced} without price`]),
  ]
  return parts.join(' + ') || '-'
}

function toTokens({ input, cacheRead, cacheWrite, output }: Row): number {
  return input + cacheRead + cacheWrite + output
}

const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

function toShort(count: number): string {
  return count === 0 ? '' : SHORT.format(count)
}

function printCsv({ output }: CommandContext, by: By, rows: readonly Row[]): void {
  output.line([by, ...COUNTS].join(','))
  for (const row of rows) output.line([toCell(row.name), ...COUNTS.map((column) => column === 'dollars' ? toDollars(row) : row[column])].join(','))
}

/** Clients choose these names, and a spreadsheet takes some of them for formulas. */
function toCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
