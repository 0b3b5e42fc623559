/**
 * What backends were seen to refuse, so that the next request is right at once: per backend and model, and for
 * reasoning of earlier turns per conversation.
 * @module
 */
import type { Repair } from '../dialects/dialect.ts'
import type { DarioError } from '../errors.ts'

export interface Repairs {
  of(backend: string, model: string, conversation: () => string): ReadonlySet<Repair>
  learn(backend: string, model: string, conversation: () => string, found: readonly Repair[]): void
  /** `anthropic-beta` tokens that the backend refused (pitfall H4). */
  betas(backend: string): ReadonlySet<string>
  /** Whether the error names a token that was sent. */
  learnBeta(backend: string, error: DarioError, sent: string | undefined): boolean
}

/** A bad signature says something of one history, not of the model. */
const OF_CONVERSATION: ReadonlySet<Repair> = new Set<Repair>(['no_thinking_history', 'no_thinking'])
const NONE: ReadonlySet<never> = new Set()

export function createRepairs(maxEntries = 1000): Repairs {
  const known = new Map<string, Set<Repair>>()
  const refusedBetas = new Map<string, Set<string>>()

  function remember(name: string): Set<Repair> {
    const set = known.get(name) ?? new Set()
    known.delete(name)
    known.set(name, set)
    const [oldest] = known.keys()
    if (known.size > maxEntries && oldest !== undefined) known.delete(oldest)
    return set
  }

  return {
    of(backend, model, conversation) {
      if (known.size === 0) return NONE
      const ofModel = known.get(`${backend}:${model}`)
      const ofConversation = known.get(`${backend}:${model} ${conversation()}`)
      return new Set([...ofModel ?? NONE, ...ofConversation ?? NONE]) // a copy: parallel requests learn meanwhile
    },
    learn(backend, model, conversation, found) {
      for (const repair of found) remember(`${backend}:${model}${OF_CONVERSATION.has(repair) ? ` ${conversation()}` : ''}`).add(repair)
    },
    betas: (backend) => refusedBetas.get(backend) ?? NONE,
    learnBeta(backend, error, sent) {
      if (sent === undefined || !/beta/i.test(error.message)) return false
      const refused = sent.split(',').filter((token) => error.message.includes(token))
      refusedBetas.set(backend, new Set([...refusedBetas.get(backend) ?? NONE, ...refused]))
      return refused.length > 0
    },
  }
}
