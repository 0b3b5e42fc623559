import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLedger } from '../src/observe/ledger.ts'
import type { LedgerRow } from '../src/observe/row.ts'
import { createLog } from '../src/observe/log.ts'
import { readUsage } from '../src/observe/usage.ts'
import { createHome, startDario } from './helpers/command.ts'
import { withDeadline } from './helpers/deadline.ts'
import { createRecord } from './helpers/record.ts'
import { backendsAt, startProxy } from './helpers/proxy.ts'
import { sendJson, startUpstream } from './helpers/upstream.ts'
import { startVendors } from './helpers/vendors.ts'

/** Of whole lines: a file that is being written may have none yet. */
function readRows(folder: string): LedgerRow[] {
  return readdirSync(folder).filter((name) => name.endsWith('.jsonl')).sort()
    .flatMap((name) => (readFileSync(join(folder, name), 'utf8').match(/.+\n/g) ?? []).map((line) => JSON.parse(line) as LedgerRow))
}

/** Looks again whenever the ledger could have written. */
function until<Value>(look: () => Value | undefined, label: string): Promise<Value> {
  return withDeadline(new Promise((resolve) => {
    const timer = setInterval(() => {
      const found = look()
      if (found === undefined) return
      clearInterval(timer)
      resolve(found)
    }, 20)
  }), 10_000, label)
}

const PATHS = { anthropic: '/v1/messages', chat: '/v1/chat/completions', responses: '/v1/responses' } as const
type Client = keyof typeof PATHS

function toBody(client: Client, backend: string, stream: boolean, text: string): string {
  const model = `${backend}:m`
  if (client === 'responses') return JSON.stringify({ model, stream, input: [{ role: 'user', content: text }] })
  const extra = client === 'anthropic' ? { max_tokens: 100 } : {}
  return JSON.stringify({ model, stream, messages: [{ role: 'user', content: text }], ...extra })
}

test('ledger: its totals over all pairs, streams, cancels and failures are what the vendors told, to the token', async (t) => {
  const folder = join(createHome(t), 'usage')
  const vendors = await startVendors(t)
  const { url, proxy } = await startProxy(t, { backends: backendsAt(vendors.url), usageFolder: folder })
  const clients = Object.keys(PATHS) as Client[]
  const pairs = clients.flatMap((client) => clients.flatMap((backend) => [true, false].map((stream) => ({ client, backend, stream }))))
  const ask = (client: Client, body: string, signal?: AbortSignal): Promise<Response> =>
    fetch(url + PATHS[client], { method: 'POST', headers: { 'content-type': 'application/json' }, body, ...(signal && { signal }) })
  for (let round = 0; round < Number(process.env['LEDGER_ROUNDS'] ?? 6); round++) {
    await Promise.all(pairs.map(async ({ client, backend, stream }) => {
      const response = await ask(client, toBody(client, backend, stream, 'hello'))
      strictEqual(response.status, 200, await response.text())
    }))
  }
  await Promise.all(clients.map(async (client) => strictEqual((await ask(client, toBody(client, 'anthropic', false, 'fail'))).status, 400)))
  for (const { client, backend, stream } of pairs.filter((pair) => pair.stream)) {
    const leave = new AbortController()
    const response = await ask(client, toBody(client, backend, stream, 'wait'), leave.signal)
    await response.body?.getReader().read()
    leave.abort()
  }
  await proxy.close(1000)
  const rows = readRows(folder)
  const sum = (name: 'input' | 'cacheRead' | 'cacheWrite' | 'output' | 'reasoning'): number => rows.reduce((total, row) => total + (row[name] ?? 0), 0)
  strictEqual(rows.length, vendors.received.filter(({ method }) => method === 'POST').length)
  deepStrictEqual({ input: sum('input'), cacheRead: sum('cacheRead'), cacheWrite: sum('cacheWrite'), output: sum('output'), reasoning: sum('reasoning') }, vendors.told)
  strictEqual(rows.filter(({ end }) => end === 'cancelled').length, 9)
  strictEqual(rows.filter(({ end, status, error }) => end === 'failed' && status === 400 && error === 'invalid_request').length, 3)
})

test('ledger: U6: a chat stream is asked for its usage, and a client that did not ask does not see it', async (t) => {
  const folder = join(createHome(t), 'usage')
  const refused: string[] = []
  const vendors = await startVendors(t)
  const strict = await startUpstream(t, ({ body }, response) => {
    if (body.includes('stream_options')) return refused.push(body.toString()), sendJson(response, 400, { error: { message: 'Unrecognized request argument supplied: stream_options' } })
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end('data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
  const backend = (baseUrl: string): { type: 'openai'; baseUrl: string; keys: string[] } => ({ type: 'openai', baseUrl, keys: ['sk-test'] })
  const { url, proxy } = await startProxy(t, { backends: { open: backend(vendors.url), strict: backend(strict.url) }, usageFolder: folder })
  const ask = async (model: string, extra: object): Promise<string> => await (await fetch(`${url}/v1/chat/completions`, {
    method: 'POST', body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'x' }], ...extra }) })).text()
  const quiet = await ask('open:m', {})
  const asked = await ask('open:m', { stream_options: { include_usage: true } })
  doesNotMatch(quiet, /"choices":\[\]|"usage":\{/)
  match(quiet, /"finish_reason":"stop"[^]*data: \[DONE\]\n\n$/)
  match(asked, /"choices":\[\],"usage":\{/)
  for (let round = 0; round < 2; round++) match(await ask('strict:m', {}), /"content":"x"[^]*\[DONE\]/)
  strictEqual(refused.length, 1) // learned
  await proxy.close(1000)
  const rows = readRows(folder)
  deepStrictEqual(rows.map(({ output }) => output !== undefined), [true, true, false, false])
  strictEqual(rows[0]!.output! + rows[1]!.output!, vendors.told.output)
})

for (const left of [false, true]) {
  test(`ledger: of ${left ? 'a cancelled' : 'an'} answer whose usage nobody told, nobody counts tokens, not even none`, async (t) => {
    const folder = join(createHome(t), 'usage')
    const lines: string[] = []
    const log = createLog({ format: 'pretty', level: 'info', write: (line) => lines.push(line), redact: String, clean: String, now: Date.now })
    const upstream = await startUpstream(t, async ({ method, body }, response) => {
      if (method === 'GET') return sendJson(response, 404, {})
      const { stream = false } = JSON.parse(body.toString()) as { stream?: boolean }
      const words = { index: 0, finish_reason: null, delta: { role: 'assistant', content: 'half' } }
      if (!stream) return sendJson(response, 200, { id: 'c', model: 'm', choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'whole' } }] })
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${JSON.stringify({ id: 'c', model: 'm', choices: [words] })}\n\n`)
      if (left) await once(response, 'close')
      else response.end(`data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, finish_reason: 'stop', delta: {} }] })}\n\ndata: [DONE]\n\n`)
    })
    const { url, proxy, records, nextRecord } = await startProxy(t, { backends: backendsAt(upstream.url), usageFolder: folder, observer: log.observer })
    for (const client of Object.keys(PATHS) as Client[]) {
      for (const stream of left ? [true] : [true, false]) {
        const record = nextRecord()
        const leave = new AbortController()
        const response = await fetch(url + PATHS[client], { method: 'POST', body: toBody(client, 'chat', stream, 'hello'), signal: leave.signal })
        if (left) await response.body!.getReader().read().then(() => leave.abort())
        else await response.text()
        await record
      }
    }
    const metrics = await (await fetch(`${url}/metrics`)).text()
    await proxy.close(1000)
    ok(records.every(({ end, usage, cost }) => end === (left ? 'cancelled' : 'complete') && usage === undefined && cost === undefined), JSON.stringify(records))
    const rows = readRows(folder)
    strictEqual(rows.length, left ? 3 : 6)
    for (const row of rows) deepStrictEqual(Object.keys(row).filter((name) => /input|output|cache|reasoning|dollars/.test(name)), [])
    strictEqual(lines.length, rows.length)
    doesNotMatch(lines.join(''), / in,| out/)
    match(metrics, new RegExp(`dario_requests_total\\{.*end="${left ? 'cancelled' : 'complete'}"\\} `))
    doesNotMatch(metrics, /dario_tokens_total|dario_request_tokens|dario_cost/)
  })
}

test('ledger: a row has names, counts and times, and nothing of prompt, answer or key', async (t) => {
  const folder = join(createHome(t), 'usage')
  const vendors = await startVendors(t)
  const { url, proxy } = await startProxy(t, { backends: backendsAt(vendors.url), usageFolder: folder, routes: [{ model: 'best', to: ['chat:m'] }] })
  const body = JSON.stringify({ model: 'best', max_tokens: 9, top_k: 3, messages: [{ role: 'user', content: 'PROMPT-TEXT' }] })
  await (await fetch(`${url}/v1/messages?beta=true`, { method: 'POST', headers: { 'user-agent': 'claude-cli/2.1.3 (external, cli)' }, body })).text()
  await proxy.close(1000)
  const [row] = readRows(folder)
  const { time, id, firstByteMs, totalMs, input, cacheRead, output, ...rest } = row!
  match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  match(id, /^req_/)
  ok(firstByteMs! <= totalMs && input! > 0 && cacheRead! > 0 && output! > 0)
  deepStrictEqual(rest, {
    path: '/v1/messages', dialect: 'anthropic', tool: 'claude-cli/2.1.3', model: 'best', route: 'best', backend: 'chat', key: 'chat#1',
    servedModel: 'm', stream: false, status: 200, end: 'complete', stop: 'stop', attempts: 1, cacheWrite: 0, reasoning: 1, dropped: ['top_k'],
  })
  doesNotMatch(JSON.stringify(row), /PROMPT|SECRET/)
  if (process.platform === 'win32') return
  strictEqual(statSync(folder).mode & 0o777, 0o700)
  for (const name of readdirSync(folder)) strictEqual(statSync(join(folder, name)).mode & 0o777, 0o600)
})

test('ledger: Z12: a folder and files that were open to others are closed with a warning', async (t) => {
  const folder = join(createHome(t), 'usage')
  mkdirSync(folder, { mode: 0o755 })
  const old = join(folder, `${new Date().toISOString().slice(0, 10)}.jsonl`)
  writeFileSync(old, '', { mode: 0o644 })
  for (let day = 1; day < 20; day++) writeFileSync(join(folder, `${new Date(Date.now() - day * 86_400_000).toISOString().slice(0, 10)}.jsonl`), '', { mode: 0o644 })
  const lines: string[] = []
  const { url, proxy } = await startProxy(t, { backends: { echo: { type: 'echo' } }, usageFolder: folder, log: (line) => lines.push(line) })
  await (await fetch(`${url}/v1/messages`, { method: 'POST', body: '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' })).text()
  await proxy.close(1000)
  if (process.platform === 'win32') return
  strictEqual(statSync(folder).mode & 0o777, 0o700)
  strictEqual(statSync(old).mode & 0o777, 0o600)
  const warnings = lines.filter((line) => line.includes('was open to others'))
  strictEqual(warnings.length, 1) // a backup may bring a year of days
  match(warnings[0]!, /usage was open to others, 20 more in there too/)
})

test('ledger: after SIGKILL every row that is a second old is there, and the next start writes on behind it', async (t) => {
  const home = createHome(t)
  const folder = join(home, '.dario', 'usage')
  async function serve(count: number): Promise<{ kill: () => Promise<unknown> }> {
    const dario = startDario(t, home, ['--port', '0', '--log-level', 'error'])
    const [, url] = await dario.says(/ANTHROPIC_BASE_URL=(http:\S+)/)
    for (let index = 0; index < count; index++) {
      await (await fetch(`${url}/v1/messages`, { method: 'POST', body: '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' })).text()
    }
    return { kill: () => (dario.child.kill('SIGKILL'), once(dario.child, 'exit')) }
  }
  const first = await serve(20)
  const answered = Date.now()
  const file = await until(() => existsSync(folder) && readRows(folder).length === 20 ? readdirSync(folder)[0] : undefined, 'all rows on disk')
  ok(Date.now() - answered < 3000) // half a second, and room for a busy machine
  await first.kill()
  writeFileSync(join(folder, file!), '{"time":"2026-', { flag: 'a' }) // what a power cut leaves
  const second = await serve(1)
  const usage = (): number => readUsage(folder, '2000-01-01').reduce((sum, group) => sum + group.requests, 0)
  await until(() => usage() === 21 ? true : undefined, 'the row behind the cut line')
  await second.kill()
})

test('ledger: a folder that cannot be made costs one complaint a minute and no request', async (t) => {
  const home = createHome(t)
  writeFileSync(join(home, 'file'), '')
  const lines: string[] = []
  const { url, proxy } = await startProxy(t, { usageFolder: join(home, 'file', 'usage'), log: (line) => lines.push(line) })
  for (let index = 0; index < 3; index++) {
    const response = await fetch(`${url}/v1/messages`, { method: 'POST', body: '{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' })
    strictEqual(response.status, 200)
    await response.text()
  }
  await proxy.close(1000)
  strictEqual(lines.length, 1)
  match(lines[0]!, /cannot be (?:written|read) \(ENOTDIR\); make room or check who owns it|cannot be read/)
})

if (existsSync('/dev/full')) {
  test('ledger: rows that a full disk refused are written when there is room, each once', async (t) => {
    const folder = createHome(t)
    const complaints: string[] = []
    let now = Date.parse('2026-11-22T10:00:00Z')
    const file = join(folder, '2026-11-22.jsonl')
    symlinkSync('/dev/full', file)
    const ledger = createLedger({ folder, keepDays: () => 400, now: () => now, complain: (line) => complaints.push(line) })
    for (const id of ['a', 'b']) {
      ledger.end(createRecord({ id, time: now }))
      await ledger.close()
    }
    strictEqual(complaints.length, 1)
    match(complaints[0]!, /ENOSPC/)
    now += 61_000
    ledger.end(createRecord({ id: 'c', time: now }))
    await ledger.close()
    strictEqual(complaints.length, 2)
    rmSync(file)
    ledger.end(createRecord({ id: 'd', time: now }))
    await ledger.close()
    deepStrictEqual(readRows(folder).map(({ id }) => id), ['a', 'b', 'c', 'd'])
  })
}

test('ledger: days that are too old are deleted with their sums, and past days get theirs', async (t) => {
  const folder = createHome(t)
  const now = Date.parse('2026-11-22T10:00:00Z')
  const line = `${JSON.stringify({ time: '2026-11-20T10:00:00Z', path: '/v1/messages', model: 'm', end: 'complete', input: 1 })}\n`
  for (const day of ['2025-10-17', '2025-10-18', '2026-11-20']) writeFileSync(join(folder, `${day}.jsonl`), line)
  writeFileSync(join(folder, '2025-10-17.summary.json'), '{}')
  writeFileSync(join(folder, 'notes.txt'), 'mine')
  const ledger = createLedger({ folder, keepDays: () => 400, now: () => now, complain: () => {} })
  ledger.end(createRecord({ time: now }))
  await until(() => existsSync(join(folder, '2026-11-20.summary.json')) || undefined, 'the sum of a past day')
  await ledger.close()
  deepStrictEqual(readdirSync(folder).sort(), [
    '2025-10-18.jsonl', '2025-10-18.summary.json', '2026-11-20.jsonl', '2026-11-20.summary.json', '2026-11-22.jsonl', 'notes.txt',
  ].sort())
})

test('ledger: U9: a row belongs to the UTC day of its arrival', async (t) => {
  const folder = createHome(t)
  const midnight = Date.parse('2026-11-22T00:00:00Z')
  const ledger = createLedger({ folder, keepDays: () => 400, now: () => midnight + 5, complain: () => {} })
  ledger.end(createRecord({ id: 'late', time: midnight - 1 }))
  ledger.end(createRecord({ id: 'early', time: midnight }))
  await ledger.close()
  const [first, second] = ['2026-11-21', '2026-11-22'].map((day) => readFileSync(join(folder, `${day}.jsonl`), 'utf8'))
  match(first!, /"late"/)
  match(second!, /"early"/)
})

test('ledger: names that a client chose are cut', async (t) => {
  const folder = createHome(t)
  const ledger = createLedger({ folder, keepDays: () => 400, now: Date.now, complain: () => {} })
  ledger.end(createRecord({ model: 'm'.repeat(1e6), tool: 'u'.repeat(1e5), dropped: Array.from({ length: 1000 }, (_, index) => `messages[${index}]`) }))
  await ledger.close()
  ok(statSync(join(folder, readdirSync(folder).find((name) => name.endsWith('.jsonl'))!)).size < 3000)
})
