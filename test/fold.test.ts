import { deepStrictEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { DarioError } from '../src/errors.ts'
import { createFold } from '../src/hub/fold.ts'
import { foldEvents } from './helpers/fold.ts'
import type { HubEvent } from '../src/hub/types.ts'
import { assertGrammar } from './helpers/grammar.ts'

const USAGE = { input: 1, cacheRead: 2, cacheWrite: 3, output: 4 }
const START: HubEvent = { type: 'start', id: 'm', model: 'x' }
const END: HubEvent = { type: 'end', stop: 'tool_use', rawStop: 'tool_calls', usage: USAGE }

test('fold: interleaved blocks fold into whole ones in the order in which they began', () => {
  const events: HubEvent[] = [
    START,
    { type: 'block_start', index: 0, block: { type: 'thinking', text: '' } },
    { type: 'delta', index: 0, text: 'hm' },
    { type: 'seal', index: 0, seal: { origin: 'anthropic', value: 's' } },
    { type: 'block_end', index: 0 },
    { type: 'block_start', index: 2, block: { type: 'tool_use', id: 'a', name: 'f', input: '' } },
    { type: 'block_start', index: 1, block: { type: 'tool_use', id: 'b', name: 'g', input: '' } },
    { type: 'delta', index: 2, text: '{"x":' },
    { type: 'ping' },
    { type: 'delta', index: 2, text: '1.0}' },
    { type: 'block_end', index: 1 },
    { type: 'block_end', index: 2 },
    END,
  ]
  assertGrammar(events)
  deepStrictEqual(foldEvents(events), {
    id: 'm',
    model: 'x',
    blocks: [
      { type: 'thinking', text: 'hm', seal: { origin: 'anthropic', value: 's' } },
      { type: 'tool_use', id: 'a', name: 'f', input: '{"x":1.0}' },
      { type: 'tool_use', id: 'b', name: 'g', input: '{}' }, // K8: no arguments are the empty object
    ],
    stop: 'tool_use',
    rawStop: 'tool_calls',
    usage: USAGE,
  })
})

test('fold: the events that were folded keep their own blocks', () => {
  const block = { type: 'text' as const, text: '' }
  foldEvents([START, { type: 'block_start', index: 0, block }, { type: 'delta', index: 0, text: 'x' }, { type: 'block_end', index: 0 }, END])
  deepStrictEqual(block, { type: 'text', text: '' })
})

test('S15: an answer without an end is an error, never a reply', () => {
  throws(() => foldEvents([START]), { code: 'upstream_protocol' })
  throws(() => foldEvents([]), { code: 'upstream_protocol' })
})

test('fold: an error inside the stream is thrown as it came', () => {
  throws(() => foldEvents([START, { type: 'error', error: new DarioError('overloaded', 'busy') }, END]), { code: 'overloaded' })
})

test('fold: an answer over the limit is refused', () => {
  const fold = createFold(10)
  fold.push({ type: 'block_start', index: 0, block: { type: 'text', text: '' } })
  throws(() => fold.push({ type: 'delta', index: 0, text: 'eleven char' }), { code: 'upstream_protocol' })
})

test('grammar: wrong orders are found', () => {
  const block = { type: 'text' as const, text: '' }
  const wrong: HubEvent[][] = [
    [],
    [START],
    [END],
    [START, START, END],
    [START, END, END],
    [START, { type: 'block_start', index: 0, block }, END],
    [START, { type: 'delta', index: 0, text: 'x' }, END],
    [START, { type: 'block_end', index: 0 }, END],
    [START, { type: 'block_start', index: 0, block }, { type: 'seal', index: 0, seal: { origin: 'chat', value: '' } }, { type: 'block_end', index: 0 }, END],
    [START, ...[1, 2].flatMap((): HubEvent[] => [{ type: 'block_start', index: 0, block }, { type: 'block_end', index: 0 }]), END],
  ]
  for (const events of wrong) throws(() => assertGrammar(events), JSON.stringify(events))
})
