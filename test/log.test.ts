import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cleanText } from '../src/cli/output.ts'
import { LEVELS, createLog, createLogFile } from '../src/observe/log.ts'
import type { Log, LogOptions } from '../src/observe/log.ts'
import { createRedactor, renderHeaders } from '../src/observe/redact.ts'
import { createHome, startDario } from './helpers/command.ts'
import { createRecord } from './helpers/record.ts'
import { until } from './helpers/until.ts'

const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))

function startLog(options: Partial<LogOptions> = {}): { log: Log; lines: string[] } {
  const lines: string[] = []
  const log = createLog({
    format: 'pretty', level: 'info', write: (line) => lines.push(line), redact: createRedactor(() => []), clean: cleanText,
    now: () => Date.parse('2026-11-22T10:00:00Z'), ...options,
  })
  return { log, lines }
}

test('log: one line per request, with id, status, models, tokens, cost, times and tool', () => {
  const { log, lines } = startLog()
  log.observer.end?.(createRecord({
    id: 'req_7', model: 'fast', key: 'groq#2', servedModel: 'llama', usage: { input: 10, cacheRead: 90, cacheWrite: 0, output: 5 },
    cost: { dollars: 0.01234, source: 's' }, tool: 'codex/1.2 (linux)', firstByteMs: 120, totalMs: 450,
  }))
  match(lines.join(''), /^\d\d:00:00 req_7  200  fast  -> groq#2 llama  100 in \(90 cached\), 5 out  ~\$0\.0123  450 ms \(first 120\)  codex\/1\.2\n$/)
})

test('log: a failed attempt is a line with the id, the key label and the reason', () => {
  const { log, lines } = startLog()
  const attempt = { backend: 'openai', key: 'openai#1', model: 'm', outcome: 'rate_limited', status: 429, ms: 12, error: 'slow down' }
  log.observer.attempt?.(createRecord({ id: 'req_8' }), attempt)
  log.observer.attempt?.(createRecord({ id: 'req_8' }), { ...attempt, outcome: 'ok', error: undefined })
  strictEqual(lines.length, 1)
  match(lines[0]!, /req_8 attempt at openai#1 for m: rate_limited 429 after 12 ms: slow down/)
})

test('log: levels leave out what is below, and our own faults come with their stack in one line', () => {
  for (const [level, count] of [['info', 3], ['warn', 2], ['error', 1]] as const) {
    const { log, lines } = startLog({ level })
    log.observer.end?.(createRecord())
    log.observer.end?.(createRecord({ status: 429, end: 'failed' }))
    log.observer.end?.(createRecord({ status: 500, end: 'failed', cause: new Error('our fault') }))
    strictEqual(lines.length, count)
    match(lines.at(-1)!, /our fault +at .*\n$/)
    strictEqual(lines.at(-1)!.split('\n').length, 2)
  }
  strictEqual(LEVELS.length, 4)
})

test('log: Z6: secrets are taken out by value and by pattern, in both formats', () => {
  const secrets = ['local-value-of-a-key', 'sk-ant-api03-AAAABBBBCCCCDDDD']
  const hidden = [
    ...secrets, 'sk-proj-abcdefghijklmnop1234', 'Bearer abcdefgh12345678', 'AIzaSyA1234567890abcdefghijklmnopqrstuv', 'gsk_abcdefghijklmnop1234',
    'https://user:pass1234@proxy.local', '"api_key":"plainsecret"', 'x-api-key: plainsecret', 'eyJhbGciOi.eyJzdWIi.c2ln',
  ]
  for (const format of ['pretty', 'json'] as const) {
    const { log, lines } = startLog({ format, redact: createRedactor(() => secrets) })
    for (const text of hidden) {
      log.say('error', `refused: ${text} was wrong`)
      log.observer.end?.(createRecord({ end: 'failed', error: { code: 'authentication', message: `key ${text}` } }))
    }
    doesNotMatch(lines.join(''), /local-value|AAAABBBB|abcdefgh|AIzaSy|pass1234|plainsecret|eyJzdWIi/)
    strictEqual(lines.join('').split('[redacted]').length - 1 >= hidden.length * 2, true)
  }
})

test('log: Z6: a word that lines had before it became a secret is taken out from then on', () => {
  for (const isCounted of [false, true]) {
    const secrets = new Set<string>()
    const { log, lines } = startLog({ redact: createRedactor(() => secrets), countSecrets: isCounted ? () => secrets.size : undefined })
    log.observer.end?.(createRecord({ model: 'word-of-a-client' }))
    log.observer.end?.(createRecord({ model: 'word-of-a-client' }))
    secrets.add('word-of-a-client')
    log.observer.end?.(createRecord({ model: 'word-of-a-client' }))
    deepStrictEqual(lines.map((line) => line.includes('word-of-a-client')), [true, true, false])
  }
})

test('log: Z6: credentials of clients go by the names of their headers', () => {
  const text = renderHeaders({ authorization: 'x', 'x-api-key': 'x', cookie: 'x', 'set-cookie': ['x'], 'x-goog-api-key': 'x', 'proxy-authorization': 'x', accept: 'fine' })
  strictEqual(text.split('[redacted]').length - 1, 6)
  match(text, /accept: fine/)
})

test('log: nothing that a client sends can steer a terminal or forge a line', () => {
  const evil = 'm\u001b[2J\u001b]0;x\u0007\r\n10:00:00 req_9 forged \u009b31m\u202e'
  for (const format of ['pretty', 'json'] as const) {
    const { log, lines } = startLog({ format })
    log.observer.end?.(createRecord({ model: evil, tool: evil, error: { code: 'internal', message: evil } }))
    doesNotMatch(lines[0]!.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u202e]/)
    strictEqual(lines.length, 1)
  }
})

test('log: W16: a log file is JSON, 0600, and rotated at 10 MB with three old ones kept', async (t) => {
  const file = join(createHome(t), 'logs', 'dario.log')
  const { add, close } = createLogFile(file, (problem) => { throw new Error(problem) }, Date.now)
  const { log } = startLog({ writeJson: add })
  log.say('info', 'first')
  await close()
  deepStrictEqual(JSON.parse(readFileSync(file, 'utf8')), { time: '2026-11-22T10:00:00.000Z', level: 'info', message: 'first' })
  if (process.platform !== 'win32') strictEqual(statSync(file).mode & 0o777, 0o600)
  for (let round = 0; round < 5; round++) {
    writeFileSync(file, `${round}${'x'.repeat(10_485_760)}\n`)
    log.say('info', `after ${round}`)
    await close()
  }
  match(readFileSync(file, 'utf8'), /^\{.*"after 4"\}\n$/)
  deepStrictEqual([1, 2, 3].map((number) => readFileSync(`${file}.${number}`, 'utf8')[0]), ['4', '3', '2'])
  ok(!existsSync(`${file}.4`))
})

test('log: the command line logs JSON into a pipe and to --log-file, one line per request, and no key', async (t) => {
  const home = createHome(t)
  const dario = startDario(t, home, ['--port', '0', '--log-file', 'dario.log'], { environment: { OPENAI_API_KEY: 'sk-found-on-this-machine-1234' } })
  const [, url] = await dario.says(/ANTHROPIC_BASE_URL=(http:\S+)/)
  const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":"echo","messages":[{"role":"user","content":"SAID"}]}' })
  const id = response.headers.get('dario-request-id')
  await response.text()
  await dario.says(/"event":"request"/)
  dario.child.kill('SIGTERM')
  const { stdout, stderr } = await dario.finished
  const line = stderr.split('\n').find((text) => text.includes('"event":"request"'))!
  const { status, backend, level } = JSON.parse(line) as Record<string, unknown>
  deepStrictEqual([status, backend, level], [200, 'echo', 'info'])
  ok(line.includes(id!))
  const file = readFileSync(join(home, 'dario.log'), 'utf8')
  ok(file.includes(id!))
  doesNotMatch(stdout + stderr + file, /sk-found|SAID/)
})

/** `log` is where stderr goes; dario starts, is asked, has written a line of the log, and is asked again. */
async function askTwice(t: TestContext, log: string, leave: (child: ChildProcess) => void): Promise<number[]> {
  const home = createHome(t)
  const child = spawn('sh', ['-c', `exec "$@" ${log}`, 'sh', process.execPath, '--import', import.meta.resolve('tsx'), MAIN, '--port', '0', '--log-file', 'dario.log'], {
    env: { PATH: process.env['PATH'], HOME: home }, cwd: home, stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { said += text })
  const findUrl = (): string | undefined => /ANTHROPIC_BASE_URL=(http:\S+)/.exec(said)?.[1]
  await until(() => findUrl() !== undefined)
  leave(child)
  const file = join(home, 'dario.log')
  const ask = async (): Promise<number> => {
    const response = await fetch(`${findUrl()}/v1/chat/completions`, { method: 'POST', body: '{"model":"echo","messages":[{"role":"user","content":"hello"}]}' })
    await response.text()
    return response.status
  }
  const first = await ask()
  await until(() => existsSync(file) && readFileSync(file, 'utf8').includes('"event":"request"')) // stderr got it before
  return [first, await ask()]
}

test('log: dario serves on when the reader of its log has left', async (t) => {
  deepStrictEqual(await askTwice(t, '', ({ stderr }) => stderr!.destroy()), [200, 200])
})

test('log: dario serves on when its log goes to a disk that is full', async (t) => {
  if (!existsSync('/dev/full')) return // not everywhere is there a disk that is always full
  deepStrictEqual(await askTwice(t, '2> /dev/full', () => {}), [200, 200])
})
