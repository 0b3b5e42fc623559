/**
 * Limits in money or tokens per local day and month: a warning from 80 % on, refused at 100 %. A request is let in by an
 * estimate of what it will read and counted by what it really used; the ledger brings the sums over a restart.
 * @module
 */
import type { BudgetConfig } from '../config/types.ts'
import { DarioError } from '../errors.ts'
import type { Cost, RequestRecord } from '../hub/record.ts'
import type { Price } from './prices.ts'
import { toLocalDay } from './usage.ts'
import type { UsageGroup } from './usage.ts'

interface Hop {
  backend: { readonly id: string }
  model: string
}

export interface Budgets {
  /**
   * The part of a chain that its budgets allow; sets `record.budgetWarning`. What it lets in is reserved until `settle`.
   * @throws DarioError `rate_limited` when nothing is left of it
   */
  admit<Given extends Hop>(record: RequestRecord, chain: readonly Given[]): readonly Given[]
  /** Counts a request that is over. */
  settle(record: Readonly<RequestRecord>): void
}

export interface BudgetOptions {
  budgets: () => readonly BudgetConfig[]
  priceOf: (backend: string, model: string) => Price | 'plan' | undefined
  /** What the ledger has since the first day of this month. */
  used: (since: string) => readonly UsageGroup[]
  now: () => number
  warn: (message: string) => void
}

interface Sum {
  dollars: number
  tokens: number
}

const WARN_AT = 0.8
const BYTES_PER_TOKEN = 4
/** Bytes of pictures are few tokens: a guess above this would refuse what fits. */
const MAX_GUESS = 200_000

export function createBudgets({ budgets, priceOf, used, now, warn }: BudgetOptions): Budgets {
  /** By period and scope: `2026-11-22 backend:openai`, `2026-11 all`. */
  const sums = new Map<string, Sum>()
  const reserved = new Map<string, { scopes: string[]; guess: Sum }>()
  const warned = new Set<string>()
  let month = ''

  /** Once; from then on every request is counted as it ends. */
  function begin(): void {
    const current = toLocalDay(now()).slice(0, 7)
    if (month === current) return
    if (month === '') {
      for (const group of used(`${current}-01`)) {
        const tokens = group.input + group.cacheRead + group.cacheWrite + group.output
        count(group.day, toScopes(group), { dollars: group.dollars, tokens })
      }
    }
    month = current
    for (const key of sums.keys()) if (!key.startsWith(month)) sums.delete(key)
    warned.clear()
  }

  function count(day: string, scopes: readonly string[], { dollars, tokens }: Sum): void {
    for (const period of [day, day.slice(0, 7)]) {
      for (const scope of scopes) {
        const sum = sums.get(`${period} ${scope}`)
        sums.set(`${period} ${scope}`, { dollars: (sum?.dollars ?? 0) + dollars, tokens: (sum?.tokens ?? 0) + tokens })
      }
    }
  }

  function toGuess({ requestBytes }: RequestRecord, { backend, model }: Hop): Sum {
    const tokens = Math.min(requestBytes / BYTES_PER_TOKEN, MAX_GUESS)
    const price = priceOf(backend.id, model)
    return { tokens, dollars: price === undefined || price === 'plan' ? 0 : tokens * price.input }
  }

  /** How much of a budget is gone, the requests under way and this one included. */
  function toShare({ scope, per, dollars, tokens = Infinity }: BudgetConfig, guess: Sum): { spent: Sum; share: number; full: boolean } {
    const day = toLocalDay(now())
    const spent = { ...(sums.get(`${per === 'day' ? day : day.slice(0, 7)} ${scope}`) ?? { dollars: 0, tokens: 0 }) }
    for (const other of reserved.values()) {
      if (!other.scopes.includes(scope)) continue
      spent.dollars += other.guess.dollars
      spent.tokens += other.guess.tokens
    }
    const [gone, limit, next] = dollars === undefined ? [spent.tokens, tokens, guess.tokens] : [spent.dollars, dollars, guess.dollars]
    return { spent, share: gone / limit, full: gone >= limit || gone + next > limit }
  }

  /** An error: refused. A text: let in with a warning. */
  function judge(record: RequestRecord, hop: Hop): DarioError | string | undefined {
    const guess = toGuess(record, hop)
    const scopes = toScopes({ ...record, backend: hop.backend.id })
    let warning: string | undefined
    for (const budget of budgets()) {
      if (!scopes.includes(budget.scope)) continue
      const { spent, share, full } = toShare(budget, guess)
      if (full) return refuse(budget, spent)
      if (share < WARN_AT) continue
      const name = describe(budget)
      warning ??= `${Math.floor(share * 100)} % of the budget of ${name} is used`
      const once = `${name} ${toLocalDay(now())}`
      if (!warned.has(once)) warn(warning)
      warned.add(once)
    }
    return warning
  }

  function refuse(budget: BudgetConfig, spent: Sum): DarioError {
    const renews = toRenewal(budget.per, now())
    const gone = budget.dollars === undefined ? `${Math.round(spent.tokens)} tokens` : `about $${spent.dollars.toFixed(2)}`
    const message = `the budget of ${describe(budget)} is used up (${gone}, requests under way included); it renews at ` +
      `${toLocalDay(renews)} 00:00. To go on now, raise it: "budgets" in the configuration`
    return new DarioError('rate_limited', message, { retryAfterMs: renews - now() })
  }

  if (budgets().length > 0) begin()
  return {
    admit(record, chain) {
      if (budgets().length === 0) return chain
      begin()
      const verdicts = chain.map((hop) => judge(record, hop))
      const at = verdicts.findIndex((verdict) => !(verdict instanceof DarioError))
      const [first] = verdicts
      if (at === -1 && first instanceof DarioError) throw first
      const hop = chain[at]
      if (hop === undefined) return chain
      record.budgetWarning = verdicts[at] as string | undefined
      reserved.set(record.id, { scopes: toScopes({ ...record, backend: hop.backend.id }), guess: toGuess(record, hop) })
      return chain.filter((_, index) => !(verdicts[index] instanceof DarioError))
    },
    settle(record) {
      reserved.delete(record.id)
      // Before there is a budget nothing is summed: the ledger will tell.
      if (record.usage === undefined || month === '') return
      const { input = 0, cacheRead = 0, cacheWrite = 0, output = 0 } = record.usage
      count(toLocalDay(record.time), toScopes(record), { dollars: toDollars(record.cost), tokens: input + cacheRead + cacheWrite + output })
    },
  }
}

function toDollars(cost: Cost | 'plan' | undefined): number {
  return cost === undefined || cost === 'plan' ? 0 : cost.dollars
}

function toScopes({ backend, route, accessKey }: { backend?: string | undefined; route?: string | undefined; accessKey?: string | undefined }): string[] {
  return ['all', `backend:${backend ?? ''}`, `route:${route ?? ''}`, `key:${accessKey ?? ''}`]
}

function describe({ scope, per, dollars, tokens }: BudgetConfig): string {
  return `${dollars === undefined ? `${tokens} tokens` : `$${dollars}`} a ${per}${scope === 'all' ? '' : ` for ${scope}`}`
}

/** The next local midnight, or that before the first of a month. */
function toRenewal(per: BudgetConfig['per'], now: number): number {
  const date = new Date(now)
  return (per === 'day' ? new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1) : new Date(date.getFullYear(), date.getMonth() + 1, 1)).getTime()
}
