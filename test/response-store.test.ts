/**
 * The bounded memory behind `previous_response_id`.
 * @module
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expandInput } from '../src/dialects/responses/items.ts'
import { createResponseStore } from '../src/exchange/response-store.ts'
import type { JsonObject } from '../src/hub/types.ts'

const item = (text: string): JsonObject => ({ type: 'message', role: 'user', content: text })

test('R18: a kept answer carries its conversation into the next request', () => {
  const store = createResponseStore()
  store.keep({ input: 'one' }, { id: 'resp_1', output: [item('two')] })
  const expanded = expandInput({ previous_response_id: 'resp_1', input: 'three' }, store.get('resp_1')!)
  assert.deepEqual((expanded['input'] as JsonObject[]).map((entry) => entry['content']), ['one', 'two', 'three'])
  store.keep(expanded, { id: 'resp_2', output: [item('four')] })
  assert.equal(store.get('resp_2')?.input.length, 3)
})

test('R18: a reference to an item of a kept answer is the item, without previous_response_id too', () => {
  const store = createResponseStore(2)
  const body = { input: [item('one'), { type: 'item_reference', id: 'msg_1' }] }
  const expand = (owner?: string): unknown => (expandInput(body, undefined, (id) => store.item(id, owner))['input'] as JsonObject[]).at(-1)
  store.keep({ input: 'one' }, { id: 'resp_1', output: [{ ...item('two'), id: 'msg_1' }] }, 'alice')
  assert.deepEqual(expand('alice'), { ...item('two'), id: 'msg_1' })
  assert.deepEqual(expand('bob'), { type: 'item_reference', id: 'msg_1' })
  for (const id of ['resp_2', 'resp_3']) store.keep({ input: 'one' }, { id, output: [] }, 'alice')
  assert.deepEqual(expand('alice'), { type: 'item_reference', id: 'msg_1' })
})

test('R18: an unknown id gives nothing', () => {
  assert.equal(createResponseStore().get('resp_x'), undefined)
})

test('response store: store false keeps nothing', () => {
  const store = createResponseStore()
  store.keep({ input: 'one', store: false }, { id: 'resp_1', output: [] })
  assert.equal(store.get('resp_1'), undefined)
})

test('response store: an id opens nothing for another access key', () => {
  const store = createResponseStore()
  store.keep({ input: 'secret' }, { id: 'resp_1', output: [] }, 'alice')
  assert.equal(store.get('resp_1', 'bob'), undefined)
  assert.equal(store.get('resp_1'), undefined)
  assert.notEqual(store.get('resp_1', 'alice'), undefined)
})

test('response store: the one used longest ago goes first when there are too many', () => {
  const store = createResponseStore(2)
  for (const id of ['a', 'b']) store.keep({ input: [] }, { id, output: [] })
  store.get('a')
  store.keep({ input: [] }, { id: 'c', output: [] })
  assert.deepEqual(['a', 'b', 'c'].map((id) => store.get(id) !== undefined), [true, false, true])
})

test('response store: bytes are bounded, and what is larger than all of it is not kept', () => {
  const store = createResponseStore(100, 1000)
  for (const id of ['a', 'b', 'c']) store.keep({ input: [item('x'.repeat(300))] }, { id, output: [] })
  assert.deepEqual(['a', 'b', 'c'].map((id) => store.get(id) !== undefined), [false, true, true])
  store.keep({ input: [item('x'.repeat(2000))] }, { id: 'd', output: [] })
  assert.equal(store.get('d'), undefined)
  assert.notEqual(store.get('c'), undefined)
})

test('response store: replacing an id frees its bytes', () => {
  const store = createResponseStore(100, 1000)
  store.keep({ input: [] }, { id: 'a', output: [] })
  for (let count = 0; count < 50; count++) store.keep({ input: [item('x'.repeat(300))] }, { id: 'b', output: [] })
  assert.notEqual(store.get('a'), undefined)
})

test('response store: what was kept does not change with the object that it came from', () => {
  const store = createResponseStore()
  const input = [item('before')]
  store.keep({ input }, { id: 'a', output: [] })
  input[0]!['content'] = 'after'
  assert.equal(store.get('a')?.input[0]?.['content'], 'before')
})
