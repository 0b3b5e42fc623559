import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { repairToolTurns } from '../src/hub/repair.ts'
import type { Block, Turn } from '../src/hub/types.ts'
import { forAll } from './helpers/property.ts'
import type { Random } from './helpers/property.ts'

const call = (id: string, input = '{}', name = 'f'): Block => ({ type: 'tool_use', id, name, input })
const result = (id: string, text = 'ok'): Block => ({ type: 'tool_result', toolUseId: id, content: [{ type: 'text', text }], isError: false })
const text = (words: string): Block => ({ type: 'text', text: words })
const user = (...blocks: Block[]): Turn => ({ role: 'user', blocks })
const assistant = (...blocks: Block[]): Turn => ({ role: 'assistant', blocks })
const shape = (turns: Turn[]) => turns.map((turn) => [turn.role, ...turn.blocks.map((block) => {
  if (block.type === 'tool_use') return `call ${block.id}`
  if (block.type === 'tool_result') return `result ${block.toolUseId}`
  return block.type === 'text' ? block.text : block.type
})])

test('repair: a sound history stays as it is', () => {
  const turns = [user(text('hi')), assistant(text('so'), call('a'), call('b')), user(result('a'), result('b')), assistant(text('done'))]
  const repaired = repairToolTurns(turns)
  deepStrictEqual(shape(repaired.turns), shape(turns))
  deepStrictEqual(repaired.warnings, [])
})

test('A1: a result without its call becomes user text', () => {
  const { turns, warnings } = repairToolTurns([{ role: 'user', blocks: [result('gone', 'sunny'), text('and now?')], path: 'messages[0]' }])
  deepStrictEqual(shape(turns), [['user', 'Result of an earlier tool call:', 'sunny', 'and now?']])
  deepStrictEqual(warnings.map((warning) => warning.path), ['messages[0]'])
})

test('R7: a result with an empty id becomes user text', () => {
  deepStrictEqual(shape(repairToolTurns([assistant(call('a')), user(result(''), result('a'))]).turns), [
    ['assistant', 'call a'], ['user', 'result a'], ['user', 'Result of an earlier tool call:', 'ok'],
  ])
})

test('R7: calls with an empty id get ids of their own, and each keeps its result', () => {
  const turns = [assistant(call('')), user(result('', 'one')), assistant(call('', '{"n":2}')), user(result('', 'two'))]
  deepStrictEqual(shape(repairToolTurns(turns).turns), [
    ['assistant', 'call call_without_id'], ['user', 'result call_without_id'], ['assistant', 'call call_without_id_2'], ['user', 'result call_without_id_2'],
  ])
})

test('A2: a call without a result gets one that says so, in call order', () => {
  const { turns, warnings } = repairToolTurns([assistant(call('a'), call('b')), user(result('b'), text('go on'))])
  deepStrictEqual(shape(turns), [['assistant', 'call a', 'call b'], ['user', 'result a', 'result b'], ['user', 'go on']])
  const [first] = turns[1]?.blocks ?? []
  ok(first?.type === 'tool_result' && first.isError)
  strictEqual(warnings.length, 1)
})

test('A2: results that other turns kept apart come back to their calls', () => {
  const turns = [assistant(call('a')), { role: 'system' as const, blocks: [text('note')] }, user(text('wait')), user(result('a'))]
  deepStrictEqual(shape(repairToolTurns(turns).turns), [['assistant', 'call a'], ['user', 'result a'], ['system', 'note'], ['user', 'wait']])
})

test('A3: results come before the text of their own turn', () => {
  deepStrictEqual(shape(repairToolTurns([assistant(call('a')), user(text('first'), result('a'))]).turns), [
    ['assistant', 'call a'], ['user', 'result a'], ['user', 'first'],
  ])
})

test('A4: of two results for one call the last wins', () => {
  const { turns, warnings } = repairToolTurns([assistant(call('a')), user(result('a', 'old')), user(result('a', 'new'))])
  deepStrictEqual(turns[1]?.blocks, [result('a', 'new')])
  strictEqual(turns.length, 2)
  strictEqual(warnings.length, 1)
})

test('B14: a call without a name goes, and its result with it', () => {
  const { turns, warnings } = repairToolTurns([assistant(call('x', '{}', ''), call('a')), user(result('x'), result('a'))])
  deepStrictEqual(shape(turns), [['assistant', 'call a'], ['user', 'result a']])
  strictEqual(warnings.length, 1)
})

test('R8: calls in neighbouring assistant turns get their results after the last of them', () => {
  deepStrictEqual(shape(repairToolTurns([assistant(call('a')), assistant(call('b')), user(result('b')), user(result('a'))]).turns), [
    ['assistant', 'call a'], ['assistant', 'call b'], ['user', 'result a', 'result b'],
  ])
})

test('S10: a call that was replayed is kept once', () => {
  const { turns } = repairToolTurns([assistant(call('a'), call('a')), user(result('a')), assistant(call('a')), user(result('a'))])
  deepStrictEqual(shape(turns), [['assistant', 'call a'], ['user', 'result a']])
})

test('S10: of a replayed turn that held only reasoning and its call nothing is left', () => {
  const thought: Block = { type: 'thinking', text: 'hm' }
  const turn = assistant(thought, call('a'))
  deepStrictEqual(shape(repairToolTurns([turn, user(result('a')), turn, user(result('a'))]).turns), [['assistant', 'thinking', 'call a'], ['user', 'result a']])
})

test('O5: an id that a server used twice for different calls is made unique, results included', () => {
  const { turns } = repairToolTurns([1, 2, 3].flatMap((step) => [assistant(call('f:0', `{"x":${step}}`)), user(result('f:0', `${step}`))]))
  deepStrictEqual(shape(turns), [
    ['assistant', 'call f:0'], ['user', 'result f:0'],
    ['assistant', 'call f:0_2'], ['user', 'result f:0_2'],
    ['assistant', 'call f:0_3'], ['user', 'result f:0_3'],
  ])
})

test('O5, R7: parallel calls under one id each keep their own result', () => {
  for (const id of ['', 'f:0']) {
    const { turns, warnings } = repairToolTurns([assistant(call(id, '{"x":1}'), call(id, '{"x":2}')), user(result(id, 'one'), result(id, 'two'))])
    const [first, second] = turns[0]!.blocks.map((block) => block.type === 'tool_use' ? block : undefined)
    deepStrictEqual([first?.input, second?.input], ['{"x":1}', '{"x":2}'])
    deepStrictEqual(turns[1]?.blocks, [result(first!.id, 'one'), result(second!.id, 'two')])
    deepStrictEqual(warnings, [])
  }
})

test('O5: a result is that of the turn before it, not of an interrupted call of the same id', () => {
  const { turns } = repairToolTurns([assistant(call('f:0', '{"x":1}')), user(text('stop')), assistant(call('f:0', '{"x":2}')), user(result('f:0', 'two'))])
  deepStrictEqual(turns.at(-1)?.blocks, [result('f:0_2', 'two')])
})

test('repair: any history comes out with every call answered once, directly after it, and repairs to itself', async () => {
  const makeBlock = (random: Random): Block => {
    const id = 'abc'[random(3)] ?? 'a'
    return [call(id, `{"x":${random(2)}}`, random(6) === 0 ? '' : 'f'), result(id), text('t')][random(3)] ?? text('t')
  }
  await forAll(
    (random) => Array.from({ length: random(12) }, (): Turn => {
      const role = (['user', 'assistant', 'system'] as const)[random(3)] ?? 'user'
      const blocks = Array.from({ length: random(4) }, () => makeBlock(random))
      return { role, blocks: blocks.filter((block) => block.type !== (role === 'assistant' ? 'tool_result' : 'tool_use')) }
    }),
    (made) => {
      const { turns } = repairToolTurns(made)
      let waiting: string[] = []
      for (const turn of turns) {
        if (turn.role === 'assistant') waiting.push(...turn.blocks.flatMap((block) => block.type === 'tool_use' ? [block.id] : []))
        else {
          deepStrictEqual(turn.blocks.flatMap((block) => block.type === 'tool_result' ? [block.toolUseId] : []), waiting)
          waiting = []
        }
      }
      deepStrictEqual(waiting, [])
      deepStrictEqual(repairToolTurns(turns), { turns, warnings: [] })
    },
  )
})
