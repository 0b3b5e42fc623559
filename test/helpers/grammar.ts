/**
 * The order of hub events, checked: what every stream decoder owes and every encoder may rely on.
 * @module
 */
import { fail } from 'node:assert/strict'
import type { BlockOf, HubEvent } from '../../src/hub/types.ts'

/** Fails unless: start, blocks (each opened once, filled only while open, closed), one end or error, nothing after. */
export function assertGrammar(events: readonly HubEvent[]): void {
  const open = new Map<number, string>()
  const used = new Set<number>()
  let state: 'before' | 'inside' | 'after' = 'before'
  for (const [position, event] of events.entries()) {
    const refuse = (why: string): never => fail(`event ${position} (${event.type}): ${why}`)
    if (event.type === 'ping') continue
    if (state === 'after') refuse('comes after the end')
    if (event.type === 'error') {
      state = 'after'
      continue
    }
    if (event.type === 'start') {
      if (state !== 'before') refuse('comes twice')
      state = 'inside'
      continue
    }
    if (state === 'before') refuse('comes before start')
    if (event.type === 'end') {
      if (open.size > 0) refuse(`blocks ${[...open.keys()].join(', ')} are open`)
      state = 'after'
    } else if (event.type === 'block_start') {
      if (used.has(event.index)) refuse(`index ${event.index} is used twice`)
      used.add(event.index)
      open.set(event.index, event.block.type)
    } else if (!open.has(event.index)) {
      refuse(`block ${event.index} is not open`)
    } else if (event.type === 'block_end') {
      open.delete(event.index)
    } else if (event.type === 'seal' && open.get(event.index) !== 'thinking') {
      refuse('a seal belongs to thinking')
    } else if (event.type === 'delta' && !FILLED.has(open.get(event.index) ?? '')) {
      refuse(`a ${open.get(event.index)} block takes no delta`)
    }
  }
  if (state !== 'after') fail('there is neither end nor error')
}

const FILLED = new Set<string>(['text', 'refusal', 'thinking', 'tool_use'] satisfies BlockOf<'text' | 'refusal' | 'thinking' | 'tool_use'>['type'][])
