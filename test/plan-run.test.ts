import { deepStrictEqual, match, notStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Upstream } from '../src/backends/backend.ts'
import { withDeadline } from './helpers/deadline.ts'
import { isAlive } from './helpers/fake-claude.ts'
import { GET_TOOL, readAnswer, startPlan } from './helpers/plan.ts'
import type { Message, TestPlan } from './helpers/plan.ts'
import { until } from './helpers/until.ts'
import { toReadable } from '../src/backends/source.ts'

const user = (content: unknown): Message => ({ role: 'user', content })
const assistant = (content: unknown): Message => ({ role: 'assistant', content })
const results = (calls: unknown, content: unknown, more = {}): Message =>
  user((calls as { id: string }[]).map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content, ...more })))
const starts = (plan: TestPlan): number => plan.fake.records('start').length
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

test('plan: a first turn streams the model\'s own events, thinking and signature included', async (context) => {
  const plan = await startPlan(context)
  const answer = await plan.ask([user('hello')])
  strictEqual(answer.status, 200)
  match(String(answer.headers['content-type']), /^text\/event-stream/)
  deepStrictEqual(answer.message.content, [
    { type: 'thinking', thinking: 'hm', signature: 'c2ln' },
    { type: 'text', text: '1: hello' },
  ])
  strictEqual(answer.message.stop_reason, 'end_turn')
  deepStrictEqual(answer.message.usage, { input_tokens: 10, cache_read_input_tokens: 3, cache_creation_input_tokens: 2, output_tokens: 7 })
})

test('plan: without stream the answer is one Messages object', async (context) => {
  const plan = await startPlan(context)
  const streamed = await plan.ask([user('hello')])
  const whole = await plan.ask([user('hello')], { stream: false })
  strictEqual(whole.headers['content-type'], 'application/json')
  deepStrictEqual(whole.message.content, streamed.message.content)
  deepStrictEqual(whole.message.usage, streamed.message.usage)
})

test('plan: the next turn goes to the live process, also when the client drops thinking and cache marks', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('one')])
  const second = await plan.ask([user([{ type: 'text', text: 'one', cache_control: { type: 'ephemeral' } }]), assistant('1: one'), user('two')])
  strictEqual(second.message.content.at(-1)?.['text'], '3: two')
  strictEqual(starts(plan), 1)
})

test('plan: the next turn waits for the result line of the last one', async (context) => {
  const plan = await startPlan(context)
  let history = [user('one')]
  for (const text of ['two', 'three', 'four']) {
    const answer = await plan.ask(history)
    history = [...history, assistant(answer.message.content), user(text)]
  }
  strictEqual(starts(plan), 1)
  deepStrictEqual(plan.fake.records('wrong'), [])
})

test('plan: an edited history starts a new run from a transcript of what the client sent', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('one')])
  const edited = await plan.ask([user('ONE'), assistant('1: one'), user([{ type: 'text', text: 'two' }])])
  strictEqual(edited.message.content.at(-1)?.['text'], '3: two')
  strictEqual(starts(plan), 2)
  const lines = plan.fake.records('transcript')[0]?.['lines'] as { uuid: string; parentUuid: unknown; message: { role: string } }[]
  deepStrictEqual(lines.map((line) => line.message.role), ['user', 'assistant', 'user'])
  strictEqual(lines[0]?.parentUuid, null)
  strictEqual(lines[1]?.parentUuid, lines[0]?.uuid)
  strictEqual(plan.fake.records('line').length, 1)
})

test('plan: two clients with the same first words get a run each', async (context) => {
  const plan = await startPlan(context)
  const [a, b] = await Promise.all([plan.ask([user('same')]), plan.ask([user('same')])])
  notStrictEqual((a.events[0]?.['message'] as { id: string }).id, (b.events[0]?.['message'] as { id: string }).id)
  strictEqual(starts(plan), 2)
})

test('plan: another system prompt, model or limit needs another run', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 9 })
  await plan.ask([user('one')])
  const history = [user('one'), assistant('1: one'), user('two')]
  await plan.ask(history, { system: 'other' })
  await plan.ask(history, { model: 'opus' })
  await plan.ask(history, { max_tokens: 5 })
  await plan.ask(history, { output_config: { effort: 'low' } })
  strictEqual(starts(plan), 5)
  const last = plan.fake.records('start').at(-1)?.['argv'] as string[]
  strictEqual(last[last.indexOf('--effort') + 1], 'low')
})

test('plan: limits and thinking of the request become the program\'s variables', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 9 })
  await plan.ask([user('a')], { max_tokens: 777 })
  await plan.ask([user('b')], { thinking: { type: 'enabled', budget_tokens: 2048 } })
  await plan.ask([user('c')], { thinking: { type: 'adaptive' } })
  const odd = await plan.ask([user('d')], { max_tokens: -1 })
  const seen = plan.fake.records('start').map(({ env }) => env as Record<string, string>)
  deepStrictEqual(seen.map((env) => env['MAX_THINKING_TOKENS']), ['0', '2048', undefined, '0'])
  deepStrictEqual(seen.map((env) => env['CLAUDE_CODE_MAX_OUTPUT_TOKENS']), ['777', '1000', '1000', undefined])
  strictEqual(odd.headers['dario-dropped'], 'max_tokens')
})

test('plan: a tool loop with parallel calls stays in one process', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call get {"a":1}; call get {"a":2}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  strictEqual(first.message.stop_reason, 'tool_use')
  deepStrictEqual(first.message.content.map(({ name, input }) => ({ name, input })), [{ name: 'get', input: { a: 1 } }, { name: 'get', input: { a: 2 } }])
  const history = [...ask, assistant(first.message.content), results(first.message.content, 'res')]
  const second = await plan.ask(history, { tools: [GET_TOOL] })
  strictEqual(second.message.content[0]?.['text'], 'got res and res')
  const third = await plan.ask([...history, assistant(second.message.content), user('say bye')], { tools: [GET_TOOL] })
  strictEqual(third.message.content.at(-1)?.['text'], 'bye')
  strictEqual(starts(plan), 1)
})

test('plan: tools reach the program as sent, marked for parallel calls and large results', async (context) => {
  const plan = await startPlan(context)
  const schema = { type: 'object', $defs: { x: { anyOf: [{ type: 'null' }] } }, additionalProperties: false, required: ['a'] }
  await plan.ask([user('hello')], { tools: [{ name: 'a', description: 'd'.repeat(10_000), input_schema: schema }] })
  const [tool] = plan.fake.records('tools')[0]?.['tools'] as Record<string, unknown>[]
  deepStrictEqual(tool, {
    name: 'a', description: 'd'.repeat(10_000), inputSchema: schema, annotations: { readOnlyHint: true },
    _meta: { 'anthropic/maxResultSizeChars': 500_000 },
  })
})

test('plan: tool names that the program cannot take are mapped and mapped back', async (context) => {
  const plan = await startPlan(context)
  const long = 'x'.repeat(128)
  const tools = ['files.read', 'files/read', long].map((name) => ({ name, input_schema: { type: 'object' } }))
  await plan.ask([user('hello')], { tools })
  const sent = (plan.fake.records('tools')[0]?.['tools'] as { name: string }[]).map(({ name }) => name)
  strictEqual(new Set(sent).size, 3)
  for (const name of sent) match(name, /^[A-Za-z0-9_-]{1,116}$/)
  const answer = await plan.ask([user(`call ${sent[0]} {}; call ${sent[2]} {}`)], { tools })
  deepStrictEqual(answer.message.content.map(({ name }) => name), ['files.read', long])
})

test('plan: a tool result of 1 MB goes whole by a transcript', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call get {}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  const big = 'z'.repeat(1_000_000)
  await plan.ask([...ask, assistant(first.message.content), results(first.message.content, big)], { tools: [GET_TOOL] })
  const lines = plan.fake.records('transcript')[0]?.['lines'] as { message: { role: string; content: { content: unknown; text: unknown }[] } }[]
  strictEqual(lines[2]?.message.content[0]?.content, big)
  deepStrictEqual(lines[3]?.message.content, [{ type: 'text', text: '' }]) // else the program adds words of its own
})

for (const [name, content, more, live] of [
  ['a result of 490,000 characters', 'y'.repeat(490_000), {}, true],
  ['an image in a result', [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }], {}, true],
  ['a short error', 'no', { is_error: true }, true],
  ['an empty result', [], {}, true],
  ['a long error', 'e'.repeat(10_001), { is_error: true }, false],
  ['an image by URL', [{ type: 'image', source: { type: 'url', url: 'http://x' } }], {}, false],
  ['an error with an image', [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }], { is_error: true }, false],
] as const) {
  test(`plan: ${name} goes ${live ? 'to the live run' : 'by a transcript'}`, async (context) => {
    const plan = await startPlan(context)
    const ask = [user('call get {}')]
    const first = await plan.ask(ask, { tools: [GET_TOOL] })
    const second = await plan.ask([...ask, assistant(first.message.content), results(first.message.content, content, more)], { tools: [GET_TOOL] })
    strictEqual(second.message.stop_reason, 'end_turn')
    strictEqual(starts(plan), live ? 1 : 2)
  })
}

test('plan: an error that is only an image keeps its place in the transcript, and the image follows', async (context) => {
  const plan = await startPlan(context)
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }
  const call = { type: 'tool_use', id: 't1', name: 'get', input: {} }
  await plan.ask([user('x'), assistant([call]), results([call], [image], { is_error: true })], { tools: [GET_TOOL] })
  const lines = plan.fake.records('transcript')[0]?.['lines'] as { message: { content: unknown } }[]
  deepStrictEqual(lines[2]?.message.content, [{ type: 'tool_result', tool_use_id: 't1', content: 'see the image', is_error: true }])
  deepStrictEqual(lines[3]?.message.content, [image, { type: 'text', text: '' }])
})

test('plan: results that come with new words go by a transcript, results first', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call get {}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  const both = user([{ type: 'text', text: 'and hurry' }, ...results(first.message.content, 'res').content as object[]])
  const second = await plan.ask([...ask, assistant(first.message.content), both], { tools: [GET_TOOL] })
  strictEqual(second.message.content.at(-1)?.['text'], '4: and hurry')
  strictEqual(starts(plan), 2)
  await until(() => plan.folders().length === 1) // the run that was left behind is gone
})

test('plan: a client that goes on without the result of a call ends the parked run', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('call get {}')], { tools: [GET_TOOL] })
  const [parked] = plan.fake.records('start')
  await plan.ask([user('call get {}'), assistant('never mind'), user('say ok')], { tools: [GET_TOOL] })
  await until(() => !isAlive(Number(parked?.pid)))
  match(plan.logs.join('\n'), /its call was abandoned/)
})

test('plan: two conversations with the same first words keep their parked calls', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call get {}')]
  const tools = { tools: [GET_TOOL] }
  await plan.ask(ask, { system: 'a title for it' })
  const firsts = [await plan.ask(ask, tools), await plan.ask(ask, tools)]
  await plan.ask(ask, { system: 'a title for it' })
  const second = async ({ message: { content } }: { message: { content: unknown } }, result: string): Promise<unknown> =>
    (await plan.ask([...ask, assistant(content), results(content, result)], tools)).message.content[0]?.['text']
  deepStrictEqual([await second(firsts[0]!, 'one'), await second(firsts[1]!, 'two')], ['got one', 'got two'])
  strictEqual(plan.fake.records('transcript').length, 0)
})

test('plan: an input that is nested too deep to be written is an error of that request alone', async (context) => {
  const plan = await startPlan(context)
  await rejects(plan.ask([user('deep')], { tools: [GET_TOOL], stream: false }), { code: 'upstream_protocol' })
  strictEqual((await plan.ask([user('hello')])).status, 200)
})

test('plan: an event that is nested too deep to be written breaks its stream, and dario lives on', async (context) => {
  const plan = await startPlan(context)
  await rejects(plan.ask([user('abyss')]), { code: 'upstream_protocol' })
  await until(() => plan.folders().length === 0)
})

test('plan: a call that the program gave up ends the run, and the client\'s result goes by a transcript', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call get {"giveUp":1}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  await until(() => plan.folders().length === 0)
  await plan.ask([...ask, assistant(first.message.content), results(first.message.content, 'mine')], { tools: [GET_TOOL] })
  strictEqual(plan.fake.records('transcript').length, 1)
})

test('plan: a program that stays silent after a result is given up in time', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call get {"freeze":1}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  const next = [...ask, assistant(first.message.content), results(first.message.content, 'mine')]
  const { setTimeout } = globalThis // the start was given its time; the silence that never ends needs none
  context.mock.method(globalThis, 'setTimeout', (act: () => void, ms: number) => setTimeout(act, ms === 30_000 ? 1 : ms))
  await rejects(plan.ask(next, { tools: [GET_TOOL] }), { code: 'upstream_timeout', message: /nothing for 30000 ms/ })
})

test('plan: a call that the program answered by itself ends the run, and the client\'s result goes by a transcript', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call unknown {}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  strictEqual(first.message.content[0]?.['name'], 'unknown')
  const second = await plan.ask([...ask, assistant(first.message.content), results(first.message.content, 'mine')], { tools: [GET_TOOL] })
  strictEqual(second.status, 200)
  strictEqual(starts(plan), 2)
})

test('plan: when the program refused one of two calls, the client\'s results for both go by a transcript', async (context) => {
  const plan = await startPlan(context)
  const ask = [user('call get {"bad":1}; call get {"a":1}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  await until(() => plan.folders().length === 0)
  const second = await plan.ask([...ask, assistant(first.message.content), results(first.message.content, 'mine')], { tools: [GET_TOOL] })
  strictEqual(second.status, 200)
  const lines = plan.fake.records('transcript')[0]?.['lines'] as { message: { content: { content: unknown }[] } }[]
  deepStrictEqual(lines[2]?.message.content.map(({ content }) => content), ['mine', 'mine'])
})

test('plan: a client that leaves in mid-answer ends the run at once', async (context) => {
  const plan = await startPlan(context)
  const controller = new AbortController()
  const upstream = await plan.send([user('wait')], {}, controller.signal)
  toReadable(upstream.body).on('error', () => {}).resume()
  const [run] = plan.fake.records('start')
  controller.abort(new Error('left'))
  await until(() => !isAlive(Number(run?.pid)))
  await until(() => plan.folders().length === 0)
})

test('plan: a body that is destroyed ends the run as well', async (context) => {
  const plan = await startPlan(context)
  const upstream = await plan.send([user('wait')])
  upstream.body.destroy()
  await until(() => plan.folders().length === 0)
})

for (const [name, stop] of [
  ['a body that nobody reads is destroyed', async (_plan, upstream) => { upstream.body.destroy() }],
  ['dario closes while nobody reads', async (plan) => { await withDeadline(plan.backend.close(), 5_000, 'close') }],
] as [string, (plan: TestPlan, upstream: Upstream) => Promise<void>][]) {
  test(`plan: ${name}, and the run ends with what it still had to say`, async (context) => {
    const plan = await startPlan(context)
    const upstream = await plan.send([user('flood')])
    await until(() => plan.fake.records('flood').length > 0)
    await stop(plan, upstream)
    await until(() => plan.folders().length === 0)
  })
}

test('plan: a client that leaves before the first event is told its own reason', async (context) => {
  const plan = await startPlan(context, { hang: true })
  const controller = new AbortController()
  const asked = plan.send([user('hello')], {}, controller.signal).then(() => 'answered', (error: Error) => error.message)
  await until(() => starts(plan) === 1)
  controller.abort(new Error('left'))
  strictEqual(await asked, 'left')
  await until(() => plan.folders().length === 0)
})

test('plan: a client that leaves while the last turn has no result yet is not kept', async (context) => {
  const plan = await startPlan(context)
  const first = await plan.ask([user('unsettled')])
  const controller = new AbortController()
  const asked = plan.send([user('unsettled'), assistant(first.message.content), user('two')], {}, controller.signal)
  controller.abort(new Error('left'))
  await rejects(asked, /^Error: left$/)
  deepStrictEqual(plan.logs, ['run run_1 ends: the client left'])
})

test('plan: a turn whose last one has no result goes to another run', async (context) => {
  const plan = await startPlan(context)
  const first = await plan.ask([user('unsettled')])
  const { setTimeout } = globalThis // it would be given 5 s for it
  context.mock.method(globalThis, 'setTimeout', (act: () => void, ms: number) => setTimeout(act, ms === 5_000 ? 1 : ms))
  const second = await plan.ask([user('unsettled'), assistant(first.message.content), user('two')])
  strictEqual(second.message.content.at(-1)?.['text'], '3: two')
  deepStrictEqual(plan.logs, ['run run_1 ends: no result after the answer'])
})

test('plan: a client that reads slowly slows the program down', async (context) => {
  const plan = await startPlan(context)
  const upstream = await plan.send([user('flood')])
  await until(() => plan.fake.records('flood').length > 0)
  for (const text of ['a', 'b']) await plan.ask([user(text)]) // time for 20 MB, had nobody held it back
  const sent = Number(plan.fake.records('flood').at(-1)?.['sent'])
  ok(sent < 2_000, `${sent} of 20,000 lines were taken`)
  const answer = await readAnswer(upstream)
  strictEqual(String(answer.message.content[0]?.['text']).length, 20_000_000)
  strictEqual(answer.message.stop_reason, 'end_turn')
})

test('plan: at max_tokens the program is killed before it goes on by itself', async (context) => {
  const plan = await startPlan(context)
  const answer = await plan.ask([user('max')])
  strictEqual(answer.message.stop_reason, 'max_tokens')
  strictEqual(answer.events.at(-1)?.['type'], 'message_stop')
  await until(() => plan.folders().length === 0)
  strictEqual(plan.fake.records('request').length, 1)
  const next = await plan.ask([user('max'), assistant('half an ans'), user('say more')])
  strictEqual(next.message.content.at(-1)?.['text'], 'more')
  strictEqual(starts(plan), 2)
})

test('plan: stop sequences cut the text where they begin, across deltas', async (context) => {
  const plan = await startPlan(context)
  for (const stream of [true, false]) {
    const answer = await plan.ask([user('say one two END three')], { stream, stop_sequences: ['never', ' END'] })
    strictEqual(answer.message.content.at(-1)?.['text'], 'one two')
    strictEqual(answer.message.stop_reason, 'stop_sequence')
    strictEqual(answer.message.stop_sequence, ' END')
  }
  await until(() => plan.folders().length === 0)
})

test('plan: text that only begins like a stop sequence arrives whole', async (context) => {
  const plan = await startPlan(context)
  const answer = await plan.ask([user('say one two EN')], { stop_sequences: [' END'] })
  strictEqual(answer.message.content.at(-1)?.['text'], 'one two EN')
  strictEqual(answer.message.stop_reason, 'end_turn')
})

test('plan: a user\'s text that begins with a slash reaches the model', async (context) => {
  const plan = await startPlan(context)
  const first = await plan.ask([user('/help me')])
  strictEqual(first.message.content.at(-1)?.['text'], '1: /help me')
  const second = await plan.ask([user('x'), assistant('y'), user('/compact')])
  strictEqual(second.message.content.at(-1)?.['text'], '3: /compact')
})

test('plan: an idle run ends after its time, and its files with it', async (context) => {
  const plan = await startPlan(context, {}, { idleMs: 50 })
  await plan.ask([user('one')])
  strictEqual(plan.folders().length, 1)
  await until(() => plan.folders().length === 0)
  const again = await plan.ask([user('one'), assistant('1: one'), user('two')])
  strictEqual(again.message.content.at(-1)?.['text'], '3: two')
  strictEqual(starts(plan), 2)
})

test('plan: a parked call lives as long as an idle run', async (context) => {
  const plan = await startPlan(context, {}, { idleMs: 50 })
  const ask = [user('call get {}')]
  const first = await plan.ask(ask, { tools: [GET_TOOL] })
  await until(() => plan.folders().length === 0)
  const second = await plan.ask([...ask, assistant(first.message.content), results(first.message.content, 'late')], { tools: [GET_TOOL] })
  strictEqual(second.status, 200)
})

test('plan: warm keeps one process ready for the same prompt, and a first turn takes it', async (context) => {
  const plan = await startPlan(context, {}, { warm: true })
  await plan.ask([user('one')])
  await until(() => starts(plan) === 2)
  const second = await plan.ask([user('say other')])
  strictEqual(second.message.content.at(-1)?.['text'], 'other')
  strictEqual(plan.fake.records('line')[1]?.pid, plan.fake.records('start')[1]?.pid)
  await until(() => starts(plan) === 3) // and the next one is made ready
  await plan.ask([user('say third')])
  strictEqual(plan.fake.records('line')[2]?.pid, plan.fake.records('start')[2]?.pid)
})

test('plan: closing while a process is being started leaves neither it nor its files', async (context) => {
  const plan = await startPlan(context)
  const sent = plan.send([user('x')]).catch(() => undefined)
  while (plan.folders().length === 0) await new Promise(setImmediate) // its files come before it
  await plan.backend.close()
  deepStrictEqual(plan.folders(), [])
  await sent
})

test('plan: what the program cannot be told is named in dario-dropped', async (context) => {
  const plan = await startPlan(context)
  const answer = await plan.ask([
    user([{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }]), assistant('b'), { role: 'system', content: 'now French' }, user('say x'), assistant('prefill'),
  ], {
    temperature: 0.5, top_p: 0.9, top_k: 3, metadata: { user_id: 'u' }, tool_choice: { type: 'any', disable_parallel_tool_use: true },
    tools: [{ name: 'z', input_schema: {} }, { name: 'a', input_schema: {} }, { type: 'web_search_20250305', name: 'web_search' }],
    output_config: { format: { type: 'json_schema' } },
  })
  deepStrictEqual(String(answer.headers['dario-dropped']).split(','), [
    'temperature', 'top_p', 'top_k', 'metadata', 'messages[0].content[0].cache_control', 'messages[2].role', 'messages[4]',
    'tools[2]', 'tools.order', 'output_config.format', 'tool_choice', 'tool_choice.disable_parallel_tool_use',
  ])
  const lines = plan.fake.records('transcript')[0]?.['lines'] as { message: { content: unknown } }[]
  deepStrictEqual(lines.at(-1)?.message.content, [{ type: 'text', text: 'now French' }, { type: 'text', text: 'say x' }, { type: 'text', text: '' }])
})

test('plan: nothing is reported when nothing was dropped', async (context) => {
  const plan = await startPlan(context)
  strictEqual('dario-dropped' in (await plan.ask([user('x')], { system: 'short', stop_sequences: ['q'] })).headers, false)
})

test('plan: the system prompt arrives byte for byte, and a per-request billing line of another client does not', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('x')], { system: '  lines\n\u2028 and blanks \n' })
  await plan.ask([user('x')], { system: [{ type: 'text', text: 'x-anthropic-billing-header: cch=1' }, { type: 'text', text: 'one' }, { type: 'text', text: 'two' }] })
  deepStrictEqual(plan.fake.records('start').map(({ system }) => system), ['  lines\n\u2028 and blanks \n', 'one\n\ntwo'])
})

test('plan: limits of the last answer are in the headers of the next', async (context) => {
  const plan = await startPlan(context)
  strictEqual(plan.backend.limits(), undefined)
  const first = await plan.ask([user('one')])
  await until(() => plan.backend.limits() !== undefined)
  const second = await plan.ask([user('one'), assistant(first.message.content), user('two')])
  deepStrictEqual(Object.entries(second.headers).filter(([name]) => name.startsWith('dario-plan-')), [
    ['dario-plan-status', 'allowed'], ['dario-plan-five-hour-utilization', '0.25'], ['dario-plan-five-hour-reset', '5000'],
    ['dario-plan-seven-day-utilization', '0.5'], ['dario-plan-seven-day-reset', '9000'],
  ])
})

test('plan: images and documents of a user arrive as sent', async (context) => {
  const plan = await startPlan(context)
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }
  const pdf = { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' }, title: 't' }
  await plan.ask([user([image, pdf, { type: 'text', text: 'look' }])])
  deepStrictEqual(plan.fake.records('line')[0]?.['content'], [image, pdf, { type: 'text', text: 'look' }, { type: 'text', text: '' }])
})

test('plan: a live turn begins while its program still works on it', async (context) => {
  const plan = await startPlan(context)
  const first = await plan.ask([user('one')])
  const upstream = await plan.send([user('one'), assistant(first.message.content), user('wait')])
  const body = toReadable(upstream.body)
  const [head] = await withDeadline(once(body, 'data'), 15_000, 'the first bytes')
  body.on('error', () => {}) // it never ends by itself
  match(String(head), /message_start/)
  strictEqual(starts(plan), 1)
})
