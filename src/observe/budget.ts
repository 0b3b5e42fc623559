/**
 * Limits in money or tokens per local day and month: a warning from 80 % on, refused at 100 %. A request is let in by an
 * estimate of what it will read and counted by what it really used; the ledger brings the sums over a restart.
 * @module
 */
import type { BudgetConfig } from '../config/types.ts'
import { DarioError } from '../errors.ts'
import type { RequestRecord } from '../hub/record.ts'
import type { Price } from './prices.ts'
import { toLocalDay } from './usage.ts'
import type { UsageGroup } from './usage.ts'

interface Hop {
  backend: { readonly id: string }
  model: string
}

export interface Budgets {
  /**
   * The part of a chain that its budgets allow; sets `record.budgetWarning`, and `record.reserved` until `settle`.
   * @throws DarioError `rate_limited` when nothing is left of it
   */
  admit<Given extends Hop>(record: RequestRecord, chain: readonly Given[]): readonly Given[]
  /** Counts a request that is over. */
  settle(record: Readonly<RequestRecord>): void
}

export interface BudgetOptions {
  budgets: () => readonly BudgetConfig[]
  priceOf: (backend: string, model: string) => Price | 'plan' | undefined
  /** What the ledger has of the local days from `since` on and of requests that arrived before `until` (Unix ms). */
  used: (since: string, until: number) => readonly UsageGroup[]
  now: () => number
  warn: (message: string) => void
}

interface Sum {
  dollars: number
  tokens: number
}

/** What requests of the same names have used, and what those under way may still use. */
interface Place {
  backend: string
  route: string
  accessKey: string
  /** Local day that `day` is of; `month` is of its month. */
  date: string
  day: Sum
  month: Sum
  held: Sum
  holds: number
  limits: readonly Limit[]
}

interface Limit {
  budget: BudgetConfig
  isOfTokens: boolean
  most: number
  /** All that count towards it. */
  places: readonly Place[]
}

const WARN_AT = 0.8
const BYTES_PER_TOKEN = 4
/** Bytes of pictures are few tokens: a guess above this would refuse what fits. */
const MAX_GUESS = 200_000
/** Output tokens of a request under way, until there were some to learn from. */
const FIRST_OUTPUT = 500
const FREE = { input: 0, output: 0 }

export function createBudgets({ budgets, priceOf, used, now, warn }: BudgetOptions): Budgets {
  /** All names are the configuration's, so these are few, and comparing them costs less than a joined name's hash. */
  const places: Place[] = []
  let limitsOf: readonly BudgetConfig[] | undefined
  const warned = new Set<string>()
  const born = now()
  let hasHistory = false
  let usualOutput = FIRST_OUTPUT // a running mean

  /** What was before this process, once there is a budget: what came after was counted as it ended. */
  function begin(): void {
    if (hasHistory) return
    hasHistory = true
    for (const { day, backend, route, accessKey, dollars, ...group } of used(`${toLocalDay(now()).slice(0, 7)}-01`, born)) {
      count(toPlace(backend, route, accessKey), day, dollars, group.input + group.cacheRead + group.cacheWrite + group.output)
    }
  }

  function toPlace(backend = '', route = '', accessKey = ''): Place {
    for (const one of places) if (one.backend === backend && one.route === route && one.accessKey === accessKey) return one
    const place = { backend, route, accessKey, date: '', day: createSum(), month: createSum(), held: createSum(), holds: 0, limits: [] }
    places.push(place)
    limitsOf = undefined
    return place
  }

  function findLimits(): void {
    if (limitsOf === budgets()) return
    limitsOf = budgets()
    const limits = limitsOf.map((budget): Limit => ({
      budget, isOfTokens: budget.dollars === undefined, most: budget.dollars ?? budget.tokens ?? Infinity,
      places: places.filter((place) => isWithin(place, budget.scope)),
    }))
    for (const place of places) place.limits = limits.filter((limit) => limit.places.includes(place))
  }

  /** To `today`: an older day is none of it, but of its month. */
  function turn(place: Place, today: string): void {
    if (today <= place.date) return
    place.day = createSum()
    if (today.slice(0, 7) !== place.date.slice(0, 7)) place.month = createSum()
    place.date = today
  }

  function count(place: Place, day: string, dollars: number, tokens: number): void {
    turn(place, toLocalDay(now()))
    if (day === place.date) change(place.day, dollars, tokens)
    if (day === place.date || day.slice(0, 7) === place.date.slice(0, 7)) change(place.month, dollars, tokens)
  }

  function release(place: Place, dollars: number, tokens: number): void {
    place.holds--
    change(place.held, -dollars, -tokens)
    // Anew when nothing is under way: what sums of fractions lose must not add up for months.
    if (place.holds === 0) place.held.dollars = place.held.tokens = 0
  }

  /** Of a request that will read so much. An error: refused. A text: let in with a warning. */
  function judge({ limits }: Place, dollars: number, tokens: number): DarioError | string | undefined {
    const today = toLocalDay(now())
    let warning: string | undefined
    for (const { budget, isOfTokens, most, places } of limits) {
      let gone = 0 // the requests under way and this one included
      for (const place of places) {
        turn(place, today)
        const { [budget.per]: sum, held } = place
        gone += isOfTokens ? sum.tokens + held.tokens : sum.dollars + held.dollars
      }
      if (gone >= most || gone + (isOfTokens ? tokens : dollars) > most) return refuse(budget, gone)
      if (gone < WARN_AT * most) continue
      const name = describe(budget)
      warning ??= `${Math.floor(gone / most * 100)} % of the budget of ${name} is used`
      const once = `${name} ${today}`
      if (!warned.has(once)) warn(warning)
      warned.add(once)
    }
    return warning
  }

  function refuse(budget: BudgetConfig, gone: number): DarioError {
    const renews = toRenewal(budget.per, now())
    const spent = budget.dollars === undefined ? `${Math.round(gone)} tokens` : `about $${gone.toFixed(2)}`
    const state = gone >= (budget.dollars ?? budget.tokens ?? 0) ? 'is used up' : 'has no room for this request'
    const message = `the budget of ${describe(budget)} ${state} (${spent}, requests under way included); it renews at ` +
      `${toLocalDay(renews)} 00:00. To go on now, raise it: "budgets" in the configuration`
    return new DarioError('rate_limited', message, { retryAfterMs: renews - now() })
  }

  if (budgets().length > 0) begin()
  return {
    admit(record, chain) {
      if (budgets().length === 0) return chain
      begin()
      const tokens = Math.min(record.requestBytes / BYTES_PER_TOKEN, MAX_GUESS)
      let first: Place | undefined
      let held = 0 // dollars
      let refusal: DarioError | undefined
      const allowed = chain.filter(({ backend, model }) => {
        const place = toPlace(backend.id, record.route, record.accessKey)
        findLimits()
        const price = priceOf(backend.id, model)
        const { input, output } = price === undefined || price === 'plan' ? FREE : price
        const verdict = judge(place, tokens * input, tokens)
        if (verdict instanceof DarioError) {
          refusal ??= verdict
          return false
        }
        if (first === undefined) {
          first = place
          held = tokens * input + usualOutput * output
          record.budgetWarning = verdict
        }
        return true
      })
      if (first === undefined) {
        if (refusal !== undefined) throw refusal
        return allowed
      }
      // Let in by what it will read; what it will use in all is held while it runs: of a hundred short questions at once
      // each would fit by itself.
      const place = first
      const whole = tokens + usualOutput
      place.holds++
      change(place.held, held, whole)
      record.reserved = { release: () => release(place, held, whole) }
      return allowed
    },
    settle({ time, backend, route, accessKey, usage, cost, reserved }) {
      reserved?.release()
      if (usage === undefined) return
      const { input = 0, cacheRead = 0, cacheWrite = 0, output = 0 } = usage
      const dollars = cost === undefined || cost === 'plan' ? 0 : cost.dollars
      if (output > 0) usualOutput += (output - usualOutput) / 8
      count(toPlace(backend, route, accessKey), toLocalDay(time), dollars, input + cacheRead + cacheWrite + output)
    },
  }
}

function isWithin({ backend, route, accessKey }: Place, scope: string): boolean {
  return scope === 'all' || scope === `backend:${backend}` || scope === `route:${route}` || scope === `key:${accessKey}`
}

function createSum(): Sum {
  return { dollars: 0, tokens: 0 }
}

function change(sum: Sum, dollars: number, tokens: number): void {
  sum.dollars += dollars
  sum.tokens += tokens
}

function describe({ scope, per, dollars, tokens }: BudgetConfig): string {
  return `${dollars === undefined ? `${tokens} tokens` : `$${dollars}`} a ${per}${scope === 'all' ? '' : ` for ${scope}`}`
}

/** The next local midnight, or that before the first of a month. */
function toRenewal(per: BudgetConfig['per'], now: number): number {
  const date = new Date(now)
  return (per === 'day' ? new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1) : new Date(date.getFullYear(), date.getMonth() + 1, 1)).getTime()
}
