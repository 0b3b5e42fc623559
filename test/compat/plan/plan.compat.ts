/**
 * The plan backend over the real `claude` program, against a stand-in of the API on loopback with made-up keys.
 * Run: `node --import tsx --test test/compat/plan/plan.compat.ts` (`CLAUDE` names another program).
 * @module
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createLineReader } from '../../../src/plan/claude.ts'
import { createPlanBackend } from '../../../src/plan/plan.ts'
import type { PlanBackend, PlanOptions } from '../../../src/plan/plan.ts'
import { toArguments, toEnvironment, toRunEnvironment, writeFiles } from '../../../src/plan/program.ts'
import { readAnswer, toCall } from '../../helpers/plan.ts'
import type { Answered, Message } from '../../helpers/plan.ts'
import { until } from '../../helpers/until.ts'
import { claudeProgram } from '../programs.ts'
import { clean, startApi } from './api.ts'
import type { Api, Arrived } from './api.ts'

const command = process.env['CLAUDE'] ?? claudeProgram()
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const user = (content: unknown): Message => ({ role: 'user', content })
const text = (words: string): unknown[] => [{ type: 'text', text: words }]

interface Setup {
  api: Api
  folder: string
  create(more?: Partial<PlanOptions>): PlanBackend
  ask(backend: PlanBackend, messages: Message[], more?: object): Promise<Answered>
  folders(): string[]
}

async function setUp(context: TestContext): Promise<Setup> {
  const api = await startApi()
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'dario-compat-')))
  mkdirSync(join(folder, 'tmp'))
  const backends: PlanBackend[] = []
  context.after(async () => {
    await Promise.all(backends.map((backend) => backend.close()))
    api.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return {
    api, folder,
    create(more = {}) {
      let id = 0
      const backend = createPlanBackend({
        id: 'plan', command, env: { ANTHROPIC_API_KEY: 'sk-ant-made-up', ANTHROPIC_BASE_URL: api.url }, idleMs: 60_000, maxProcesses: 3,
        maxQueue: 8, warm: false, environment: { PATH: process.env['PATH'], HOME: folder, TMPDIR: join(folder, 'tmp'), ANTHROPIC_API_KEY: 'wrong' },
        now: Date.now, newId: (prefix) => `${prefix}_${++id}`, log: () => {}, version: '0.0.0', ...more,
      })
      backends.push(backend)
      return backend
    },
    async ask(backend, messages, more = {}) {
      const body = { model: 'claude-sonnet-4-5', max_tokens: 777, stream: true, messages: messages as never, ...more }
      return await readAnswer(await backend.send(toCall(body), undefined, AbortSignal.timeout(30_000)))
    },
    folders: () => existsSync(join(folder, 'tmp')) ? readdirSync(join(folder, 'tmp')) : [],
  }
}

const seen = (arrived: Arrived | undefined): { role: string; content: unknown }[] =>
  (arrived?.messages ?? []).map(({ role, content }) => ({ role, content: clean(content) }))

test('real: a text is answered, with system prompt, limits and model as sent', async (context) => {
  const { api, create, ask } = await setUp(context)
  const system = '  You are a test.\n\u2028 Keep  blanks. \n'
  const answer = await ask(create(), [user('hello')], { system })
  strictEqual(answer.status, 200)
  deepStrictEqual(answer.message.content, text('answer 1 to hello'))
  strictEqual(api.arrived.length, 1)
  strictEqual(api.arrived[0]?.system.at(-1)?.text, system)
  strictEqual(api.arrived[0]?.max_tokens, 777)
  strictEqual(api.arrived[0]?.model, 'claude-sonnet-4-5')
  deepStrictEqual(api.arrived[0]?.thinking, { type: 'disabled' })
  deepStrictEqual(seen(api.arrived[0]), [{ role: 'user', content: text('hello') }])
})

test('real: a loop of two parallel tools stays in one process, tools and results as sent', async (context) => {
  const { api, create, ask } = await setUp(context)
  const backend = create()
  const schema = { type: 'object', $defs: { n: { anyOf: [{ type: 'number' }, { type: 'null' }] } }, properties: { a: { $ref: '#/$defs/n' } }, required: ['a'] }
  const tools = [{ name: 'alpha', description: 'd'.repeat(9000), input_schema: schema }, { name: 'beta.read', description: 'b', input_schema: { type: 'object', properties: {} } }]
  const turns = [user('call alpha {"a":1}; call alpha {"a":2}')]
  const first = await ask(backend, turns, { tools })
  strictEqual(first.message.stop_reason, 'tool_use')
  deepStrictEqual(first.message.content.map(({ name, input }) => ({ name, input })), [{ name: 'alpha', input: { a: 1 } }, { name: 'alpha', input: { a: 2 } }])
  const ids = first.message.content.map(({ id }) => String(id))
  turns.push({ role: 'assistant', content: first.message.content })
  turns.push(user(ids.map((tool_use_id, index) => ({ type: 'tool_result', tool_use_id, content: text(`result ${index} ${'r'.repeat(400_000)}`) }))))
  const second = await ask(backend, turns, { tools })
  match(String(second.message.content[0]?.['text']), /^answer 2/)
  strictEqual(api.arrived.length, 2)
  deepStrictEqual(api.arrived[0]?.tools.map(({ description, input_schema }) => ({ description, input_schema })), tools.map(({ description, input_schema }) => ({ description, input_schema })))
  const [, call, results] = seen(api.arrived[1])
  deepStrictEqual((call?.content as { id: string }[]).map(({ id }) => id), ids)
  deepStrictEqual((results?.content as { content: { text: string }[] }[]).map(({ content }) => content[0]?.text.length), [400_009, 400_009])
})

test('real: a result of 1 MB and words beside results go whole by a transcript', async (context) => {
  const { api, create, ask, folders } = await setUp(context)
  const backend = create()
  const tools = [{ name: 'alpha', description: 'd', input_schema: { type: 'object', properties: {} } }]
  const turns = [user('call alpha {}')]
  const first = await ask(backend, turns, { tools })
  const big = 'z'.repeat(1_000_000)
  turns.push({ role: 'assistant', content: first.message.content })
  const result = { type: 'tool_result', tool_use_id: first.message.content[0]?.['id'], content: text(big) }
  await ask(backend, [...turns, user([result])], { tools })
  // The program puts its reminders after the result, with a line break in front of them.
  const arrived = (seen(api.arrived.at(-1)).at(-1)?.content as { content: { text: string }[] }[])[0]
  strictEqual(arrived?.content[0]?.text.trimEnd(), big)
  await ask(backend, [...turns, user([{ ...result, content: text('small') }, ...text('/help and @/etc/hostname')])], { tools })
  const last = seen(api.arrived.at(-1)).at(-1)?.content as { type: string; text?: string }[]
  deepStrictEqual(last.map(({ type }) => type), ['tool_result', 'text'])
  strictEqual(last[1]?.text, '/help and @/etc/hostname')
  strictEqual(api.arrived.length, 3)
  await until(() => folders().length <= 2)
})

test('real: a run that began with a transcript is live from then on', async (context) => {
  const { api, create, ask } = await setUp(context)
  const logs: string[] = []
  const backend = create({ log: (line) => logs.push(line) })
  const tools = [{ name: 'alpha', description: 'd', input_schema: { type: 'object', properties: {} } }]
  const call = { type: 'tool_use', id: 'toolu_old', name: 'alpha', input: {} }
  const turns = [user('one'), { role: 'assistant', content: [call] }, user([{ type: 'tool_result', tool_use_id: 'toolu_old', content: 'res' }])]
  const first = await ask(backend, turns, { tools })
  turns.push({ role: 'assistant', content: first.message.content }, user('call alpha {}'))
  const second = await ask(backend, turns, { tools })
  turns.push({ role: 'assistant', content: second.message.content })
  turns.push(user([{ type: 'tool_result', tool_use_id: second.message.content[0]?.['id'], content: 'res' }]))
  strictEqual((await ask(backend, turns, { tools })).status, 200)
  deepStrictEqual(logs, []) // no run ended
  strictEqual(api.arrived.length, 3)
})

test('real: images of a user and of a result arrive as sent', async (context) => {
  const { api, create, ask } = await setUp(context)
  const backend = create()
  const tools = [{ name: 'alpha', description: 'd', input_schema: { type: 'object', properties: {} } }]
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }
  const turns = [user([image, ...text('call alpha {}')])]
  const first = await ask(backend, turns, { tools })
  deepStrictEqual(seen(api.arrived[0])[0]?.content, [image, ...text('call alpha {}')])
  turns.push({ role: 'assistant', content: first.message.content })
  turns.push(user([{ type: 'tool_result', tool_use_id: first.message.content[0]?.['id'], content: [image] }]))
  await ask(backend, turns, { tools })
  const result = (seen(api.arrived[1]).at(-1)?.content as { content: unknown }[])[0]
  deepStrictEqual(result?.content, [image])
})

test('real: 30 turns with a restart in the middle hold every word', async (context) => {
  const { api, create, ask } = await setUp(context)
  let backend = create()
  const turns: Message[] = []
  for (let turn = 1; turn <= 30; turn++) {
    turns.push(user(turn % 7 === 0 ? `/help ${turn}` : `turn ${turn}`))
    const answer = await ask(backend, turns)
    turns.push({ role: 'assistant', content: answer.message.content })
    if (turn === 15) {
      await backend.close()
      backend = create()
    }
  }
  strictEqual(api.arrived.length, 30)
  const expected = turns.slice(0, -1).map(({ role, content }) => ({ role, content: typeof content === 'string' ? text(content) : content }))
  deepStrictEqual(seen(api.arrived.at(-1)), expected)
})

test('real: an edited history is what the model sees', async (context) => {
  const { api, create, ask } = await setUp(context)
  const backend = create()
  await ask(backend, [user('one')])
  await ask(backend, [user('one')], { model: 'sonnet' })
  const edited = [user('ONE, edited'), { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: 'c2ln' }, ...text('my words')] }, user('two')]
  await ask(backend, edited)
  const expected = edited.map(({ role, content }) => ({ role, content: typeof content === 'string' ? text(content) : content }))
  deepStrictEqual(seen(api.arrived.at(-1)), expected)
  // An alias: the program keeps thinking only of a turn that names the model in full. It words its reminders as system turns here.
  await ask(backend, edited, { model: 'sonnet' })
  deepStrictEqual(seen(api.arrived.at(-1)).filter(({ role }) => role !== 'system'), expected)
})

test('real: commands and file names in a user\'s text are only text', async (context) => {
  const { api, create, ask, folder } = await setUp(context)
  const file = join(folder, 'private.txt')
  writeFileSync(file, 'do not read me')
  const backend = create()
  for (const words of ['/help', '/compact now', `look at @${file}`, '# remember', '!ls', 'ultrathink']) {
    const answer = await ask(backend, [user(words)])
    strictEqual(answer.status, 200)
    deepStrictEqual(seen(api.arrived.at(-1)).at(-1)?.content, text(words))
  }
  ok(!JSON.stringify(api.arrived).includes('do not read me'))
})

test('real: at max_tokens the answer ends and the program asks at most once more', async (context) => {
  const { api, create, ask, folders } = await setUp(context)
  const answer = await ask(create(), [user('max')])
  strictEqual(answer.message.stop_reason, 'max_tokens')
  await until(() => folders().length === 0)
  ok(api.arrived.length <= 2, `${api.arrived.length} requests`)
})

test('real: a live turn adds less than 20 ms to the program\'s own time, a new run less than half of it', async (context) => {
  const { api, create, folder } = await setUp(context)
  const env = toEnvironment({ PATH: process.env['PATH'], HOME: folder }, undefined, { ANTHROPIC_API_KEY: 'sk-ant-made-up', ANTHROPIC_BASE_URL: api.url })
  const settings = { model: 'claude-sonnet-4-5', system: '', tools: [], maxTokens: 777, thinking: '0', effort: undefined }
  const live = { own: [] as number[], ours: [] as number[] }
  const fresh = { own: [] as number[], ours: [] as number[] }
  for (let round = 0; round < 5; round++) { // interleaved, since the machine's load changes
    const backend = create()
    const turns: Message[] = []
    const own = await writeFiles(join(folder, 'tmp'), '', undefined, undefined)
    const spawned = performance.now()
    const child = spawn(command, toArguments(settings, own, false), { env: { ...toRunEnvironment(settings, own, false), ...env }, cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] })
    context.after(() => { child.kill('SIGKILL') })
    let seen = (_line: { event?: { type: string }; type?: string }): void => {}
    child.stdout.setEncoding('utf8').on('data', createLineReader((line) => seen(line as never)))
    for (let turn = 0; turn < 5; turn++) {
      const began = turn === 0 ? spawned : performance.now()
      let first = 0
      await new Promise<void>((resolve) => {
        seen = (line) => {
          if (line.event?.type === 'message_start') first = performance.now() - began
          if (line.type === 'result') resolve()
        }
        child.stdin.write(`${JSON.stringify({ type: 'user', message: { role: 'user', content: text('x') } })}\n`)
      })
      ;(turn === 0 ? fresh : live).own.push(first)
      turns.push(user(`x ${turn}`))
      const asked = performance.now()
      const body = { model: 'claude-sonnet-4-5', max_tokens: 777, stream: true, messages: turns as never }
      const upstream = await backend.send(toCall(body), undefined, AbortSignal.timeout(30_000))
      ;(turn === 0 ? fresh : live).ours.push(performance.now() - asked)
      turns.push({ role: 'assistant', content: (await readAnswer(upstream)).message.content })
      await sleep(30) // a client's own time: the result line has come
    }
    child.kill('SIGKILL')
    await backend.close()
    rmSync(own, { recursive: true, force: true, maxRetries: 5 })
  }
  const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0
  const best = (values: number[]): number => Math.min(...values)
  for (const [name, { own, ours }] of Object.entries({ live, fresh })) {
    const [a, b, c, d] = [best(own), best(ours), median(own), median(ours)].map((ms) => Math.round(ms))
    context.diagnostic(`${name}: ms to the first event, the program's own and ours: best ${a} and ${b}, median ${c} and ${d}`)
  }
  // The best of each, since other work on the machine can only add.
  ok(best(live.ours) - best(live.own) < 20)
  ok(best(fresh.ours) < 1.5 * best(fresh.own))
})

test('real: a warm process answers a first turn in less than half the time of a new one', async (context) => {
  const { create, ask } = await setUp(context)
  const times = { cold: [] as number[], warm: [] as number[] }
  const memory: number[] = []
  for (let round = 0; round < 3; round++) {
    const backend = create({ warm: true })
    for (const kind of ['cold', 'warm'] as const) {
      const body = { model: 'claude-sonnet-4-5', max_tokens: 777, stream: true, messages: [user(`${kind} ${round}`)] as never }
      const asked = performance.now()
      const upstream = await backend.send(toCall(body), undefined, AbortSignal.timeout(30_000))
      times[kind].push(performance.now() - asked)
      await readAnswer(upstream)
      await sleep(2_000) // a user's own time: the spare process is up
    }
    const [pid] = process.platform === 'linux' ? execFileSync('pgrep', ['-P', String(process.pid), '-f', 'stream-json'], { encoding: 'utf8' }).split('\n') : []
    if (pid) memory.push(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024)
    await backend.close()
  }
  const [cold, warm] = [times.cold, times.warm].map((values) => Math.round(Math.min(...values)))
  context.diagnostic(`ms to the first event: cold ${cold}, warm ${warm}; one process has ${Math.round(Math.max(...memory))} MB`)
  ok(warm! < cold! / 2)
  strictEqual((await ask(create(), [user('x')])).status, 200)
})

test('real: check finds the version and the login state', async (context) => {
  const { create } = await setUp(context)
  const status = await create().check()
  strictEqual(status.version, '2.1.330')
  strictEqual(status.loggedIn, true)
  const out = await create({ env: {} }).check()
  deepStrictEqual([out.loggedIn, out.ok], [false, false])
})

test('real: no login is a 401 with the remedy', async (context) => {
  const { create, ask } = await setUp(context)
  const answer = await ask(create({ env: {} }), [user('x')])
  strictEqual(answer.status, 401)
  match(answer.message.error?.message ?? '', /claude auth login/)
})

test('real: a call to a tool that the client never offered reaches the client, and its result the model', async (context) => {
  const { api, create, ask } = await setUp(context)
  const backend = create()
  const tools = [{ name: 'alpha', description: 'd', input_schema: { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] } }]
  const turns = [user('call nowhere {}; call alpha {"a":"not a number"}')]
  const first = await ask(backend, turns, { tools })
  deepStrictEqual(first.message.content.map(({ name }) => name), ['nowhere', 'alpha'])
  turns.push({ role: 'assistant', content: first.message.content })
  turns.push(user(first.message.content.map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: 'mine' }))))
  const second = await ask(backend, turns, { tools })
  strictEqual(second.status, 200)
  const results = seen(api.arrived.at(-1)).at(-1)?.content as { content: unknown }[]
  deepStrictEqual(results.map(({ content }) => content), ['mine', 'mine'])
})

test('real: an input that does not fit the schema still reaches the client and stays in the live run', async (context) => {
  const { api, create, ask } = await setUp(context)
  const backend = create()
  const tools = [{ name: 'alpha', description: 'd', input_schema: { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] } }]
  const turns = [user('call alpha {"b":"x"}')]
  const first = await ask(backend, turns, { tools })
  deepStrictEqual(first.message.content[0]?.['input'], { b: 'x' })
  turns.push({ role: 'assistant', content: first.message.content })
  turns.push(user([{ type: 'tool_result', tool_use_id: first.message.content[0]?.['id'], content: 'mine' }]))
  strictEqual((await ask(backend, turns, { tools })).status, 200)
  ok(JSON.stringify(api.arrived.at(-1)?.messages.at(-1)).includes('mine'))
})

test('real: 25 parallel calls are answered in one turn', async (context) => {
  const { api, create, ask } = await setUp(context)
  const backend = create()
  const tools = [{ name: 'alpha', description: 'd', input_schema: { type: 'object', properties: {} } }]
  const turns = [user(Array.from({ length: 25 }, () => 'call alpha {}').join('; '))]
  const first = await ask(backend, turns, { tools })
  strictEqual(first.message.content.length, 25)
  turns.push({ role: 'assistant', content: first.message.content })
  turns.push(user(first.message.content.map(({ id }, index) => ({ type: 'tool_result', tool_use_id: id, content: `r${index}` }))))
  strictEqual((await ask(backend, turns, { tools })).status, 200)
  strictEqual(api.arrived.length, 2)
})

test('real: a client that leaves while calls are parked leaves no process and no file', async (context) => {
  const { api, create, ask, folders } = await setUp(context)
  const backend = create({ idleMs: 200 })
  const tools = [{ name: 'alpha', description: 'd', input_schema: { type: 'object', properties: {} } }]
  await ask(backend, [user('call alpha {}')], { tools })
  await until(() => folders().length === 0)
  strictEqual(api.arrived.length, 1)
})

test('real: when dario is killed no process, no file and no further request is left', async (context) => {
  const { api, folder, folders } = await setUp(context)
  const script = fileURLToPath(new URL('../../helpers/plan-host.ts', import.meta.url))
  const env = JSON.stringify({ ANTHROPIC_API_KEY: 'sk-ant-made-up', ANTHROPIC_BASE_URL: api.url })
  const host = spawn(process.execPath, ['--import', 'tsx', script, command, folder, env], { stdio: ['ignore', 'pipe', 'inherit'] })
  context.after(() => { host.kill('SIGKILL') })
  await once(host.stdout, 'data') // one run is idle, one parked, one streams
  strictEqual(folders().length, 3)
  host.kill('SIGKILL')
  await until(() => folders().length === 0, 5_000) // the guard deletes them after it killed
  strictEqual(api.arrived.length, 3)
})
