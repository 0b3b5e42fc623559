import { deepStrictEqual, doesNotMatch, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { queryObjects } from 'node:v8'
import { KILL_MS } from '../src/plan/claude.ts'
import { findProgram, toCommandLine, toEnvironment } from '../src/plan/program.ts'
import { DarioError } from '../src/errors.ts'
import { withDeadline } from './helpers/deadline.ts'
import { isAlive } from './helpers/fake-claude.ts'
import { GET_TOOL, readAnswer, startPlan, toCall } from './helpers/plan.ts'
import type { Message } from './helpers/plan.ts'
import { until } from './helpers/until.ts'
import { toReadable } from '../src/backends/source.ts'

const user = (content: unknown): Message => ({ role: 'user', content })
const assistant = (content: unknown): Message => ({ role: 'assistant', content })
const SECRET = 'a very private prompt'

test('L1: nothing of a prompt, a tool or a secret is in argv, and its files are private', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('x'), assistant(SECRET), user(SECRET)], { system: SECRET, tools: [{ name: 'hidden_tool', input_schema: {} }] })
  const [start] = plan.fake.records('start')
  const argv = JSON.stringify(start?.['argv'])
  doesNotMatch(argv, /private prompt|hidden_tool|Bearer/)
  deepStrictEqual(start?.['modes'], [0o600, 0o600])
})

test('L1: a prompt of 3 MB with line breaks arrives whole', async (context) => {
  const plan = await startPlan(context)
  const text = `400 ${'line\r\n\u2028 '.repeat(400_000)}`
  await plan.ask([user(text)])
  deepStrictEqual(plan.fake.records('line')[0]?.['content'], [{ type: 'text', text }, { type: 'text', text: '' }])
})

test('L1: a model name that could be an option or a command is refused', async (context) => {
  const plan = await startPlan(context)
  for (const model of ['--dangerously-skip-permissions', 'a b', 'x"&calc', '']) {
    const answer = await plan.ask([user('x')], { model })
    strictEqual(answer.status, 400)
    match(answer.message.error?.message ?? '', /^model: /)
  }
  strictEqual(plan.fake.records('start').length, 0)
})

test('L2: the program is found on PATH; on Windows an exe wins over a shim', async (context) => {
  const { fake } = await startPlan(context)
  const folder = join(fake.folder, 'win dows')
  mkdirSync(folder)
  const make = (name: string): void => writeFileSync(join(folder, name), '', { mode: 0o755 })
  const find = (command: string | undefined, platform: string): string | undefined =>
    findProgram(command, { PATH: platform === 'win32' ? `C:\\nowhere;${folder}` : `/nowhere:${folder}` }, platform)
  strictEqual(find(undefined, 'win32'), undefined)
  make('claude.cmd')
  strictEqual(find(undefined, 'win32'), join(folder, 'claude.cmd'))
  make('claude.exe')
  strictEqual(find(undefined, 'win32'), join(folder, 'claude.exe'))
  strictEqual(find('claude.cmd', 'win32'), join(folder, 'claude.cmd'))
  strictEqual(find(undefined, 'linux'), undefined)
  mkdirSync(join(folder, 'claude'))
  strictEqual(find(undefined, 'linux'), undefined) // a folder of that name is not it
  symlinkSync(fake.command, join(folder, 'claude2'))
  strictEqual(find('claude2', 'linux'), join(folder, 'claude2'))
  strictEqual(find(join(folder, 'claude.exe'), 'linux'), join(folder, 'claude.exe'))
})

test('L2: a program that is named by a relative path has its full one, since it starts in another folder', async (context) => {
  const { fake } = await startPlan(context)
  strictEqual(findProgram(relative(process.cwd(), fake.command), {}), fake.command)
  strictEqual(findProgram('~/bin/claude', { HOME: fake.folder }), fake.command)
  strictEqual(findProgram(undefined, { PATH: relative(process.cwd(), dirname(fake.command)) }), fake.command)
})

test('L2: a shim is called through cmd with every argument escaped twice', () => {
  const line = toCommandLine('C:\\Program Files\\claude.cmd', ['--tools', '', 'a b', 'x"&y', 'end\\'])
  strictEqual(line, '"^"C:\\Program^ Files\\claude.cmd^" ^^^"--tools^^^" ^^^"^^^" ^^^"a^^^ b^^^" ^^^"x\\^^^"^^^&y^^^" ^^^"end\\\\^^^""')
})

test('L3: a missing program is an error that says what to do, and dario lives on', async (context) => {
  for (const command of ['/nowhere/claude', 'no-such-claude']) {
    const plan = await startPlan(context, {}, { command })
    await rejects(plan.ask([user('x')]), (error: DarioError) => {
      strictEqual(error.code, 'upstream_unreachable')
      match(error.message, /is not a program; install Claude Code or set the backend's "command"/)
      return true
    })
    const status = await plan.backend.check()
    strictEqual(status.ok, false)
    match(status.hint ?? '', /was not found/)
  }
})

test('L3: a file that cannot be executed is an error, and dario lives on', async (context) => {
  const first = await startPlan(context)
  const command = join(first.fake.folder, 'broken')
  writeFileSync(command, '#!/nowhere/interpreter\n', { mode: 0o755 })
  const plan = await startPlan(context, {}, { command })
  await rejects(plan.ask([user('x')]), { code: 'upstream_unreachable', message: /could not be started.*ENOENT/ })
  await until(() => plan.folders().length === 0)
})

test('L3: a process that the system refuses to start is an error, and nothing of it is left', async (context) => {
  const plan = await startPlan(context, {}, { env: { LONG: 'x'.repeat(200_000) } }) // one variable may have 128 KiB
  await rejects(plan.ask([user('x')], { tools: [GET_TOOL] }), /could not be started: spawn E2BIG/)
  await until(() => plan.folders().length === 0)
  match((await plan.backend.check()).hint ?? '', /did not answer with a version/)
})

test('L4: the last lines of stderr are in the error, without secrets', async (context) => {
  const words = 'unknown option --foo\ntoken sk-ant-oat01-abcdefghijk and pass hunter22hunter22'
  const plan = await startPlan(context, { exit: { code: 3, words } }, { env: { MY_PASS: 'hunter22hunter22' } })
  await rejects(plan.ask([user('x')]), (error: DarioError) => {
    strictEqual(error.code, 'upstream_unreachable')
    match(error.message, /exit code 3: unknown option --foo \| token \[redacted\] and pass \[redacted\]/)
    return true
  })
  strictEqual(plan.fake.records('start').length, 1)
})

test('L4: a program that exits in mid-answer breaks the stream with its last words', async (context) => {
  const plan = await startPlan(context)
  const upstream = await plan.send([user('crash')])
  strictEqual(upstream.status, 200)
  await rejects(readAnswer(upstream), { code: 'upstream_unreachable', message: /mid-answer \(exit code 7: boom \[redacted\]\)/ })
  await rejects(plan.ask([user('crash')], { stream: false }), { code: 'upstream_unreachable' })
  await until(() => plan.folders().length === 0)
})

test('L4: a secret on stderr that comes in two pieces is not shown in part', async (context) => {
  const plan = await startPlan(context)
  await rejects(plan.ask([user('mutter')]), { message: /\(exit code 7: boom \[redacted\]\)/ })
})

test('L5: a loop of many tool turns has no cap and stays in one process', async (context) => {
  const plan = await startPlan(context)
  let history = [user('call get {}')]
  for (let turn = 0; turn < 12; turn++) {
    const call = await plan.ask(history, { tools: [GET_TOOL] })
    const id = call.message.content[0]?.['id']
    history = [...history, assistant(call.message.content), user([{ type: 'tool_result', tool_use_id: id, content: 'r' }])]
    const words = await plan.ask(history, { tools: [GET_TOOL] })
    history = [...history, assistant(words.message.content), user('call get {}')]
  }
  strictEqual(plan.fake.records('start').length, 1)
  doesNotMatch(JSON.stringify(plan.fake.records('start')), /max-turns/)
})

test('L6: a refused transcript falls back once to quoted, labelled history', async (context) => {
  const plan = await startPlan(context, { refuseResume: true })
  const answer = await plan.ask([user('one'), assistant([{ type: 'tool_use', id: 't1', name: 'get', input: { a: 1 } }]), user([{ type: 'tool_result', tool_use_id: 't1', content: 'res' }, { type: 'text', text: 'two' }])])
  strictEqual(answer.status, 200)
  strictEqual(answer.headers['dario-plan-history'], 'quoted')
  strictEqual(plan.fake.records('start').length, 2)
  const [quote, last, guard] = plan.fake.records('line')[0]?.['content'] as { text: string }[]
  match(quote?.text ?? '', /quoted and untrusted.*user: one.*\[called get .*\[result/s)
  deepStrictEqual([last?.text, guard?.text], ['two', ''])
})

test('L6: a client that leaves while its run is started is no refused transcript', async (context) => {
  const plan = await startPlan(context)
  const controller = new AbortController()
  const asked = plan.ask([user('one'), assistant('a'), user('two')], {}, controller.signal).then(() => 'answered', (error: Error) => error.message)
  while (plan.folders().length === 0) await new Promise(setImmediate) // its files come before it
  controller.abort(new Error('left'))
  strictEqual(await asked, 'left')
  doesNotMatch(plan.logs.join('\n'), /refused/)
})

test('L6: a fallback that fails too is an error, not a third try', async (context) => {
  const plan = await startPlan(context, { exit: { code: 1, words: 'no' } })
  await rejects(plan.ask([user('one'), assistant('a'), user('two')]), { code: 'upstream_unreachable' })
  strictEqual(plan.fake.records('start').length, 2)
})

test('L7: the configuration folder is passed only when it was chosen, and never touched', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('x')])
  strictEqual((plan.fake.records('start')[0]?.['env'] as Record<string, string>)['CLAUDE_CONFIG_DIR'], undefined)
  const configDir = join(plan.fake.folder, 'second-login')
  const toSeen = (given: string): unknown => toEnvironment({ HOME: plan.fake.folder }, given, {})['CLAUDE_CONFIG_DIR']
  deepStrictEqual([toSeen('~/second-login'), toSeen(relative(process.cwd(), configDir))], [configDir, configDir])
  const second = await startPlan(context, {}, { configDir })
  await second.ask([user('x')])
  strictEqual((second.fake.records('start')[0]?.['env'] as Record<string, string>)['CLAUDE_CONFIG_DIR'], configDir)
  deepStrictEqual(readdirSync(second.fake.folder).sort(), ['.dario', 'bin', 'records.jsonl', 'scenario.json', 'tmp'])
})

test('L8: no built-in tools, no settings of the machine, and one empty working directory per backend', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('x')])
  await plan.ask([user('y')])
  const [first, second] = plan.fake.records('start')
  const argv = first?.['argv'] as string[]
  strictEqual(argv[argv.indexOf('--tools') + 1], '')
  strictEqual(argv[argv.indexOf('--setting-sources') + 1], '')
  ok(argv.includes('--strict-mcp-config'))
  strictEqual(first?.['cwd'], join(plan.fake.folder, '.dario', 'plan', 'plan'))
  strictEqual(second?.['cwd'], first?.['cwd'])
  deepStrictEqual(first?.['cwdEntries'], [])
})

test('L9: the program sees an allow-list of variables, and no key or base URL', () => {
  const env = toEnvironment({
    PATH: '/bin', HOME: '/home/u', LANG: 'C', https_proxy: 'http://p', no_proxy: 'intern', ANTHROPIC_API_KEY: 'k', ANTHROPIC_BASE_URL: 'http://dario',
    ANTHROPIC_AUTH_TOKEN: 't', OPENAI_API_KEY: 'o', CLAUDECODE: '1', NODE_OPTIONS: '--require x', CLAUDE_CODE_OAUTH_TOKEN: 'x', LD_PRELOAD: 'y',
  }, undefined, { EXTRA: 'yes' })
  const own = Object.keys(env).filter((name) => !name.startsWith('CLAUDE_CODE_') && !name.startsWith('DISABLE_'))
  deepStrictEqual(own.sort(), ['ENABLE_TOOL_SEARCH', 'EXTRA', 'HOME', 'LANG', 'NO_PROXY', 'PATH', 'https_proxy', 'no_proxy'])
  strictEqual(env['NO_PROXY'], 'intern,127.0.0.1')
  strictEqual(toEnvironment({ NO_PROXY: '', no_proxy: 'intern' }, undefined, {})['NO_PROXY'], 'intern,127.0.0.1') // '' is unset (X6)
  strictEqual(env['CLAUDE_CODE_OAUTH_TOKEN'], undefined)
  strictEqual(env['CLAUDE_CODE_DISABLE_ATTACHMENTS'], '1')
})

test('L9: temporary files and the cache of a run lie in its own folder, which goes with it', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('x')])
  const env = plan.fake.records('start')[0]?.['env'] as Record<string, string>
  const [folder] = plan.folders()
  strictEqual(env['TMPDIR'], join(plan.fake.folder, 'tmp', folder ?? '', 'tmp'))
  strictEqual(env['XDG_CACHE_HOME'], join(plan.fake.folder, 'tmp', folder ?? '', 'cache'))
  await plan.backend.close()
  deepStrictEqual(plan.folders(), [])
})

test('plan: a temporary folder that is named by a relative path, or not at all, serves as well', async (context) => {
  const home = mkdtempSync(join(tmpdir(), 'dario-test-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  for (const TMPDIR of [relative(process.cwd(), home), '']) {
    const plan = await startPlan(context, {}, { environment: { PATH: process.env['PATH'], HOME: home, TMPDIR } })
    strictEqual((await plan.ask([user('x')])).status, 200)
    const argv = plan.fake.records('start')[0]?.['argv'] as string[]
    strictEqual(dirname(dirname(argv[argv.indexOf('--mcp-config') + 1] ?? '')), TMPDIR === '' ? tmpdir() : home)
    await plan.backend.close()
  }
})

test('L10: version and login are asked once and cached for a minute', async (context) => {
  let now = 0
  const plan = await startPlan(context, {}, { now: () => now })
  const status = await plan.backend.check()
  deepStrictEqual(status, { program: plan.fake.command, version: '2.1.330', loggedIn: true, login: 'claude.ai', ok: true, hint: undefined })
  await plan.backend.check()
  strictEqual(plan.fake.records('version').length, 1)
  now = 61_000
  await plan.backend.check()
  strictEqual(plan.fake.records('version').length, 2)
  now = -86_400_000 // the clock was set back
  await plan.backend.check()
  strictEqual(plan.fake.records('version').length, 3)
})

test('L10: not logged in and too old are said with the remedy', async (context) => {
  const out = await startPlan(context, { loggedIn: false })
  const status = await out.backend.check()
  deepStrictEqual([status.ok, status.hint], [false, 'not logged in; run "claude auth login"'])
  const old = await (await startPlan(context, { version: '2.0.99 (Claude Code)' })).backend.check()
  strictEqual(old.ok, true)
  match(old.hint ?? '', /2\.0\.99 is older than 2\.1\.330/)
  const odd = await (await startPlan(context, { version: 'hello' })).backend.check()
  strictEqual(odd.ok, false)
})

test('L11: over the cap the longest idle run makes way', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 2 })
  for (const text of ['a', 'b', 'c']) await plan.ask([user(text)])
  const pids = plan.fake.records('start').map(({ pid }) => pid)
  strictEqual(isAlive(pids[0] ?? 0), false)
  strictEqual(isAlive(pids[1] ?? 0), true)
  strictEqual(plan.folders().length, 2)
})

test('L11: over the cap a run that is only kept warm makes way before one that holds a conversation', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 2, warm: true })
  const first = await plan.ask([user('one')])
  await until(() => plan.fake.records('start').length === 2)
  await plan.ask([user('another')], { system: 'another prompt' })
  const second = await plan.ask([user('one'), assistant(first.message.content), user('two')])
  strictEqual(second.message.content.at(-1)?.['text'], '3: two')
  strictEqual(plan.fake.records('transcript').length, 0)
})

test('L11: when all are busy a request waits its turn; when the queue is full it is a 529', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 1, maxQueue: 1 })
  const controller = new AbortController()
  const busy = await plan.send([user('wait')], {}, controller.signal)
  toReadable(busy.body).on('error', () => {}).resume()
  const waiting = plan.ask([user('say mine')])
  const refused = await plan.ask([user('too many')])
  strictEqual(refused.status, 529)
  strictEqual(refused.message.error?.type, 'overloaded_error')
  match(refused.message.error?.message ?? '', /maxProcesses/)
  controller.abort()
  strictEqual((await waiting).message.content.at(-1)?.['text'], 'mine')
})

test('L11: a process that is ending for a request is no reason to refuse the next one', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 1, maxQueue: 1 })
  await plan.ask([user('say idle')])
  const answers = await Promise.all(['b', 'c'].map((text) => plan.ask([user(`say ${text}`)])))
  deepStrictEqual(answers.map(({ status }) => status), [200, 200])
})

test('L11: a client that leaves while it waits gives up its place in the queue', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 1, maxQueue: 1 })
  const first = new AbortController()
  const busy = await plan.send([user('wait')], {}, first.signal)
  toReadable(busy.body).on('error', () => {}).resume()
  const second = new AbortController()
  const left = plan.ask([user('x')], {}, second.signal).then(() => 'answered', (error: Error) => error.message)
  second.abort(new Error('left'))
  strictEqual(await left, 'left')
  const third = plan.ask([user('say third')])
  first.abort()
  strictEqual((await third).message.content.at(-1)?.['text'], 'third')
})

test('L11: 20 requests at once on 3 processes are all answered', async (context) => {
  const plan = await startPlan(context, {}, { maxProcesses: 3, maxQueue: 20 })
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => plan.ask([user(`say ${index}`)])))
  deepStrictEqual(answers.map((answer) => answer.message.content.at(-1)?.['text']), answers.map((_, index) => String(index)))
  ok(plan.folders().length <= 3)
})

test('L11: when dario is killed no process and no file is left', async (context) => {
  const plan = await startPlan(context)
  const script = fileURLToPath(new URL('./helpers/plan-host.ts', import.meta.url))
  const host = spawn(process.execPath, ['--import', 'tsx', script, plan.fake.command, plan.fake.folder], {
    stdio: ['ignore', 'pipe', 'inherit'], cwd: fileURLToPath(new URL('..', import.meta.url)),
  })
  context.after(() => { host.kill('SIGKILL') })
  await once(host.stdout, 'data') // it says so when one run streams, one is parked and one is idle
  const pids = plan.fake.records('start').map(({ pid }) => pid)
  strictEqual(pids.filter(isAlive).length, 3)
  host.kill('SIGKILL')
  await until(() => !pids.some(isAlive))
  await until(() => plan.folders().length === 0)
  strictEqual(plan.fake.records('request').length, 3) // none asked the model again
})

test('L11: a process that has nothing else to do ends, although a run is idle and one is parked', async (context) => {
  const plan = await startPlan(context)
  const script = fileURLToPath(new URL('./helpers/plan-host.ts', import.meta.url))
  const host = spawn(process.execPath, ['--import', 'tsx', script, plan.fake.command, plan.fake.folder, '{}', 'done'], {
    stdio: ['ignore', 'ignore', 'inherit'], cwd: fileURLToPath(new URL('..', import.meta.url)),
  })
  context.after(() => { host.kill('SIGKILL') })
  deepStrictEqual(await withDeadline(once(host, 'exit'), 15_000, 'the end of the process'), [0, null])
  await until(() => !plan.fake.records('start').some(({ pid }) => isAlive(pid)))
  await until(() => plan.folders().length === 0)
})

test('plan: a program that ends is over at once, although something that it started holds its output', async (context) => {
  const plan = await startPlan(context)
  await rejects(plan.ask([user('heir')]), { code: 'upstream_unreachable', message: /exit code 7/ })
  const [heir] = plan.fake.records('heir')
  await until(() => !isAlive(Number(heir?.pid)))
})

test('plan: a program that ends is over, although something out of reach holds its output', async (context) => {
  const plan = await startPlan(context)
  context.after(() => { for (const { pid } of plan.fake.records('heir')) process.kill(pid, 'SIGKILL') })
  await rejects(plan.ask([user('runaway')]), { code: 'upstream_unreachable', message: /exit code 7/ })
})

test('plan: a program that ends is over, although something out of reach prints for ever', async (context) => {
  const plan = await startPlan(context)
  context.after(() => until(() => plan.fake.records('heir').every(({ pid }) => !isAlive(pid)))) // nobody reads it any more
  await withDeadline(rejects(plan.ask([user('chatter')]), /exit code 7/), 20_000, 'the end')
})

test('plan: closing does not wait for a process that SIGKILL does not end, and says which it is', async (context) => {
  const plan = await startPlan(context)
  const streaming = await plan.send([user('wait')])
  const [{ pid } = { pid: 0 }] = plan.fake.records('start')
  const kill = context.mock.method(process, 'kill', () => true)
  const told = rejects(readAnswer(streaming), { code: 'upstream_unreachable' })
  await withDeadline(plan.backend.close(), KILL_MS + 20_000, 'the close')
  await told
  kill.mock.restore() // without its pipes the stand-in ends by itself
  strictEqual(plan.logs.filter((line) => line.includes(`process ${pid} has not ended`)).length, 1)
  deepStrictEqual(plan.folders(), [])
})

test('L10: of a program that prints more than a text can hold the beginning is read', async (context) => {
  const plan = await startPlan(context)
  writeFileSync(plan.fake.command, '#!/bin/sh\nyes 2.1.330 | head -c 600000000\n', { mode: 0o755 })
  strictEqual((await plan.backend.check()).version, '2.1.330')
})

test('plan: a home folder that could not be written is tried again by the next request', async (context) => {
  const plan = await startPlan(context)
  writeFileSync(join(plan.fake.folder, '.dario'), '')
  await rejects(plan.ask([user('x')]), { code: 'upstream_unreachable', message: /check TMPDIR and ~\/\.dario/ })
  rmSync(join(plan.fake.folder, '.dario'))
  strictEqual((await plan.ask([user('x')])).status, 200)
})

test('plan: runs that are over are forgotten', async (context) => {
  const plan = await startPlan(context)
  const count = (): number => queryObjects(ChildProcess, { format: 'count' })
  const before = count()
  for (let turn = 0; turn < 4; turn++) await plan.ask([user('max')])
  await until(() => plan.folders().length === 0)
  await until(() => count() - before < 2) // of four children and as many guards
})

test('plan: a run whose files cannot all be written leaves none of them', async (context) => {
  const fake = (await startPlan(context)).fake
  // So deep that the folder's own path is still legal and that of a file in it is not.
  const depth = (process.platform === 'linux' ? 4_095 : 1_023) - 25
  let folder = join(fake.folder, 'deep')
  while (folder.length < depth) folder += `/${'d'.repeat(Math.min(200, depth - 1 - folder.length))}`
  mkdirSync(folder, { recursive: true })
  const plan = await startPlan(context, {}, { environment: { PATH: process.env['PATH'], HOME: fake.folder, TMPDIR: folder } })
  await rejects(plan.ask([user('x')]), { code: 'upstream_unreachable', message: /ENAMETOOLONG/ })
  deepStrictEqual(readdirSync(folder), [])
})

test('plan: a request that waits gets the place of a run that was kept warm', async (context) => {
  const plan = await startPlan(context, {}, { warm: true, maxProcesses: 2 })
  const controller = new AbortController()
  await plan.send([user('wait')], {}, controller.signal)
  const answer = await plan.ask([user('say mine')], { system: 'another prompt' }) // while the warm one is being started
  strictEqual(answer.message.content.at(-1)?.['text'], 'mine')
  controller.abort()
})

test('L12: the model name is passed as given', async (context) => {
  const plan = await startPlan(context)
  await plan.ask([user('x')], { model: 'claude-opus-4-6[1m]' })
  const argv = plan.fake.records('start')[0]?.['argv'] as string[]
  strictEqual(argv[argv.indexOf('--model') + 1], 'claude-opus-4-6[1m]')
})

for (const [word, status, type, text] of [
  ['529', 529, 'overloaded_error', /Overloaded/],
  ['429', 429, 'rate_limit_error', /hit your limit/],
  ['400', 400, 'invalid_request_error', /^prompt is too long/],
  ['401', 401, 'authentication_error', /claude auth login/],
  ['itself', 502, 'api_error', /by itself/],
] as const) {
  test(`plan: a failure report of ${word} is an answer with status ${status}, and its run ends`, async (context) => {
    const plan = await startPlan(context, {}, { now: () => 1_900_000 })
    for (const stream of [true, false]) {
      const answer = await plan.ask([user(word)], { stream })
      strictEqual(answer.status, status)
      strictEqual(answer.headers['content-type'], 'application/json')
      strictEqual(answer.message.error?.type, type)
      match(answer.message.error?.message ?? '', text)
      strictEqual(answer.headers['retry-after'], word === '429' ? '100' : undefined)
      strictEqual(answer.headers['dario-plan-status'], word === '429' ? 'rejected' : undefined)
    }
    await until(() => plan.folders().length === 0)
  })
}

test('plan: a 429 that is not of a window does not wait for one', async (context) => {
  const plan = await startPlan(context, {}, { now: () => 1_900_000 })
  await plan.ask([user('say hello')])
  await until(() => plan.backend.limits()?.status === 'allowed')
  const answer = await plan.ask([user('burst')])
  deepStrictEqual([answer.status, answer.headers['retry-after']], [429, undefined])
})

test('plan: an error after the answer began ends the stream with an error event', async (context) => {
  const plan = await startPlan(context)
  const answer = await plan.ask([user('cut')])
  strictEqual(answer.status, 200)
  strictEqual(answer.events.at(-1)?.['type'], 'error')
  match(answer.message.error?.message ?? '', /the connection broke/)
  strictEqual(answer.message.stop_reason, null)
})

test('plan: garbage between the lines is left out', async (context) => {
  const plan = await startPlan(context, { garbage: true })
  const answer = await plan.ask([user('hello')])
  strictEqual(answer.message.content.at(-1)?.['text'], '1: hello')
})

test('plan: a program that stays silent is given up in time', async (context) => {
  const plan = await startPlan(context, { hang: true }, { startMs: 100 })
  await rejects(plan.ask([user('x')]), { code: 'upstream_timeout', message: /nothing for 100 ms/ })
  await until(() => plan.folders().length === 0)
})

test('plan: who is answered by nobody since dario closes is told so', async (context) => {
  const plan = await startPlan(context, { hang: true })
  const asked = plan.ask([user('x')])
  await until(() => plan.fake.records('start').length === 1)
  await plan.backend.close()
  const { status, message } = await asked
  deepStrictEqual([status, message.error?.message], [529, 'dario is closing; try again when it is back'])
})

test('plan: only callers on this machine are served', async (context) => {
  const plan = await startPlan(context)
  const call = toCall({ model: 'opus', messages: [user('x')] as never }, { loopback: false })
  await rejects(plan.backend.send(call, undefined, new AbortController().signal), { code: 'permission', status: 403 })
  strictEqual(plan.fake.records('start').length, 0)
})

test('plan: models are listed, other paths are a 404 in the right envelope', async (context) => {
  const plan = await startPlan(context)
  const signal = new AbortController().signal
  const models = await plan.backend.send(toCall({}, { method: 'GET', path: '/v1/models?limit=5' }), undefined, signal)
  const listed = JSON.parse((await readAnswer(models)).text) as { data: { id: string }[] }
  deepStrictEqual(listed.data.map(({ id }) => id), ['opus', 'sonnet', 'haiku'])
  const count = await readAnswer(await plan.backend.send(toCall({}, { path: '/v1/messages/count_tokens' }), undefined, signal))
  strictEqual(count.status, 404)
  strictEqual(count.message.error?.type, 'not_found_error')
})

for (const [name, body, text] of [
  ['no messages', { messages: [] }, /^messages: /],
  ['an empty last message', { messages: [user('')] }, /last user message is empty/],
  ['a double tool name', { messages: [user('x')], tools: [GET_TOOL, GET_TOOL] }, /tools\[1\]\.name: "get" is there twice/],
  ['a tool without a name', { messages: [user('x')], tools: [{}] }, /tools\[0\]\.name/],
  ['a content that is no list', { messages: [user(7)] }, /messages\[0\]\.content/],
  ['a last message of blanks', { messages: [user([{ type: 'text', text: ' ' }, { type: 'text', text: '\n' }])] }, /last user message is empty/],
  ['a role of another API', { messages: [user('x'), { role: 'tool', content: 'y' }] }, /^messages\[1\]\.role: /],
  ['a message without a role', { messages: [{ content: 'x' }] }, /^messages\[0\]\.role: /],
] as const) {
  test(`plan: ${name} is a 400 that names the place`, async (context) => {
    const plan = await startPlan(context)
    const answer = await plan.ask([], body as never)
    strictEqual(answer.status, 400)
    strictEqual(answer.message.error?.type, 'invalid_request_error')
    match(answer.message.error?.message ?? '', text)
  })
}

test('Q1: server-held threads are refused in the words that the SDK understands', async (context) => {
  const plan = await startPlan(context)
  const answer = await plan.ask([user('x')], { thread: { type: 'create' } })
  strictEqual(answer.status, 400)
  deepStrictEqual(answer.message.error?.details, { error_code: 'thread_unsupported_request', unsupported: ['thread'] })
})
