/**
 * Reasoning by tool-call id: clients of the OpenAI dialects drop it between turns, and some backends demand it back
 * (pitfalls T1, T4). Bounded by count and characters; the least recently used goes first.
 * @module
 */
import { createHash } from 'node:crypto'
import { isObject } from '../hub/json.ts'
import type { BlockOf, HubEvent, Turn } from '../hub/types.ts'

type Thinking = BlockOf<'thinking'>

export interface ReasoningStore {
  /** Watches one answer and keeps its reasoning when it calls a tool. `owner`: name of the access key. */
  watch(owner: string | undefined): (event: HubEvent) => void
  /** Turns whose tool calls lost their reasoning, or its proof, get it back; the others are the same objects. */
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
      const blocks = new Map<number, { block: Thinking | BlockOf<'tool_use'>; pieces: string[] }>()
      return (event) => {
        switch (event.type) {
          case 'block_start':
            if (event.block.type === 'thinking' || event.block.type === 'tool_use') blocks.set(event.index, { block: event.block, pieces: [] })
            break
          case 'delta':
            blocks.get(event.index)?.pieces.push(event.text)
            break
          case 'seal': {
            const thought = blocks.get(event.index)
            if (thought?.block.type === 'thinking') thought.block = { ...thought.block, seal: event.seal }
            break
          }
          case 'end': {
            const thoughts: Thinking[] = [], calls: BlockOf<'tool_use'>[] = []
            for (const { block, pieces } of blocks.values()) {
              if (block.type === 'thinking') thoughts.push({ ...block, text: block.text + pieces.join('') })
              else calls.push({ ...block, input: block.input + pieces.join('') })
            }
            if (thoughts.length > 0) for (const call of calls) keep(toKey(call, owner), thoughts)
          }
        }
      }
    },
    restore(turns, owner) {
      return kept.size === 0 ? [...turns] : turns.map((turn) => {
        // Many clients send the words back and leave out the proof, without which they are no reasoning (pitfall Q10).
        const isProven = turn.blocks.some((block) => block.type === 'thinking' && block.seal !== undefined)
        if (turn.role !== 'assistant' || isProven) return turn
        const calls = turn.blocks.map((block) => block.type === 'tool_use' ? toKey(block, owner) : '')
        const call = calls.find((key) => kept.has(key)) ?? '', entry = kept.get(call)
        if (entry === undefined) return turn
        kept.delete(call)
        kept.set(call, entry) // used: it goes to the end of the line
        return { ...turn, blocks: [...entry.blocks, ...turn.blocks.filter(({ type }) => type !== 'thinking')] }
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
