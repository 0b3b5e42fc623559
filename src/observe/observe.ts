/**
 * Everything that watches requests, put together for one proxy: prices, budgets, the ledger, `diagnostics_channel`, and
 * whoever else wants to be told.
 * @module
 */
import type { BackendType, ModelInfo } from '../backends/backend.ts'
import type { Config } from '../config/types.ts'
import type { Observer, RequestRecord } from '../hub/record.ts'
import { createBudgets } from './budget.ts'
import type { Budgets } from './budget.ts'
import { fanOut } from './channel.ts'
import type { Fan } from './channel.ts'
import { createLedger } from './ledger.ts'
import { estimateCost, findPrice } from './prices.ts'
import type { Price } from './prices.ts'
import { toIso } from './text.ts'
import { readUsage } from './usage.ts'

export interface ObservationOptions {
  /** Where the ledger is; undefined: none is kept. */
  folder: string | undefined
  config: () => Pick<Config, 'backends' | 'budgets' | 'usageDays'>
  backendOf: (id: string) => { type: BackendType; host: string | undefined } | undefined
  /** What the configuration or the backend's own list says, as far as it is known. */
  modelOf: (backend: string, model: string) => ModelInfo | undefined
  /** Asks the backends for their lists; `modelOf` knows more later. */
  ask: () => void
  observers: readonly Observer[]
  log: (line: string) => void
  now: () => number
}

export interface Observation extends Pick<Budgets, 'admit'> {
  observer: Fan
  costOf: (record: RequestRecord) => RequestRecord['cost']
  /** There is a ledger or a budget. */
  countsUsage: () => boolean
  close(): Promise<void>
}

const ASK_AGAIN = 600_000 // ms, as long as a list is kept
const LIST = 'model list of'

export function createObservation({ folder, config, backendOf, modelOf, ask, observers, log, now }: ObservationOptions): Observation {
  let asked = -ASK_AGAIN
  let askedFor: unknown // a new configuration begins without its backends' lists
  const sourced = new WeakMap<Omit<Price, 'source'>, Price>()
  const countsUsage = (): boolean => folder !== undefined || config().budgets.length > 0
  const ledger = folder === undefined ? undefined : createLedger({ folder, keepDays: () => config().usageDays, now, complain: log })
  const budgets = createBudgets({
    budgets: () => config().budgets,
    priceOf,
    used: (since, until) => folder === undefined ? [] : readUsage(folder, since, log, until),
    now,
    warn: log,
  })

  function priceOf(id: string, model: string): Price | 'plan' | undefined {
    const backend = backendOf(id)
    if (backend?.type === 'claude-code') return 'plan'
    const given = modelOf(id, model)?.price
    const price = given === undefined ? findPrice(backend?.host, model) : toSourced(id, model, given)
    // OpenRouter, LiteLLM and others tell their prices; whoever counts wants to know them, and again when they change.
    const isAsked = price === undefined || price.source.startsWith(LIST)
    if (isAsked && backend?.type === 'openai' && countsUsage() && (now() - asked >= ASK_AGAIN || askedFor !== config())) {
      asked = now()
      askedFor = config()
      ask()
    }
    return price
  }

  /** A list that is read again brings its prices anew, so the day on which one is met first is the day of its list. */
  function toSourced(id: string, model: string, price: Omit<Price, 'source'>): Price {
    let known = sourced.get(price)
    if (known === undefined) {
      const isConfigured = config().backends[id]?.models.some((one) => one.id === model && one.price !== undefined)
      sourced.set(price, known = { ...price, source: isConfigured ? 'configuration' : `${LIST} ${id}, ${toIso(now()).slice(0, 10)}` })
    }
    return known
  }

  const observer = fanOut([{ end: budgets.settle }, ...(ledger === undefined ? [] : [ledger]), ...observers], log)
  return {
    observer,
    admit: budgets.admit,
    countsUsage,
    costOf({ backend, servedModel = '', usage }) {
      if (backend === undefined || usage === undefined) return undefined
      const price = priceOf(backend, servedModel)
      return price === undefined || price === 'plan' ? price : estimateCost(usage, price)
    },
    async close() {
      observer.flush()
      await ledger?.close()
    },
  }
}
