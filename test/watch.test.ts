/**
 * `dario watch`: the live view on terminals of every size, in a pipe, and in front of a dario that is not there.
 * @module
 */
import { doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer as createNetServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { renderScreen } from '../src/cli/watch.ts'
import { parseConfig } from '../src/config/parse.ts'
import { createLive } from '../src/observe/live.ts'
import type { RequestRecord } from '../src/index.ts'
import type { LiveState } from '../src/observe/live.ts'
import { createHome, runDario, startDario } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'
import { startProxy } from './helpers/proxy.ts'
import { createRecord } from './helpers/record.ts'
import { startUpstream } from './helpers/upstream.ts'
import { until } from './helpers/until.ts'

const plain = (_style: string, text: string): string => text

function createState(): LiveState {
  const keys = [{ label: 'a#1', state: 'resting', until: 5_000, reason: 'rate_limited', family: undefined, headroom: undefined } as const]
  const running: RequestRecord[] = []
  const live = createLive({
    now: () => 1_000_000, version: '1.2.3', backends: () => [{ id: 'a', type: 'openai', keys: [...keys], waiting: 0 }], running: () => running,
  })
  for (let index = 0; index < 60; index++) {
    const record = createRecord({ id: `r${index}`, time: 999_000, model: index % 2 === 0 ? 'claude-sonnet-5' : `\u001b[2J模型${'m'.repeat(300)}`, tool: 'tool/1', totalMs: 12_345 })
    if (index < 55) live.end?.(record)
    else running.push(record)
  }
  return live.read()
}

test('W11: on a terminal of any size no line is wider, and there are no more lines than rows', () => {
  const state = createState()
  for (let columns = 0; columns <= 220; columns++) {
    for (const rows of [0, 1, 2, 5, 24, 100]) {
      const lines = renderScreen(state, { columns, rows, style: plain })
      ok(lines.length <= Math.max(1, rows), `${columns}x${rows}`)
      for (const line of lines) ok(line.length <= Math.max(1, columns), `${columns}x${rows}: ${line}`)
    }
  }
})

test('watch: 60 columns show time, status, model, key and duration', () => {
  const lines = renderScreen(createState(), { columns: 60, rows: 24, style: plain })
  match(lines[0]!, /^dario 1\.2\.3 {2}5 running$/)
  match(lines[2]!, /^a#1 resting, rate_limited until \d\d:\d\d:\d\d$/)
  const row = lines.find((line) => line.includes(' 200 ') && line.includes('claude'))
  match(row ?? '', /^\d\d:\d\d:\d\d 200 +claude-sonnet-5 +openai#1 +12\.3 s$/)
})

test('watch: a plan\'s windows, the last errors with their remedies and where prices are from are there, as on the page', () => {
  const windows = [{ name: '5 hours', used: 0.42, resetsAt: 1_000 }, { name: '7 days', used: 0.1, resetsAt: undefined }]
  const live = createLive({ now: () => 1_000_000, version: '1', backends: () => [{ id: 'plan', type: 'claude-code', keys: [], waiting: 0, windows }], running: () => [] })
  live.end?.(createRecord({ time: 1_000, cost: { dollars: 0.5, source: "dario's table, 2026-10-27" } }))
  for (const message of ['gone', 'wait a\u001b[2J minute 分']) live.end?.(createRecord({ time: 999_000, end: 'failed', status: 429, error: { code: 'rate_limited', message } }))
  const screen = renderScreen(live.read(), { columns: 60, rows: 24, style: plain }).join('\n')
  match(screen, /\n24 h: about \$0\.50; prices: dario's table, 2026-10-27\n/)
  match(screen, /\nplan: 42 % of 5 hours used until [\d-]{10} \d\d:\d\d:\d\d\nplan: 10 % of 7 days used\n/)
  match(screen, /\n\d\d:\d\d:\d\d 429 rate_limited: wait a minute \?\n\d\d:\d\d:\d\d 429 rate_limited: gone\n/)
})

test('watch: names cannot steer the terminal', () => {
  for (const line of renderScreen(createState(), { columns: 120, rows: 60, style: plain })) doesNotMatch(line, /[^\x20-\x7e…]/)
})

/** The last whole screen that was drawn, as lines without escape sequences. */
function readScreen(output: string): string[] {
  const [, ...screens] = output.split('\u001b[H')
  const whole = screens.filter((screen) => screen.includes('\u001b[J')).at(-1) ?? ''
  return whole.slice(0, whole.indexOf('\u001b[J')).replace(/\u001b\[[\d;?]*[A-Za-z]/g, '').split(/\r?\n/)
}

// util-linux: a real terminal of any size. Elsewhere the tests of the drawing above say what there is to say.
if (process.platform === 'linux' && existsSync('/usr/bin/script')) {
  test('W11: in a real terminal of 60 columns every line fits, and after each resize again', async (context) => {
    const { url } = await startProxy(context, {})
    const send = async (): Promise<unknown> => await (await fetch(`${url}/v1/messages`, {
      method: 'POST', headers: { 'user-agent': `tool-${'n'.repeat(80)}/1` },
      body: JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] }),
    })).text()
    await send()
    const command = `tty; stty cols 60 rows 20; exec '${process.execPath}' --import '${import.meta.resolve('tsx')}' src/cli/main.ts watch --url ${url}`
    const terminal = spawn('script', ['-qfc', command, '/dev/null'], {
      cwd: new URL('..', import.meta.url), env: { PATH: process.env['PATH'], HOME: createHome(context), TERM: 'xterm' }, stdio: ['pipe', 'pipe', 'inherit'],
    })
    context.after(() => terminal.kill('SIGKILL'))
    let output = ''
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
    const ended = once(terminal, 'close')
    await until(() => / 200 +echo/.test(readScreen(output).join('\n')), 30_000)
    const device = /\/dev\/\S+/.exec(output)?.[0] ?? ''
    for (const [columns, rows] of [[60, 20], [25, 8], [7, 3], [130, 40], [60, 20]] as const) {
      output = ''
      execFileSync('stty', ['-F', device, 'cols', String(columns), 'rows', String(rows)])
      await send()
      // What was drawn just before the resize may still arrive: the next screen must fit.
      await until(() => {
        const lines = readScreen(output)
        // One that was drawn for a smaller terminal fits a larger one too, and has no room for rows.
        const isNew = columns < 60 || lines.some((line) => line.includes(' 200 '))
        return isNew && output.includes('\u001b[J') && lines.length <= rows && lines.every((line) => line.length <= columns)
      })
      if (columns >= 60) match(readScreen(output).find((line) => line.includes(' 200 ')) ?? '', /^\d\d:\d\d:\d\d 200 +echo +echo /)
    }
    terminal.stdin.write('\u0003') // Ctrl+C
    await withDeadline(ended, 10_000, 'dario watch leaving')
    match(output, /\u001b\[\?1049l\u001b\[\?25h/) // the screen that was there before, with its cursor
  })
}

test('watch: in a pipe each request is one plain line when it ends', async (context) => {
  const { url } = await startProxy(context, {})
  const watching = startDario(context, createHome(context), ['watch', '--url', url])
  const body = JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] })
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body })).text()
  const [line = ''] = await watching.says(/^\d\d:\d\d:\d\d {2}200 {2}echo .*$/m)
  match(line, /\d+ in \d+ out$/)
  watching.child.kill('SIGTERM')
  const { code, stdout } = await watching.finished
  strictEqual(code, 0)
  doesNotMatch(stdout, /\u001b/)
})

test('watch: the access key comes from DARIO_ACCESS_KEY, and without it the remedy is told', async (context) => {
  const { url } = await startProxy(context, { accessKeys: [{ name: 'me', key: 'the-access-key-1' }] })
  const home = createHome(context)
  const { code, stderr } = await runDario(context, home, ['watch', '--url', url])
  strictEqual(code, 1)
  match(stderr, /put one into DARIO_ACCESS_KEY/)
  const watching = startDario(context, home, ['watch', '--url', url], { environment: { DARIO_ACCESS_KEY: 'the-access-key-1' } })
  const body = JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] })
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body, headers: { 'x-api-key': 'the-access-key-1' } })).text()
  await watching.says(/200 {2}echo/)
})

test('watch: where nothing answers it says what to do', async (context) => {
  const { code, stderr } = await runDario(context, createHome(context), ['watch', '--url', 'http://127.0.0.1:9'])
  strictEqual(code, 1)
  match(stderr, /nothing answers at http:\/\/127\.0\.0\.1:9; start dario there/)
})

test('watch: a program that takes the connection and says nothing is not waited for', async (context) => {
  const silent = createNetServer().listen(0, '127.0.0.1')
  context.after(() => silent.close())
  await once(silent, 'listening')
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const { code, stderr } = await withDeadline(runDario(context, createHome(context), ['watch', '--url', url]), 20_000, 'giving up')
  strictEqual(code, 1)
  match(stderr, /nothing answers at/)
})

test('watch: a dario that is killed has ended, and that is no fault of this one', async (context) => {
  const upstream = await startUpstream(context, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${JSON.stringify(createState())}\n\n`, () => response.destroy())
  })
  const { code, stderr } = await runDario(context, createHome(context), ['watch', '--url', upstream.url])
  strictEqual(code, 1)
  match(stderr, /^dario: dario at http\S+ has ended/)
})

test('watch: that the access key was taken away is told as that, not as the end of dario', async (context) => {
  const keys = [{ name: 'me', key: 'the-access-key-1' }]
  const { proxy, url } = await startProxy(context, { accessKeys: [...keys, { name: 'other', key: 'the-access-key-2' }] })
  const watching = startDario(context, createHome(context), ['watch', '--url', url], { environment: { DARIO_ACCESS_KEY: 'the-access-key-2' } })
  const body = JSON.stringify({ model: 'echo', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] })
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body, headers: { 'x-api-key': 'the-access-key-1' } })).text()
  await watching.says(/200 {2}echo/)
  proxy.update(parseConfig({ accessKeys: keys }).config)
  const { code, stderr } = await watching.finished
  strictEqual(code, 1)
  match(stderr, /^dario: dario at http\S+ does not know the access key in DARIO_ACCESS_KEY; dario key add NAME makes another$/m)
})
