import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readHistory } from '../src/observe/history.ts'
import { encodeRow } from '../src/observe/row.ts'
import { createLive } from '../src/observe/live.ts'
import { readDay, readUsage, toLocalDay } from '../src/observe/usage.ts'
import { createHome, runDario } from './helpers/command.ts'
import { startProxy } from './helpers/proxy.ts'
import { createRecord } from './helpers/record.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import type { RequestRecord } from '../src/index.ts'

function write(folder: string, records: readonly Partial<RequestRecord>[]): void {
  mkdirSync(folder, { recursive: true })
  for (const given of records) {
    const record = createRecord(given)
    const time = new Date(record.time).toISOString()
    writeFileSync(join(folder, `${time.slice(0, 10)}.jsonl`), encodeRow(record, time), { flag: 'a' })
  }
}

const NOON = Date.parse('2026-11-20T12:00:00Z')

test('usage: what was added to a day since it was summed is added to the sum', (t) => {
  const folder = createHome(t)
  write(folder, [{ time: NOON }, { time: NOON, end: 'failed', usage: undefined }])
  const before = readDay(folder, '2026-11-20')
  write(folder, [{ time: NOON, end: 'cancelled' }])
  const [group, ...rest] = readDay(folder, '2026-11-20')
  strictEqual(before.length, 1)
  deepStrictEqual(rest, [])
  deepStrictEqual([group!.requests, group!.failed, group!.cancelled, group!.input, group!.output], [3, 1, 1, 20, 10])
})

test('usage: a day that did not change is read from its sum alone', (t) => {
  const folder = createHome(t)
  write(folder, [{ time: NOON }])
  const first = readDay(folder, '2026-11-20')
  const file = join(folder, '2026-11-20.jsonl')
  writeFileSync(file, ' '.repeat(statSync(file).size))
  deepStrictEqual(readDay(folder, '2026-11-20'), first)
})

test('usage: a line cut by a crash counts neither now nor twice when its rest comes', (t) => {
  const folder = createHome(t)
  write(folder, [{ time: NOON }])
  const file = join(folder, '2026-11-20.jsonl')
  const line = readFileSync(file, 'utf8')
  writeFileSync(file, line.slice(0, 50), { flag: 'a' })
  strictEqual(readDay(folder, '2026-11-20')[0]?.requests, 1)
  writeFileSync(file, line.slice(50), { flag: 'a' })
  strictEqual(readDay(folder, '2026-11-20')[0]?.requests, 2)
})

test('usage: sums of another zone, another version or of a broken file are made anew', (t) => {
  const folder = createHome(t)
  write(folder, [{ time: NOON }])
  const first = readDay(folder, '2026-11-20')
  const file = join(folder, '2026-11-20.summary.json')
  const summary = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  for (const text of [JSON.stringify({ ...summary, zone: 'Mars/Olympus', groups: [] }), JSON.stringify({ ...summary, version: 0, groups: [] }), '{"vers', '']) {
    writeFileSync(file, text)
    deepStrictEqual(readDay(folder, '2026-11-20'), first)
  }
})

test('usage: lines that are no rows do not count', (t) => {
  const folder = createHome(t)
  writeFileSync(join(folder, '2026-11-20.jsonl'), 'null\n{}\n[1]\n"x"\n\u0000\n{"path":1}\n')
  write(folder, [{ time: NOON }])
  strictEqual(readDay(folder, '2026-11-20').length, 1)
})

test('usage: a line longer than the buffer is read whole', (t) => {
  const folder = createHome(t)
  write(folder, [{ time: NOON }])
  writeFileSync(join(folder, '2026-11-20.jsonl'), `${JSON.stringify({ time: '2026-11-20T12:00:00Z', path: '/', model: 'x'.repeat(5e6), end: 'complete' })}\n`, { flag: 'a' })
  write(folder, [{ time: NOON }])
  strictEqual(readUsage(folder, '2026-01-01').reduce((sum, { requests }) => sum + requests, 0), 3)
})

test('usage: U9: days are those of the user, not of UTC', async (t) => {
  const home = createHome(t)
  write(join(home, '.dario', 'usage'), [{ time: Date.parse('2026-11-20T23:30:00Z') }, { time: Date.parse('2026-11-21T00:30:00Z') }])
  for (const [zone, days] of [['Asia/Kathmandu', ['2026-11-21,2']], ['America/Denver', ['2026-11-20,2']], ['UTC', ['2026-11-20,1', '2026-11-21,1']]] as const) {
    const { stdout } = await runDario(t, home, ['usage', '--since', '2026-11-01', '--by', 'day', '--csv'], { environment: { TZ: zone } })
    deepStrictEqual(stdout.trim().split('\n').slice(1).map((line) => line.split(',').slice(0, 2).join()), days)
  }
})

test('usage: counting tokens is no request', (t) => {
  const folder = createHome(t)
  write(folder, [{ time: NOON, path: '/v1/messages/count_tokens' }])
  deepStrictEqual(readUsage(folder, '2026-01-01'), [])
})

const HOUR_AGO = Date.now() - 1000
const MIXED: Partial<RequestRecord>[] = [
  { time: HOUR_AGO, tool: 'claude-cli/2.1 (x)', servedModel: 'claude-opus-4-5', backend: 'anthropic', cost: { dollars: 1.5, source: "dario's table, 2026-10-24" } },
  { time: HOUR_AGO, tool: 'codex/1', servedModel: 'gpt-5', backend: 'openai', cost: { dollars: 0.25, source: 'configuration' }, accessKey: 'ci' },
  { time: HOUR_AGO, tool: 'codex/2', servedModel: 'opus', backend: 'plan', cost: 'plan' },
  { time: HOUR_AGO, tool: 'aider/1', servedModel: 'llama', backend: 'ollama' },
  { time: HOUR_AGO - 10 * 86_400_000, tool: 'aider/1', servedModel: 'llama', backend: 'ollama', end: 'failed', usage: undefined },
]

test('usage: the overview has today, 7 and 30 days, then models, backends, tools and keys, and marks estimates', async (t) => {
  const home = createHome(t)
  write(join(home, '.dario', 'usage'), MIXED)
  const { stdout, stderr, code } = await runDario(t, home, ['usage'])
  strictEqual(code, 0)
  match(stdout, /today +~\$1\.75 \+ 1 on the plan \+ 1 without price +4/)
  match(stdout, /30 days +~\$1\.75 .* +5 +1/)
  match(stdout, /claude-opus-4-5 +~\$1\.50/)
  match(stdout, /plan +on the plan +1/)
  match(stdout, /llama +1 without price/) // never zero dollars
  match(stdout, /codex +~\$0\.25 \+ 1 on the plan +2/)
  match(stdout, /KEY[^]*ci/)
  match(stderr, /estimates; prices: .*dario's table, 2026-10-24.*configuration|estimates; prices: .*configuration/)
})

test('usage: without a price are requests that used tokens, not those that failed before', async (t) => {
  const home = createHome(t)
  const folder = join(home, '.dario', 'usage')
  write(folder, [{ time: HOUR_AGO, usage: { input: 7 } }, ...[1, 2, 3].map(() => ({ time: HOUR_AGO, end: 'failed', usage: undefined } as const))])
  match((await runDario(t, home, ['usage', '--by', 'model'])).stdout, /\nm +1 without price +4 +3 /)
  const { days, hours } = await readHistory(folder, Date.now(), Date.now())
  deepStrictEqual([days, hours].map((sums) => sums.reduce((sum, { unpriced }) => sum + unpriced, 0)), [1, 1])
})

test('usage: what is on the plan comes with the windows that the running dario knows', async (t) => {
  const running = await startUpstream(t, (_request, response) => sendJson(response, 200, {
    name: 'dario', version: '1', backends: [{ id: 'plan', keys: [], windows: [{ name: '5 hours', used: 0.42, resetsAt: Date.now() }, { name: '7 days', used: 0.1 }] }],
  }))
  const home = createHome(t)
  write(join(home, '.dario', 'usage'), MIXED)
  writeFileSync(join(home, '.dario', 'config.json'), JSON.stringify({ port: Number(new URL(running.url).port) }))
  const { stdout } = await runDario(t, home, ['usage'])
  match(stdout, /\nplan: 42 % of 5 hours used, anew at .*\nplan: 10 % of 7 days used\n/)
  const json = JSON.parse((await runDario(t, home, ['usage', '--json'])).stdout) as { windows: Record<string, unknown>[]; windowsUnknown?: string }
  deepStrictEqual(json.windows.map(({ backend, name, used }) => [backend, name, used]), [['plan', '5 hours', 0.42], ['plan', '7 days', 0.1]])
  match(String(json.windows[0]!['resetsAt']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  strictEqual(json.windowsUnknown, undefined)
  const csv = await runDario(t, home, ['usage', '--csv'])
  doesNotMatch(csv.stdout, /hours/)
  match(csv.stderr, /plan: 42 % of 5 hours used/)
})

test('usage: windows that nobody knows come with the reason, in every form', async (t) => {
  const home = createHome(t)
  write(join(home, '.dario', 'usage'), MIXED)
  writeFileSync(join(home, '.dario', 'config.json'), '{ "port": 9 }')
  const json = JSON.parse((await runDario(t, home, ['usage', '--json'])).stdout) as { windows: unknown[]; windowsUnknown: string }
  deepStrictEqual(json.windows, [])
  match(json.windowsUnknown, /^no dario runs on port 9/)
  for (const args of [['usage', '--csv'], ['usage']]) match((await runDario(t, home, args)).stderr, /not known: no dario runs on port 9/)
})

test('usage: --by with --json and --csv give every number; --since takes a date or days', async (t) => {
  const home = createHome(t)
  write(join(home, '.dario', 'usage'), MIXED)
  const json = JSON.parse((await runDario(t, home, ['usage', '--by', 'tool', '--since', '7d', '--json'])).stdout) as { rows: Record<string, unknown>[]; estimated: boolean }
  strictEqual(json.estimated, true)
  deepStrictEqual(json.rows.map(({ name, requests, dollars, unpriced, plan }) => [name, requests, dollars, unpriced, plan]),
    [['claude-cli', 1, 1.5, 0, 0], ['codex', 2, 0.25, 0, 1], ['aider', 1, undefined, 1, 0]])
  const csv = (await runDario(t, home, ['usage', '--by', 'tool', '--csv', '--since', toLocalDay(HOUR_AGO - 20 * 86_400_000)])).stdout
  match(csv, /^tool,requests,failed,cancelled,input,cacheRead,cacheWrite,output,reasoning,dollars,unpriced,plan\nclaude-cli,1,/)
  match(csv, /\naider,2,1,0,10,0,0,5,0,,1,0\n/) // no price is no figure
})

test('usage: a name that a client chose is neither a formula in CSV nor a command to the terminal', async (t) => {
  const home = createHome(t)
  write(join(home, '.dario', 'usage'), [{ time: HOUR_AGO, servedModel: '=cmd|"x",1' }, { time: HOUR_AGO, servedModel: '\u001b]0;evil\u0007\u009b31mred' }])
  match((await runDario(t, home, ['usage', '--by', 'model', '--csv'])).stdout, /\n"'=cmd\|""x"",1",1,/)
  doesNotMatch((await runDario(t, home, ['usage'])).stdout, /[\u0000-\u0009\u000b-\u001f\u009b]/)
})

test('usage: a price whose list came anew each day is named once, with its first and last date', async (t) => {
  const home = createHome(t)
  const source = (time: number): string => `model list of router, ${toLocalDay(time)}`
  write(join(home, '.dario', 'usage'), [3, 1, 2].map((days) => HOUR_AGO - days * 86_400_000).map((time) => ({ time, cost: { dollars: 1, source: source(time) } })))
  write(join(home, '.dario', 'usage'), MIXED)
  const { stderr } = await runDario(t, home, ['usage'])
  match(stderr, new RegExp(`prices: configuration; dario's table, 2026-10-24; ${source(HOUR_AGO - 3 * 86_400_000)} to ${toLocalDay(HOUR_AGO - 86_400_000)}\n`))
  const live = createLive({ now: Date.now, version: '1', backends: () => [], running: () => [], history: (until) => readHistory(join(home, '.dario', 'usage'), until, until) })
  live.read()
  await new Promise<void>((resolve) => live.subscribe(resolve))
  strictEqual(live.read().sources.length, 3)
})

test('usage: whatever time was asked for has its sum', async (t) => {
  const home = createHome(t)
  write(join(home, '.dario', 'usage'), MIXED)
  const since = toLocalDay(Date.now() - 60 * 86_400_000)
  match((await runDario(t, home, ['usage', '--since', since])).stdout, new RegExp(`\\n30 days .*\\nsince ${since} .* 5 +1 `))
  match((await runDario(t, home, ['usage', '--since', '3d'])).stdout, /\ntoday .*\nsince \d{4}-\d\d-\d\d .*\n\nMODEL/)
})

test('usage: wrong options say what is right; without a ledger there is a sentence', async (t) => {
  const home = createHome(t)
  match((await runDario(t, home, ['usage', '--by', 'cost'])).stderr, /--by must be one of model, backend/)
  for (const since of ['2026-13-45', '2026-02-31', 'd']) match((await runDario(t, home, ['usage', '--since', since])).stderr, /--since must be a date/)
  const { stdout, code } = await runDario(t, home, ['usage'])
  strictEqual(code, 0)
  match(stdout, /no requests since/)
})

test('usage: a day that cannot be read is left out with a warning, and keeps no budget from starting', async (t) => {
  const home = createHome(t)
  const folder = join(home, '.dario', 'usage')
  write(folder, [{ time: HOUR_AGO }])
  const other = new Date(HOUR_AGO - 86_400_000).toISOString().slice(0, 10)
  mkdirSync(join(folder, `${other}.jsonl`))
  const { stdout, stderr, code } = await runDario(t, home, ['usage', '--csv'])
  strictEqual(code, 0)
  match(stdout, /\nm,1,/)
  match(stderr, new RegExp(`warning: .*${other}\\.jsonl cannot be read \\(EISDIR\\) and does not count`))
  const lines: string[] = []
  await startProxy(t, { usageFolder: folder, log: (line) => lines.push(line), budgets: [{ scope: 'all', per: 'month', tokens: 1000 }] })
  match(lines.join('\n'), /cannot be read \(EISDIR\)/)
})

test('usage: a year of summed days takes a fraction of a second', (t) => {
  const folder = createHome(t)
  const groups = Array.from({ length: 30 }, (_, index) => ({ ...readGroup(), model: `m${index}` }))
  for (let day = 0; day < 365; day++) {
    const name = new Date(NOON - day * 86_400_000).toISOString().slice(0, 10)
    writeFileSync(join(folder, `${name}.jsonl`), '\n')
    writeFileSync(join(folder, `${name}.summary.json`), JSON.stringify({
      version: 2, zone: Intl.DateTimeFormat().resolvedOptions().timeZone, bytes: 1, groups: groups.map((group) => ({ ...group, day: name })),
    }))
  }
  const started = performance.now()
  strictEqual(readUsage(folder, '2025-01-01').length, 365 * 30)
  ok(performance.now() - started < 1000) // 40 ms on an idle machine
  function readGroup(): object {
    write(join(folder, 'one'), [{ time: NOON }])
    return readDay(join(folder, 'one'), '2026-11-20')[0]!
  }
})
