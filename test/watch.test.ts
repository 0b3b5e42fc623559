/**
 * `dario watch`: the live view on terminals of every size, in a pipe, and in front of a dario that is not there.
 * @module
 */
import { doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { renderScreen } from '../src/cli/watch.ts'
import { createLive } from '../src/observe/live.ts'
import type { LiveState } from '../src/observe/live.ts'
import { createHome, runDario, startDario } from './helpers/command.ts'
import { startProxy } from './helpers/proxy.ts'
import { createRecord } from './helpers/record.ts'

const plain = (_style: string, text: string): string => text

function createState(): LiveState {
  const keys = [{ label: 'a#1', state: 'resting', until: 5_000, reason: 'rate_limited', family: undefined, headroom: undefined } as const]
  const live = createLive({ now: () => 1_000_000, version: '1.2.3', backends: () => [{ id: 'a', type: 'openai', keys: [...keys], waiting: 0 }] })
  for (let index = 0; index < 60; index++) {
    const record = createRecord({ id: `r${index}`, time: 999_000, model: index % 2 === 0 ? 'claude-sonnet-5' : `\u001b[2J模型${'m'.repeat(300)}`, tool: 'tool/1', totalMs: 12_345 })
    live.start?.(record)
    if (index < 55) live.end?.(record)
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

test('watch: names cannot steer the terminal', () => {
  for (const line of renderScreen(createState(), { columns: 120, rows: 60, style: plain })) doesNotMatch(line, /[^\x20-\x7e…]/)
})

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
