/**
 * What backends were seen to refuse, so that the next request is right at once: per backend and model, and for
 * reasoning of earlier turns per conversation.
 * @module
 */
import type { Repair } from '../dialects/dialect.ts'
import type { DarioError } from '../errors.ts'

export interface Repairs {
  of(backend: string, model: string, conversation: () => string): ReadonlySet<Repair>
  /** False when all of this was known and done already: then the refusal is the client's own mistake. */
  learn(backend: string, model: string, conversation: () => string, found: readonly Repair[]): boolean
  /** `anthropic-beta` tokens that the backend refused (pitfall H4). */
  betas(backend: string): ReadonlySet<string>
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
      if (ofModel === undefined || ofConversation === undefined) return ofModel ?? ofConversation ?? NONE
      return new Set([...ofModel, ...ofConversation])
    },
    learn(backend, model, conversation, found) {
      let isNew = false
      for (const repair of found) {
        const set = remember(`${backend}:${model}${OF_CONVERSATION.has(repair) ? ` ${conversation()}` : ''}`)
        isNew ||= !set.has(repair)
        set.add(repair)
      }
      return isNew
    },
    betas: (backend) => refusedBetas.get(backend) ?? NONE,
    learnBeta(backend, error, sent) {
      if (sent === undefined || !/beta/i.test(error.message)) return false
      const refused = sent.split(',').map((token) => token.trim()).filter((token) => token !== '' && error.message.includes(token))
      const set = refusedBetas.get(backend) ?? new Set()
      const isNew = refused.some((token) => !set.has(token))
      refusedBetas.set(backend, new Set([...set, ...refused]))
      return isNew
    },
  }
}
