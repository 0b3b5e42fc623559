/**
 * Reasoning by tool-call id: clients of the OpenAI dialects drop it between turns, and some backends demand it back
 * (pitfalls T1, T4). Bounded by count and characters; the least recently used goes first.
 * @module
 */
import { createHash } from 'node:crypto'
import { createFold } from '../hub/fold.ts'
import { isObject } from '../hub/json.ts'
import { createBounded } from '../hub/memo.ts'
import type { Block, BlockOf, HubEvent, Turn } from '../hub/types.ts'

type Thinking = BlockOf<'thinking'>
const COUNTS: ReadonlySet<Block['type']> = new Set(['thinking', 'tool_use'])

export interface ReasoningStore {
  /** Watches one answer and keeps its reasoning when it calls a tool. `owner`: name of the access key. */
  watch(owner: string | undefined): (event: HubEvent) => void
  /** Turns whose tool calls lost their reasoning, or its proof, get it back; the others are the same objects. */
  restore(turns: readonly Turn[], owner: string | undefined): Turn[]
}

export function createReasoningStore(maxEntries = 2000, maxChars = 16_777_216): ReasoningStore {
  const kept = createBounded<Thinking[]>(maxEntries, maxChars, (blocks) => (
    blocks.reduce((sum, { text, seal }) => sum + text.length + (seal?.value.length ?? 0), 0)))

  return {
    watch(owner) {
      const fold = createFold(Infinity) // of the parts that count here; the answer's own bound holds for them
      return (event) => {
        if (event.type !== 'block_start' || COUNTS.has(event.block.type)) fold.push(event)
        if (event.type !== 'end') return
        const { blocks } = fold.result()
        const thoughts = blocks.filter((block) => block.type === 'thinking')
        if (thoughts.length === 0) return
        for (const block of blocks) if (block.type === 'tool_use') kept.set(toKey(block, owner), thoughts)
      }
    },
    restore(turns, owner) {
      return kept.isEmpty() ? [...turns] : turns.map((turn) => {
        // Many clients send the words back and leave out the proof, without which they are no reasoning (pitfall Q10).
        const isProven = turn.blocks.some((block) => block.type === 'thinking' && block.seal !== undefined)
        if (turn.role !== 'assistant' || isProven) return turn
        const calls = turn.blocks.filter((block) => block.type === 'tool_use')
        const [thoughts] = calls.map((call) => kept.get(toKey(call, owner))).filter((found) => found !== undefined)
        if (thoughts === undefined) return turn
        return { ...turn, blocks: [...thoughts, ...turn.blocks.filter(({ type }) => type !== 'thinking')] }
      })
    },
  }
}

/** `call_0`, `functions.look:1`: some servers number their calls anew in every answer. */
const COUNTED = /(?:^|[^a-z\d])\d{1,4}$/i

/** A counted id could be another call's, or another conversation's: only with its input does it name one. */
function toKey({ id, name, input }: BlockOf<'tool_use'>, owner = ''): string {
  const shown = COUNTED.test(id) ? createHash('sha256').update(toWords(input)).digest('base64') : ''
  return JSON.stringify([owner, id, name, shown])
}

/** Many clients parse the input and write it anew: blanks, the order of members and the spelling of numbers may differ. */
function toWords(input: string): string {
  try {
    return JSON.stringify(JSON.parse(input || '{}'), (_, value: unknown) => (
      isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)) : value))
  } catch {
    return input // no JSON, or nested too deep to be written
  }
}
