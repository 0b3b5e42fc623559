import { deepStrictEqual, match, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { startPlan } from './helpers/plan.ts'

test('plan: a first turn streams the model\'s own events, thinking and signature included', async (context) => {
  const plan = await startPlan(context)
  const answer = await plan.ask([{ role: 'user', content: 'hello' }])
  strictEqual(answer.status, 200)
  match(String(answer.headers['content-type']), /^text\/event-stream/)
  deepStrictEqual(answer.message.content, [
    { type: 'thinking', thinking: 'hm', signature: 'c2ln' },
    { type: 'text', text: '1: hello' },
  ])
  strictEqual(answer.message.stop_reason, 'end_turn')
  deepStrictEqual(answer.message.usage, { input_tokens: 10, cache_read_input_tokens: 3, cache_creation_input_tokens: 2, output_tokens: 7 })
})
