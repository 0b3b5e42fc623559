/**
 * Reasoning by tool-call id: clients of the OpenAI dialects drop it between turns, and some backends demand it back
 * (pitfalls T1, T4). Bounded by count and characters; the least recently used goes first.
 * @module
 */
import type { Block, BlockOf, HubEvent, Turn } from '../hub/types.ts'

type Thinking = BlockOf<'thinking'>

export interface ReasoningStore {
  /** Watches one answer and keeps its reasoning when it calls a tool. `owner`: name of the access key. */
  watch(owner: string | undefined): (event: HubEvent) => void
  /** Turns whose tool calls lost their reasoning get it back; the others are the same objects. */
  restore(turns: readonly Turn[], owner: string | undefined): Turn[]
}

export function createReasoningStore(maxEntries = 2000, maxChars = 16_777_216): ReasoningStore {
  const kept = new Map<string, { blocks: Thinking[]; chars: number }>()
  let chars = 0

  function forget(id: string): void {
    chars -= kept.get(id)?.chars ?? 0
    kept.delete(id)
  }

  function keep(id: string, blocks: Thinking[]): void {
    forget(id)
    const size = blocks.reduce((sum, block) => sum + block.text.length + (block.seal?.value.length ?? 0), 0)
    kept.set(id, { blocks, chars: size })
    chars += size
    for (const oldest of kept.keys()) {
      if (kept.size <= maxEntries && chars <= maxChars) break
      forget(oldest)
    }
  }

  return {
    watch(owner) {
      const thoughts = new Map<number, { block: Thinking; pieces: string[] }>()
      const calls: string[] = []
      return (event) => {
        switch (event.type) {
          case 'block_start':
            if (event.block.type === 'thinking') thoughts.set(event.index, { block: event.block, pieces: [event.block.text] })
            if (event.block.type === 'tool_use') calls.push(toKey(event.block, owner))
            break
          case 'delta':
            thoughts.get(event.index)?.pieces.push(event.text)
            break
          case 'seal': {
            const thought = thoughts.get(event.index)
            if (thought !== undefined) thought.block = { ...thought.block, seal: event.seal }
            break
          }
          case 'end': {
            if (thoughts.size === 0) break
            const blocks = [...thoughts.values()].map(({ block, pieces }) => ({ ...block, text: pieces.join('') }))
            for (const call of calls) keep(call, blocks)
          }
        }
      }
    },
    restore(turns, owner) {
      return kept.size === 0 ? [...turns] : turns.map((turn) => {
        if (turn.role !== 'assistant' || turn.blocks.some(({ type }) => type === 'thinking')) return turn
        const calls = turn.blocks.map((block) => block.type === 'tool_use' ? toKey(block, owner) : '')
        const call = calls.find((key) => kept.has(key)) ?? '', entry = kept.get(call)
        if (entry === undefined) return turn
        kept.delete(call)
        kept.set(call, entry) // used: it goes to the end of the line
        return { ...turn, blocks: [...entry.blocks, ...turn.blocks] satisfies Block[] }
      })
    },
  }
}

/** Some local servers number their calls from 0 in every answer: an id alone could be another client's. */
const toKey = ({ id, name }: BlockOf<'tool_use'>, owner = ''): string => JSON.stringify([owner, id, name])
