/**
 * The grammar of hub events, as `hub/types.ts` states it.
 * @module
 */
import { deepStrictEqual, ok } from 'node:assert/strict'
import type { HubEvent } from '../../src/hub/types.ts'

/** Fails on the first event that may not stand where it stands. */
export function assertGrammar(events: readonly HubEvent[]): void {
  const open = new Map<number, string>(), used = new Set<number>()
  let started = false, over = false
  for (const event of events) {
    ok(!over, `nothing follows the end: ${event.type}`)
    if (event.type === 'ping') continue
    if (event.type === 'error') {
      over = true
      continue
    }
    ok(started !== (event.type === 'start'), `exactly one start, at first: ${event.type}`)
    started = true
    switch (event.type) {
      case 'block_start':
        ok(!used.has(event.index), `index ${event.index} is used once`)
        used.add(event.index)
        open.set(event.index, event.block.type)
        break
      case 'delta':
        ok(open.has(event.index), `delta belongs to an open block: ${event.index}`)
        break
      case 'seal':
        deepStrictEqual(open.get(event.index), 'thinking', `seal belongs to an open thinking block: ${event.index}`)
        break
      case 'block_end':
        ok(open.delete(event.index), `block_end belongs to an open block: ${event.index}`)
        break
      case 'end':
        over = true
        deepStrictEqual([...open.keys()], [], 'no block is open at the end')
        break
      default:
    }
  }
  ok(over, 'the answer has an end')
}
