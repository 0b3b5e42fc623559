/**
 * Crash safety: a process that edits the configuration and appends to a ledger is killed at random moments, 200 times
 * over the same files. No file is ever unreadable, nothing that was reported as written is lost, and the next process
 * writes on. `npm run crash -- --times 200 --seed 1`; it runs the built code, whose start takes no time.
 * @module
 */
import { ok, strictEqual } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createRandom } from '../test/helpers/property.ts'

const { values } = parseArgs({ options: { times: { type: 'string', default: '200' }, seed: { type: 'string', default: String(Date.now() % 1e6) } } })
const random = createRandom(Number(values.seed))
const folder = mkdtempSync(join(tmpdir(), 'dario-crash-'))
const config = join(folder, '.dario', 'config.json')
const ledger = join(folder, '.dario', 'usage', '2026-01-01.jsonl')
const built = (name: string): string => JSON.stringify(new URL(`../dist/${name}`, import.meta.url).href)

/** Says each number on stdout as soon as it is written; ledger and configuration take turns without waiting. */
const writer = (from: number): string => `
  import { writeSync } from 'node:fs'
  import { editConfig } from ${built('config/file.js')}
  import { createAppender } from ${built('observe/append.js')}
  const filler = 'x'.repeat(100_000)
  const appender = createAppender((message) => { throw new Error(message) })
  async function edit() {
    for (let turn = ${from}; ; turn++) {
      await editConfig({ file: ${JSON.stringify(config)} }, (json) => { json.aliases = { turn: String(turn), filler } })
      writeSync(1, 'c' + turn + '\\n')
    }
  }
  async function append() {
    for (let row = ${from}; ; row++) {
      appender.add(${JSON.stringify(ledger)}, JSON.stringify({ row, filler: filler.slice(0, 5_000) }) + '\\n')
      await appender.flush()
      writeSync(1, 'l' + row + '\\n')
    }
  }
  writeSync(1, 'ready\\n')
  await Promise.all([edit(), append()])`

const told = { c: -1, l: -1 }
const acknowledged: number[] = []
let [edits, rows, cuts] = [0, 0, 0]

function check(): void {
  if (existsSync(config)) {
    const { aliases } = JSON.parse(readFileSync(config, 'utf8')) as { aliases: { turn: string; filler: string } }
    ok(Number(aliases.turn) >= told.c, `the configuration is at ${aliases.turn}, ${told.c} was reported as written`)
    strictEqual(aliases.filler.length, 100_000)
    strictEqual(statSync(config).mode & 0o777, 0o600)
  }
  if (!existsSync(ledger)) return
  const found = new Map<number, number>()
  cuts = 0
  for (const line of readFileSync(ledger, 'utf8').split('\n')) {
    if (line === '') continue
    try {
      const { row } = JSON.parse(line) as { row: number }
      found.set(row, (found.get(row) ?? 0) + 1)
    } catch {
      cuts++
    }
  }
  for (const row of acknowledged) strictEqual(found.get(row), 1, `row ${row} was reported as written`)
}

try {
  for (let time = 0; time < Number(values.times); time++) {
    const from = (time + 1) * 1_000_000 // a row that was written but not reported must not come again
    const child = spawn(process.execPath, ['--input-type=module', '-e', writer(from)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { said += text })
    await once(child.stdout, 'data')
    await sleep(random(80))
    child.kill('SIGKILL')
    const [, signal] = await once(child, 'close') as [number | null, string | null]
    strictEqual(signal, 'SIGKILL', `the writer ended by itself after ${time} crashes:\n${said}`)
    for (const [, kind, number] of said.matchAll(/^([cl])(\d+)$/gm)) {
      told[kind as 'c' | 'l'] = Number(number)
      if (kind === 'c') edits++
      else rows = acknowledged.push(Number(number))
    }
    check()
  }
  // The lock of a killed process is moved aside before it is deleted: a kill between the two leaves a few bytes.
  const left = readdirSync(join(folder, '.dario')).filter((name) => !/^(?:config\.json(?:\.lock|\.dario-tmp)?|usage)$/.test(name))
  ok(left.every((name) => /^config\.json\.lock\.\d+$/.test(name)), left.join())
  console.log(`${values.times} crashes (seed ${values.seed}): ${edits} edits and ${rows} rows reported as written, none lost; ${cuts} cut lines, ${left.length} old locks left, no file unreadable`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
