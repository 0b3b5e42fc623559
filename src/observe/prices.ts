/**
 * What a request costs: an estimate, always with the source of its price. No known price means no figure, never zero.
 * The table is the last resort, for the vendors' own hosts only: elsewhere the same model costs something else.
 * @see https://platform.claude.com/docs/en/about-claude/pricing
 * @see https://developers.openai.com/api/docs/pricing
 * @see https://ai.google.dev/gemini-api/docs/pricing
 * @see https://api-docs.deepseek.com/quick_start/pricing
 * @module
 */
import { createMemo } from '../hub/memo.ts'
import type { Cost } from '../hub/record.ts'
import type { Usage } from '../hub/types.ts'

/** US dollars per token. */
export interface Price {
  input: number
  output: number
  /** Default: as `input`, the most that it can be. */
  cacheRead?: number | undefined
  cacheWrite?: number | undefined
  /** Requests that read more tokens than `above` cost these multiples, all of them. */
  long?: { above: number; input: number; output: number } | undefined
  /** Where it is from, with its date where it has one: `configuration`, `model list of openrouter, 2026-11-22`. */
  source: string
}

const TABLE_DATE = '2026-10-27'

type Tier = readonly [above: number, input: number, output: number]
type Row = readonly [name: string, input: number, output: number, cacheRead?: number, cacheWrite?: number | undefined, tier?: Tier]
const OVER_200K: Tier = [200_000, 2, 1.5]

/** By host: beginning of the model's name, then dollars per million tokens: input, output, cache read, cache write. */
const TABLE: Readonly<Record<string, readonly Row[]>> = {
  'api.anthropic.com': [
    ['claude-fable-5-1', 10, 50, 0.25, 12.5], ['claude-fable', 10, 50, 1, 12.5],
    ['claude-opus-5-5', 4, 20, 0.2, 5], ['claude-opus', 5, 25, 0.5, 6.25],
    ['claude-opus-4-1', 15, 75, 1.5, 18.75], ['claude-opus-4-0', 15, 75, 1.5, 18.75], ['claude-opus-4-2', 15, 75, 1.5, 18.75],
    ['claude-sonnet-5-5', 2, 10, 0.1, 2.5], ['claude-sonnet-5', 2, 10, 0.2, 2.5], ['claude-sonnet-4', 3, 15, 0.3, 3.75],
    ['claude-haiku-5-5', 0.1, 0.5, 0.01, 0.125, [100_000, 5, 5]], ['claude-haiku-4', 1, 5, 0.1, 1.25], ['claude-3-5-haiku', 0.8, 4, 0.08, 1],
  ],
  'api.openai.com': [
    ['gpt-6.1-sol', 2, 10, 0.1], ['gpt-6.1-terra', 1, 5, 0.05, 1.25],
    ['gpt-6-astra', 10, 50, 1], ['gpt-6-sol', 2, 10, 0.2, 2.5], ['gpt-6-luna', 0.1, 0.5, 0.01, 0.125],
    ['gpt-5.6-sol', 5, 30, 0.5], ['gpt-5.6-terra', 2, 12, 0.2], ['gpt-5.6-luna', 0.2, 1.2, 0.02], ['gpt-5.5', 5, 30, 0.5],
    ['gpt-5.4', 2.5, 15, 0.25], ['gpt-5.4-mini', 0.75, 4.5, 0.075], ['gpt-5.4-nano', 0.2, 1.25, 0.02],
    ['gpt-5.3', 1.75, 14, 0.175], ['gpt-5.2', 1.75, 14, 0.175], ['gpt-5.1', 1.25, 10, 0.125],
    ['gpt-5', 1.25, 10, 0.125], ['gpt-5-mini', 0.25, 2, 0.025], ['gpt-5-nano', 0.05, 0.4, 0.005],
    ['gpt-4.1', 2, 8, 0.5], ['gpt-4.1-mini', 0.4, 1.6, 0.1], ['gpt-4.1-nano', 0.1, 0.4, 0.025],
    ['gpt-4o', 2.5, 10, 1.25], ['gpt-4o-mini', 0.15, 0.6, 0.075], ['o3', 2, 8, 0.5], ['o4-mini', 1.1, 4.4, 0.275],
  ],
  'generativelanguage.googleapis.com': [
    ['gemini-3.8-flash', 0.75, 3.75, 0.075], ['gemini-3.1-pro', 2, 12, 0.2, undefined, OVER_200K], ['gemini-3.1-flash-lite', 0.25, 1.5, 0.025],
    ['gemini-2.5-pro', 1.25, 10, 0.125, undefined, OVER_200K], ['gemini-2.5-flash', 0.3, 2.5, 0.03], ['gemini-2.5-flash-lite', 0.1, 0.4, 0.01],
  ],
  // Half of it outside of the busy hours in China, which no table of prices can tell.
  'api.deepseek.com': [['deepseek-flash', 0.3, 1.2, 0.006], ['deepseek-v4-flash', 0.3, 1.2, 0.006], ['deepseek-v4-pro', 1.32, 3.96, 0.044]],
  'api.x.ai': [
    ['grok-4.7', 2, 6, 0.5, undefined, [200_000, 2, 2]], ['grok-4.6', 2, 6, 0.5, undefined, [200_000, 2, 2]], ['grok-4.3', 1.25, 2.5],
  ],
}

/** What may follow a name at the same price: `gpt-5-pro` is no `gpt-5`, and `gpt-5.1-codex-mini` no `gpt-5.1`. */
const SAME_PRICE = /^\d*(?:-(?:\d[\d-]*|latest|preview|exp|chat|codex|max|customtools))*$/

const PRICES = new Map(Object.entries(TABLE).map(([host, rows]) => [host, createMemo((model) => readPrice(rows, model), 200)]))

/** The table's price of a model at its vendor's own host; a longer beginning wins over a shorter one. */
export function findPrice(host = '', model: string): Price | undefined {
  return model.length > 100 ? undefined : PRICES.get(host)?.(model)
}

function readPrice(rows: readonly Row[], model: string): Price | undefined {
  const [best] = rows.filter(([name]) => model.startsWith(name)).sort((a, b) => b[0].length - a[0].length)
  if (best === undefined || !SAME_PRICE.test(model.slice(best[0].length))) return undefined
  const [, input, output, cacheRead, cacheWrite, tier] = best
  const perToken = (dollars: number | undefined): number | undefined => dollars === undefined ? undefined : dollars / 1e6
  return {
    input: input / 1e6, output: output / 1e6, cacheRead: perToken(cacheRead), cacheWrite: perToken(cacheWrite),
    long: tier && { above: tier[0], input: tier[1], output: tier[2] }, source: `dario's table, ${TABLE_DATE}`,
  }
}

export function estimateCost(usage: Partial<Usage>, price: Price): Cost {
  const { input = 0, cacheRead = 0, cacheWrite = 0, cacheWriteHour = 0, output = 0 } = usage
  const short = cacheWrite - cacheWriteHour // by Anthropic's rule an hour costs twice what reading does, whatever the model
  const read = (input + 2 * cacheWriteHour) * price.input + cacheRead * (price.cacheRead ?? price.input) + short * (price.cacheWrite ?? price.input)
  const { above, ...times } = price.long ?? { above: Infinity, input: 1, output: 1 }
  const by = input + cacheRead + cacheWrite > above ? times : { input: 1, output: 1 }
  return { dollars: read * by.input + output * price.output * by.output, source: price.source }
}

/** Sources that differ only in their date, which is behind the last comma, become one: `x, 2026-10-24 to 2026-11-22`. */
export function foldSources(sources: Iterable<string>): string[] {
  const dates = new Map<string, string[]>()
  for (const source of [...new Set(sources)].sort()) {
    const [name = source, ...date] = source.split(/, (?=\d{4}-\d\d-\d\d$)/)
    dates.set(name, [...dates.get(name) ?? [], ...date])
  }
  return [...dates].map(([name, [first, ...more]]) => (
    first === undefined ? name : `${name}, ${first}${more.length === 0 ? '' : ` to ${more.at(-1)}`}`))
}
