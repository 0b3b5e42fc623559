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
  /** What the ledger has of the local days from `since` on and of requests that arrived before `until` (Unix ms). */
  used: (since: string, until: number) => readonly UsageGroup[]
  now: () => number
  warn: (message: string) => void
}

interface Sum {
  dollars: number
  tokens: number
}

interface Account {
  /** Local day that `day` is of; `month` is of its month. */
  date: string
  day: Sum
  month: Sum
}

const WARN_AT = 0.8
const BYTES_PER_TOKEN = 4
/** Bytes of pictures are few tokens: a guess above this would refuse what fits. */
const MAX_GUESS = 200_000

export function createBudgets({ budgets, priceOf, used, now, warn }: BudgetOptions): Budgets {
  const accounts = new Map<string, Account>()
  const reserved = new Map<string, { scopes: string[]; guess: Sum }>()
  const warned = new Set<string>()
  const born = now()
  let hasHistory = false

  /** What was before this process, once there is a budget: what came after was counted as it ended. */
  function begin(): void {
    if (hasHistory) return
    hasHistory = true
    for (const group of used(`${toLocalDay(now()).slice(0, 7)}-01`, born)) {
      const tokens = group.input + group.cacheRead + group.cacheWrite + group.output
      for (const scope of toScopes(group)) count(scope, group.day, group.dollars, tokens)
    }
  }

  /** The sums of a scope as they are on `day`; an older day is none of today's, but of its month. */
  function toAccount(scope: string, day: string): Account {
    let account = accounts.get(scope)
    if (account === undefined) accounts.set(scope, account = { date: day, day: { dollars: 0, tokens: 0 }, month: { dollars: 0, tokens: 0 } })
    if (day <= account.date) return account
    account.day = { dollars: 0, tokens: 0 }
    if (day.slice(0, 7) !== account.date.slice(0, 7)) account.month = { dollars: 0, tokens: 0 }
    account.date = day
    return account
  }

  function count(scope: string, day: string, dollars: number, tokens: number): void {
    const account = toAccount(scope, toLocalDay(now()))
    for (const sum of [...(day === account.date ? [account.day] : []), ...(day.slice(0, 7) === account.date.slice(0, 7) ? [account.month] : [])]) {
      sum.dollars += dollars
      sum.tokens += tokens
    }
  }

  function toGuess({ requestBytes }: RequestRecord, { backend, model }: Hop): Sum {
    const tokens = Math.min(requestBytes / BYTES_PER_TOKEN, MAX_GUESS)
    const price = priceOf(backend.id, model)
    return { tokens, dollars: price === undefined || price === 'plan' ? 0 : tokens * price.input }
  }

  /** How much of a budget is gone, the requests under way and this one included. */
  function toShare({ scope, per, dollars, tokens = Infinity }: BudgetConfig, guess: Sum): { spent: Sum; share: number; full: boolean } {
    const spent = { ...toAccount(scope, toLocalDay(now()))[per] }
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
      if (record.usage === undefined) return
      const { input = 0, cacheRead = 0, cacheWrite = 0, output = 0 } = record.usage
      const [day, dollars, tokens] = [toLocalDay(record.time), toDollars(record.cost), input + cacheRead + cacheWrite + output]
      for (const scope of toScopes(record)) count(scope, day, dollars, tokens)
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
